"""Writing files that appear whole: under a temporary name in the same folder, renamed when all of it is on the disk."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import stat
import time
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PREFIX, _SUFFIX = ".mlu-", ".part"
LEFT_S = 60.0  # younger ones may be about to be locked by who made them


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A file to write and seek in that gets its name ``path`` when the block ends, and leaves nothing if it fails.

    Its temporary name is one that nobody can guess and nobody had: a link that waits there is never followed. What
    stands at ``path`` is replaced, a link itself and not what it points to. OSError as the operating system says.
    """
    part = path.with_name(f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}")
    handle = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)  # the umask's mode
    try:
        with os.fdopen(handle, "w+b") as file:
            with contextlib.suppress(OSError):  # a file system without locks; then nobody removes a left one either
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise


def write_whole(path: Path, data: bytes) -> None:
    """The file ``path`` with ``data``, all of it or as it was. OSError as the operating system says."""
    with whole_file(path) as file:
        file.write(data)


def remove_left(folder: Path) -> int:
    """Removes temporary files of processes that were killed while they wrote into ``folder``; how many there were."""
    removed = 0
    with contextlib.suppress(OSError):
        for part in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
            removed += _remove_unlocked(part)
    return removed


def _remove_unlocked(part: Path) -> bool:
    try:
        handle = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode) or time.time() - status.st_mtime < LEFT_S:
            return False
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails where it is still being written
        part.unlink()
    except OSError:
        return False
    finally:
        os.close(handle)
    return True
