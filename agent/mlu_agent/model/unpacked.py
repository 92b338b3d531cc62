"""Where the members of a bundle lie while its model is in use: in a folder of our own, unpacked whole or not at all.

    CACHE_DIRECTORY/bundles/DIGEST/     under systemd: kept for the next start, the least used removed
    TMPDIR/mlu-bundle-XXXXXXXX/         elsewhere, and where that cannot be: removed with the process, at the latest by
                                        the next one

Files, and not the memory: the runtime opens the model again when its device failed, a manifest and a golden frame
beside it are what everything else already reads, and a small box would hold every model twice. Only this user may enter
these folders, none is ever below a link, and nothing is unpacked beside a bundle. Whoever uses one holds a lock on it,
which ends with the process however that ends; what nobody holds may be removed.
"""

from __future__ import annotations

import collections
import contextlib
import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
import tempfile
import threading
import time
import weakref
from pathlib import Path
from typing import IO, TYPE_CHECKING

from ..config.files import read_bounded, reason
from ..config.new_files import LEFT_S, remove_left, write_whole
from ..errors import CannotUnpack, DataError, MluAgentError
from .bundle_file import contents, open_bundle, read_head

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .bundle_file import Head

CACHE_VARIABLE = "CACHE_DIRECTORY"  # set by systemd
KEPT = 4  # folders that nobody uses, and temporary ones that nobody is known to use
HEAD = ".head"  # beside the members: what says of them that they are right, and who signed that
LAST_GOOD = "last-good.json"
MAX_REMEMBERED = 16
MAX_RECORD = 1 << 17
_PREFIX = "mlu-bundle-"
_lock = threading.Lock()
_held: collections.OrderedDict[str, Unpacked] = collections.OrderedDict()  # temporary ones, by digest


class Unpacked:
    """A bundle's members as files in ``folder``, there for as long as this object is.

    ``temporary``: and no longer than this process. ``uncached``: why not in the cache, where there is to be one."""

    def __init__(self, folder: Path, handle: int, *, temporary: bool, uncached: str = "") -> None:
        self.folder = folder
        self.temporary = temporary
        self.uncached = uncached
        self._end = weakref.finalize(self, _leave, folder, handle, temporary, os.getpid())

    def close(self) -> None:
        """Nobody needs the files any more."""
        self._end()


def cache_folder() -> Path | None:
    """Where bundles are kept from start to start, None where no place was named."""
    place = os.environ.get(CACHE_VARIABLE, "").split(":")[0]
    return Path(place) / "bundles" if place else None


def unpack(file: IO[bytes], head: Head, name: str) -> Unpacked:
    """The members of an open bundle as files. DataError if one is damaged, CannotUnpack if there is no room.

    A cache that cannot be used, because it is full, read-only or somebody else's, is done without."""
    for member in head.index.members:
        for _ in contents(file, member, name):
            pass
    cache, uncached = cache_folder(), ""
    with _lock:
        if cache is not None:
            try:
                return _unpack(file, head, name, cache)
            except OSError as failure:
                uncached = f"{cache}: {reason(failure)}"
        try:
            return _unpack_temporary(file, head, name, uncached)
        except OSError as failure:
            place = f"{f'{cache} and ' if cache else ''}{_temporary_root()}"
            raise CannotUnpack(
                f"{name}: cannot be unpacked into {place} ({reason(failure)}); make room there, or name another folder "
                f"in {f'{CACHE_VARIABLE} or ' if cache else ''}TMPDIR"
            ) from None


def remember(path: Path, sha256: str, paths: Iterable[Path]) -> None:
    """The bundle at ``path`` is good, and the one of that digest: it stays until another one is. ``paths``: where those
    lie that are remembered beside it. OSError."""
    cache = cache_folder()
    if cache is not None:
        with _lock:
            others = {str(one) for one in paths} - {str(path)}
            known = {name: digest for name, digest in _remembered(cache).items() if name in others}
            last = dict([*known.items(), (str(path), sha256)][-MAX_REMEMBERED:])
            write_whole(cache / LAST_GOOD, json.dumps(last).encode())


def last_good(path: Path) -> tuple[Head, Unpacked] | None:
    """The last good bundle of that path, each byte of it checked again; None if there is none."""
    cache = cache_folder()
    digest = None if cache is None else _remembered(cache).get(str(path))
    if cache is None or digest is None or not _is_private(cache) or not re.fullmatch("[0-9a-f]{64}", digest):
        return None
    folder = cache / digest
    handle = _open(folder)
    if handle is None:
        return None
    files = Unpacked(folder, handle, temporary=False)
    try:
        with open_bundle(folder / HEAD) as file:
            head = read_head(file, HEAD, alone=True)
    except MluAgentError:
        return None
    return (head, files) if head.sha256 == digest and _holds(folder, head) else None


def _remembered(cache: Path) -> dict[str, str]:
    """Digests of the last good bundles, by their paths; whatever is wrong with the file, none."""
    try:
        known = json.loads(read_bounded(cache / LAST_GOOD, MAX_RECORD, DataError))
    except (MluAgentError, ValueError, RecursionError):
        return {}
    return {str(path): str(digest) for path, digest in known.items()} if isinstance(known, dict) else {}


def _holds(folder: Path, head: Head) -> bool:
    """Whether all members lie there, and the head itself."""
    return _is_whole(folder / HEAD, len(head.raw), head.sha256) and all(
        _is_whole(folder / member.name, member.size, member.sha256) for member in head.index.members
    )


def remove_temporary() -> None:
    """What this process unpacked for itself alone, at its end."""
    with _lock:
        while _held:
            _held.popitem()[1].close()


def _unpack(file: IO[bytes], head: Head, name: str, cache: Path) -> Unpacked:
    _make_private(cache)
    folder = cache / head.sha256
    kept = _open(folder)
    if kept is not None:
        if _holds(folder, head):
            with contextlib.suppress(OSError):  # on a read-only disk its age is not known, and nothing is removed
                os.utime(folder)
            return Unpacked(folder, kept, temporary=False)
        os.close(kept)
    _prune(cache)
    made, handle = _write(file, head, name, cache, ".new-")
    try:
        if os.path.lexists(folder):  # damaged: out of the way, whatever it is
            folder.rename(cache / f".old-{secrets.token_hex(8)}")
        made.rename(folder)
    except OSError:
        _leave(made, handle, True, os.getpid())
        raise
    return Unpacked(folder, handle, temporary=False)


def _temporary_root() -> str:
    """TMPDIR or what Python takes instead; where nothing can be written it does not tell which that is."""
    try:
        return tempfile.gettempdir()
    except OSError:
        return os.environ.get("TMPDIR", "/tmp")  # noqa: S108 - only said


def _unpack_temporary(file: IO[bytes], head: Head, name: str, uncached: str) -> Unpacked:
    held = _held.get(head.sha256)
    if held is None or not held.folder.is_dir():
        root = Path(tempfile.gettempdir())
        _remove_left(root, _PREFIX)
        held = Unpacked(*_write(file, head, name, root, _PREFIX), temporary=True, uncached=uncached)
        _held[head.sha256] = held
    _held.move_to_end(head.sha256)
    while len(_held) > KEPT:  # who still uses it holds it
        _held.popitem(last=False)
    return held


def _write(file: IO[bytes], head: Head, name: str, root: Path, prefix: str) -> tuple[Path, int]:
    """A new folder with all members, locked; nothing of it is left if that fails."""
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=root))  # 0700, a name that nobody had
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH)
        pieces = {member.name: contents(file, member, name) for member in head.index.members}
        for file_name, data in {HEAD: iter([head.raw]), **pieces}.items():
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(file_name, flags, 0o600, dir_fd=handle), "wb") as copy:
                for piece in data:
                    copy.write(piece)
                copy.flush()
                os.fsync(copy.fileno())
    except BaseException:
        _leave(folder, handle, True, os.getpid())
        raise
    return folder, handle


def _leave(folder: Path, handle: int, remove: bool, owner: int) -> None:
    if os.getpid() != owner:  # a process that was forked meanwhile
        return
    if remove:
        shutil.rmtree(folder, ignore_errors=True)
    os.close(handle)


def _make_private(cache: Path) -> None:
    if os.geteuid() == 0 and cache.parent.stat().st_uid != 0:  # one made by root would shut its owner out
        raise PermissionError(f"{cache.parent} is another user's")
    cache.mkdir(mode=0o700, exist_ok=True)
    if not _is_private(cache):
        raise PermissionError(f"{cache} is no folder of ours alone")


def _is_private(cache: Path) -> bool:
    """Whether nobody else can have put anything there."""
    try:
        status = cache.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o022


def _open(folder: Path) -> int | None:
    """The folder, opened and locked; None if there is no such one."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        if _is_at(handle, folder):
            return handle
    except OSError:
        pass
    os.close(handle)  # it is being removed, or was
    return None


def _is_at(handle: int, folder: Path) -> bool:
    """Whether that path still names the open folder. OSError if nothing is there."""
    return os.path.samestat(os.fstat(handle), folder.lstat())


def _is_whole(path: Path, size: int, sha256: str) -> bool:
    digest = hashlib.sha256()
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode) or status.st_size != size:
                return False
            while piece := file.read(1 << 20):
                digest.update(piece)
    except OSError:
        return False
    return digest.hexdigest() == sha256


def _prune(cache: Path) -> None:
    """Room for one more: of the folders that nobody uses or remembers, the newest KEPT - 1 stay."""
    _remove_left(cache, ".")
    remove_left(cache)
    wanted = set(_remembered(cache).values())
    idle = [folder for folder in cache.iterdir() if len(folder.name) == 64 and folder.name not in wanted]
    idle.sort(key=lambda folder: folder.lstat().st_mtime, reverse=True)
    for folder in idle[KEPT - 1 :]:
        _remove_idle(folder)


def _remove_left(root: Path, prefix: str) -> None:
    """Folders of processes that were killed."""
    with contextlib.suppress(OSError):
        for folder in root.glob(f"{prefix}*"):
            status = folder.lstat()
            if status.st_uid == os.geteuid() and status.st_mtime < time.time() - LEFT_S:
                _remove_idle(folder)


def _remove_idle(folder: Path) -> None:
    """Under a name that nobody looks for: another process may put a new folder at this one meanwhile."""
    away = folder.with_name(f"{_PREFIX if folder.name.startswith(_PREFIX) else '.old-'}{secrets.token_hex(8)}")
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails where somebody uses it
            folder.rename(away)
            if _is_at(handle, away):
                shutil.rmtree(away, ignore_errors=True)
            else:  # the new one
                away.rename(folder)
        finally:
            os.close(handle)
