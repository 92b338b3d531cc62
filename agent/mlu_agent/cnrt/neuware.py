"""The simulator laid out as NEUWARE_HOME is: what build files of CNRT programs expect below ``/usr/local/neuware``.

Everything is a copy, so that programs built against the tree run on after the installation has moved or gone.
The tree is made beside its place and gets its name when it is whole; a file in it says what it is and lists what was
written with digests, by which the next run knows the tree as its own, and what in it is not or was changed since.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import secrets
import shutil
import time
from typing import TYPE_CHECKING

from ..config.new_files import write_whole
from ..errors import RuntimeFailure, UserError
from ..version import version

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LIBRARIES = ("libcnrt.so", "libcndrv.so")
MARK = "mlu-agent-simulator.txt"
LINK = "lib"  # edge boxes have lib/ where hosts have lib64/
_FIRST_LINE = "mlu-agent simulator --neuware"
_MOST_MARK_BYTES = 1 << 16
WAIT_S = 60.0  # for others that write beside the same place
_NO_RENAMES = (errno.EBUSY, errno.EXDEV, errno.EACCES, errno.EPERM, errno.EROFS)  # a mount point; a folder around it
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_tree(native: Path, home: Path) -> bool:
    """Copies what ``native`` holds into ``home``, all or nothing; True if that replaced an older tree. A folder that
    cannot be replaced, as a mount point, is filled file by file.

    UserError where ``home`` holds anything else, RuntimeFailure where it cannot be written.
    """
    home = home.resolve()
    _refuse_files_above(home)
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        with _alone(home.parent):
            renewed = _refuse_others(home)
            _write_tree(native, home, renewed=renewed)
    except OSError as error:
        room = ", on a disk with room" if error.errno in _NO_ROOM else ""
        raise RuntimeFailure(
            f"{home} cannot be written: {error.strerror}; name a folder that may be written to{room}"
        ) from None
    return renewed


def _write_tree(native: Path, home: Path, *, renewed: bool) -> None:
    contents = _contents(native)
    part = home.with_name(f".{home.name}.{secrets.token_hex(8)}.part")
    try:
        part.mkdir()
        _fill(contents, part)
        _put(part, home, renewed=renewed)
    except OSError as error:
        if error.errno not in _NO_RENAMES or not home.is_dir():
            raise
        _fill_in_place(contents, home)
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """While nobody else writes a tree into ``folder``; where it cannot be locked, without that."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:  # it may still be written to
        yield
        return
    try:
        _lock(handle, folder)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, folder: Path) -> None:
    end = time.monotonic() + WAIT_S
    while not _locked(handle):
        if time.monotonic() >= end:
            raise UserError(f"--neuware: another process has kept {folder} locked; run it again later")
        time.sleep(0.05)


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _refuse_files_above(home: Path) -> None:
    above = next(path for path in home.parents if path.exists())
    if not above.is_dir():
        raise UserError(f"--neuware {home}: {above} is a file; name a folder below folders")


def _refuse_others(home: Path) -> bool:
    """Whether a tree of ours stands there; UserError for anything that is not ours."""
    if not home.exists():
        return False
    if not home.is_dir():
        raise UserError(f"--neuware {home}: it is a file; name a folder that does not exist, or an empty one")
    try:
        if next(home.iterdir(), None) is None:
            return False
        ours = _listed(home / MARK)
        if not ours:
            raise UserError(f"--neuware {home}: it is not empty and was not made by this command; name another folder")
        found = {str(path.relative_to(home)) for path in _entries(home)}
        others = found - set(ours)
        changed = sorted(name for name in found & set(ours) if ours[name] not in ("", _digest(home / name)))
    except OSError as error:
        raise UserError(f"--neuware {home}: it cannot be read ({error.strerror})") from None
    if others:
        raise UserError(
            f"--neuware {home}: {min(others)} in it was not put there by this command, which replaces the folder; "
            "move it out, or name another folder"
        )
    if changed:
        raise UserError(
            f"--neuware {home}: {', '.join(changed)} changed since this command wrote it; keep a copy elsewhere and "
            "delete it there to have it renewed, or name another folder"
        )
    return True


def _digest(path: Path) -> str:
    """Of what stands in a file's place; a link has none that fits."""
    return "" if path.is_symlink() or not path.is_file() else hashlib.sha256(path.read_bytes()).hexdigest()


def _entries(folder: Path) -> list[Path]:
    """Everything in a folder but the folders, sorted; links are not followed."""
    return sorted(path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())


def _listed(mark: Path) -> dict[str, str]:
    """The files that a mark lists, itself too, with their digests or ""; none if it is no mark of ours."""
    try:
        with mark.open(encoding="utf-8") as file:
            lines = file.read(_MOST_MARK_BYTES).splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    if not lines or not lines[0].startswith(_FIRST_LINE):
        return {}
    found = [re.fullmatch("  (?:([0-9a-f]{64})  )?(.+)", line) for line in lines]
    return {**{match[2]: match[1] or "" for match in found if match}, MARK: ""}


def _contents(native: Path) -> dict[str, bytes]:
    """The files by their names in the tree; the mark is the first of them."""
    paths = {path.relative_to(native / "neuware"): path for path in (native / "neuware").rglob("*") if path.is_file()}
    files = {str(name): path.read_bytes() for name, path in paths.items()}
    files.update({f"include/{path.name}": path.read_bytes() for path in (native / "include").glob("*.h")})
    # which the library looks for beside itself
    files.update({f"lib64/profiles/{path.name}": path.read_bytes() for path in (native / "profiles").glob("*.toml")})
    files.update({f"lib64/{name}": (native / name).read_bytes() for name in LIBRARIES})
    names = {LINK: "", **{name: hashlib.sha256(data).hexdigest() for name, data in files.items()}}
    return {MARK: _words(dict(sorted(names.items()))).encode("utf-8"), **files}


def _fill(contents: dict[str, bytes], part: Path) -> None:
    for name, data in contents.items():
        _write(part / name, data)
    (part / LINK).symlink_to("lib64")


def _fill_in_place(contents: dict[str, bytes], home: Path) -> None:
    """Each file appears whole, the mark first, so that a tree that was not finished is known as ours. What an older
    tree had besides goes; where there was none, a failure leaves none."""
    before = any(home.iterdir())
    old = set(_listed(home / MARK)) - set(contents) - {LINK}
    try:
        for name, data in contents.items():
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            write_whole(home / name, data)
        if not (home / LINK).is_symlink():
            (home / LINK).symlink_to("lib64")
    except OSError:
        if not before:
            _empty(home)
        raise
    for name in old:
        (home / name).unlink(missing_ok=True)


def _empty(home: Path) -> None:
    for path in home.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


def _words(names: dict[str, str]) -> str:
    return (
        f"{_FIRST_LINE} of mlu-agent {version()} wrote this folder, and renews it.\n\n"
        "A simulator of Cambricon's runtime library CNRT 4.x, laid out as NEUWARE_HOME is; not the vendor's toolkit.\n"
        "libcnrt.so computes on the host's processors. libcndrv.so is empty: build files link it, programs call\n"
        "nothing in it. There is no compiler, no CNML, no codec here. Files:\n\n"
        + "".join(f"  {digest}  {name}\n" if digest else f"  {name}\n" for name, digest in names.items())
    )


def _write(place: Path, data: bytes) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _put(part: Path, home: Path, *, renewed: bool) -> None:
    """Gives the new tree its name. An older one steps aside for that, and back if it fails."""
    if not renewed:
        part.rename(home)  # onto nothing or an empty folder
        return
    old = part.with_suffix(".old")
    home.rename(old)
    try:
        part.rename(home)
    except OSError:
        with contextlib.suppress(OSError):
            old.rename(home)
        raise
    shutil.rmtree(old, ignore_errors=True)
