"""Whose rights count, and who may do what with a file, by its mode."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..config.exposure import SERVICE

if TYPE_CHECKING:
    from pathlib import Path

READ, WRITE, ENTER = os.R_OK, os.W_OK, os.X_OK


@dataclass(frozen=True)
class Who:
    """A user with all groups."""

    name: str
    uid: int
    gids: frozenset[int]

    def may(self, mode: int, uid: int, gid: int, want: int) -> bool:
        """Whether a file of that mode and owner is open to this user; ``want``: READ, WRITE, ENTER or several."""
        if self.uid == 0:
            return True
        shift = 6 if uid == self.uid else 3 if gid in self.gids else 0
        return (mode >> shift) & want == want

    def may_reach(self, path: Path, want: int) -> bool:
        """The same of what lies at ``path``, whose folders have to be entered; False where nothing is there."""
        try:
            real = path.resolve()
            statuses = [(folder.stat(), ENTER) for folder in reversed(real.parents)]
            statuses.append((real.stat(), want))
        except (OSError, RuntimeError):
            return False
        return all(self.may(one.st_mode, one.st_uid, one.st_gid, wanted) for one, wanted in statuses)


def me() -> Who:
    """Whoever runs this process."""
    uid = os.geteuid()
    return Who(user_name(uid), uid, frozenset({os.getegid(), *os.getgroups()}))


def service_user() -> Who | None:
    """The user of the unit, None where it was never made."""
    try:
        user = pwd.getpwnam(SERVICE)
    except KeyError:
        return None
    return Who(SERVICE, user.pw_uid, frozenset(os.getgrouplist(SERVICE, user.pw_gid)))


def user_name(uid: int) -> str:
    """The user's name, or the number where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def group_name(gid: int) -> str:
    """The group's name, or the number where it has none."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def owned(path: Path) -> str:
    """Mode and owners of a file, as `ls` tells them: "root:video 0660"."""
    status = path.stat()
    mode = stat.S_IMODE(status.st_mode)
    return f"{user_name(status.st_uid)}:{group_name(status.st_gid)} {mode:04o}"
