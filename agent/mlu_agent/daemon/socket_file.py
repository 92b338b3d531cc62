"""A listening socket that is a file: made so that nobody can use it before its permissions are right."""

from __future__ import annotations

import contextlib
import grp
import os
import socket
from typing import TYPE_CHECKING, Any

from ..config.fields import show
from ..config.files import may_pass, reason
from ..errors import UserError
from ..publish.endpoint import clear_stale_socket

if TYPE_CHECKING:
    from pathlib import Path

FIELD = "control.socket"
MODE = 0o660
HIDDEN_MODE = 0o600  # until the group is right
BACKLOG = 16


class SocketFile:
    """The file ``path``; members of ``group`` may use it, "": of the group that the system gives it."""

    def __init__(self, path: Path, group: str, log: Any) -> None:
        self.path = path
        self._group = group
        self._log = log
        self._made: tuple[int, int] | None = None

    def listen(self) -> socket.socket:
        """A socket that listens there; what a dead process left is replaced. UserError if there can be none now.

        The mode is set before there is a file, and nobody can connect before ``listen``: so the umask, which belongs to
        all threads, stays as it is, and there is no moment at which a stranger could come in.
        """
        clear_stale_socket(self.path, self._log, FIELD)
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            self._bind(made)
            made.listen(BACKLOG)
        except BaseException:
            made.close()
            self.remove()
            raise
        made.setblocking(False)
        return made

    def _bind(self, made: socket.socket) -> None:
        try:
            os.fchmod(made.fileno(), HIDDEN_MODE)
            made.bind(os.fspath(self.path))
            self._made = self._now()
        except OSError as error:
            failure = UserError(
                f"{FIELD}: {self.path} cannot be made ({reason(error)}): check the folder's permissions"
            )
            failure.passes = may_pass(error)
            raise failure from None
        try:
            if self._group:
                os.chown(self.path, -1, grp.getgrnam(self._group).gr_gid, follow_symlinks=False)
            self.path.chmod(MODE)
        except (OSError, KeyError) as error:
            raise UserError(
                f"control.group: {self.path} cannot be given to the group {show(self._group)} ({reason(error)}): make "
                "the service's user a member of it (SupplementaryGroups= in the unit, with PrivateUsers=no), "
                'or write "" for the group of the service'
            ) from None

    @property
    def gone(self) -> bool:
        """Whether the file that was made is there no more, or is another one."""
        return self._made is None or self._made != self._now()

    def remove(self) -> None:
        """Takes the file away, unless it is somebody else's."""
        if self._made is not None and not self.gone:
            with contextlib.suppress(OSError):
                self.path.unlink()
        self._made = None

    def _now(self) -> tuple[int, int] | None:
        """Which file it is now; None if there is none."""
        try:
            status = self.path.lstat()
        except OSError:
            return None
        return status.st_dev, status.st_ino
