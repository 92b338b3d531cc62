"""Looking at files that others name: every failure is one sentence, none is an exception of the operating system."""

from __future__ import annotations

import errno
import stat
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from ..errors import MluAgentError
    from .values import SourceConfig

    Stamp = tuple[int, int, int, int]

# A mount that is not there yet, or does not answer for a while; memory and descriptors that others have just now.
MAY_PASS = (errno.ENOENT, errno.ENOTDIR, errno.EIO, errno.ENODEV, errno.ENXIO, errno.ESTALE, errno.ENOTCONN,
            errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH, errno.EAGAIN,
            errno.ENOMEM, errno.EMFILE, errno.ENFILE)  # fmt: skip


def may_pass(failure: Exception | None) -> bool:
    """Whether a failure to reach a path may pass without anybody's doing."""
    return isinstance(failure, OSError) and failure.errno in MAY_PASS


def path_failure(path: str | os.PathLike[str]) -> OSError | ValueError | None:
    """Why nothing can be found at ``path``; None if something is there."""
    try:
        Path(path).stat()
    except (OSError, ValueError) as failure:
        return failure
    return None


def path_problem(path: str | os.PathLike[str]) -> str:
    """Why nothing can be found at ``path``, as the end of a sentence; "" if something is there.

    ``Path.exists`` and its kin answer some failures with False and raise others, such as a folder without permission.
    """
    failure = path_failure(path)
    if failure is None:
        return ""
    if isinstance(failure, FileNotFoundError):
        return "there is no such file or folder; check the path"
    return f"cannot be reached ({reason(failure)}); check the path and its permissions"


def size_if_there(path: str | os.PathLike[str]) -> int:
    """The bytes of a file; 0 if it cannot be found, or not any more: whoever reads it says why."""
    try:
        return Path(path).stat().st_size
    except (OSError, ValueError):
        return 0


def lost_paths(sources: Iterable[SourceConfig]) -> list[str]:
    """A sentence for each path of these sources that leads nowhere."""
    found = [(source, path_problem(source.location)) for source in sources if source.kind == "path"]
    return [f"source {source.id}: {source.location}: {problem}" for source, problem in found if problem]


def reason(failure: Exception) -> str:
    """The operating system's words for a failure, without its number and path."""
    return getattr(failure, "strerror", None) or str(failure)


def read_at_most(file: IO[bytes], limit: int, likely: int) -> bytes:
    """At most ``limit`` bytes of an open file, of which ``likely`` are expected to be there.

    Python takes the memory for as many bytes as it is asked for, whatever the file holds, and a small box without swap
    does not give 2 GB: so no more are asked for at once than are likely.
    """
    parts: list[bytes] = []
    while limit > 0 and (part := file.read(min(limit, likely))):
        parts.append(part)
        limit -= len(part)
    return b"".join(parts)


def file_stamp(path: Path) -> Stamp | None:
    """What tells a file from any other that is or was at its path; None if nothing is there."""
    try:
        return _stamp(path.stat())
    except (OSError, ValueError):
        return None


def _stamp(status: os.stat_result) -> Stamp:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def read_bounded(path: Path, limit: int, error: type[MluAgentError]) -> bytes:
    """The bytes of the regular file ``path``, refused beyond ``limit`` before they are read."""
    return read_stamped(path, limit, error)[0]


def read_stamped(path: Path, limit: int, error: type[MluAgentError]) -> tuple[bytes, Stamp]:
    """The same, with the stamp from before it was read: what comes to the path later has another one."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise error(f"{path}: not a regular file; give the path of a file")
        with path.open("rb") as file:
            data = read_at_most(file, limit + 1, status.st_size + 1) if status.st_size <= limit else b""
    except (OSError, ValueError) as failure:
        unreadable = error(f"{path}: cannot be read ({reason(failure)}); check the path and its permissions")
        unreadable.passes = may_pass(failure)
        raise unreadable from None
    if status.st_size > limit or len(data) > limit:
        raise error(f"{path}: larger than {limit} bytes; this is not the file that belongs here")
    return data, _stamp(status)
