"""Files with passwords that others on this machine can read, and keys that others can put there."""

from __future__ import annotations

import grp
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from .addresses import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .values import Config

SERVICE = "mlu-agent"  # the unit's user and group


def remarks(path: str | Path, config: Config) -> list[str]:
    """What is unwise about a configuration read from ``path`` and yet accepted, each a sentence with the remedy."""
    written = any(shown(one.location) != one.location and one.password_file is None for one in config.sources)
    others = {one.password_file for one in config.sources if one.password_file is not None}
    exposed = _exposed([*([Path(path)] if written else []), *sorted(others)])
    return [*exposed, *_open_to_others({model.trust for model in config.models if model.trust is not None})]


def _exposed(files: Iterable[Path]) -> Iterator[str]:
    for file in files:
        who = readers(file)
        if who:
            mode = stat.S_IMODE(file.stat().st_mode)
            yield (
                f"{file} holds a password and can be read by {who} (mode {mode:04o}); "
                f"chown root:{SERVICE} and chmod 0640 it"
            )


def _open_to_others(places: Iterable[Path]) -> Iterator[str]:
    """Who can put a key there says whose models this box believes."""
    for place in sorted(places):
        try:
            found = [place, *(sorted(place.glob("*.pub")) if place.is_dir() else [])]
            wrong = [one for one in found if one.stat().st_mode & stat.S_IWOTH]
        except OSError:  # told when the keys are read
            continue
        yield from (
            f"{one}: everybody can write there, so that a signature proves nothing; chmod o-w it" for one in wrong
        )


def readers(file: Path) -> str:
    """Who beside its owner and the service can read a file: "everybody", "the group NAME"; "" if nobody or unknown."""
    try:
        status = file.stat()
        folders = [folder.stat().st_mode for folder in file.resolve().parents]
    except OSError:
        return ""
    if status.st_mode & stat.S_IROTH and all(mode & stat.S_IXOTH for mode in folders):
        return "everybody"
    if not status.st_mode & stat.S_IRGRP or status.st_gid in (os.getegid(), *os.getgroups()):
        return ""
    try:
        name = grp.getgrgid(status.st_gid).gr_name
    except KeyError:
        name = str(status.st_gid)
    return "" if name == SERVICE else f"the group {name}"
