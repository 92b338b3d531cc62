"""The simulator laid out as NEUWARE_HOME is: what build files of CNRT programs expect below ``/usr/local/neuware``.

Everything is a copy, so that programs built against the tree run on after the installation has moved or gone.
The tree is made beside its place and gets its name when it is whole; a file in it says what it is and lists what was
written, by which the next run knows the tree as its own and what in it is not.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from typing import TYPE_CHECKING

from ..errors import RuntimeFailure, UserError
from ..version import version

if TYPE_CHECKING:
    from pathlib import Path

LIBRARIES = ("libcnrt.so", "libcndrv.so")
MARK = "mlu-agent-simulator.txt"
LINK = "lib"  # edge boxes have lib/ where hosts have lib64/
_FIRST_LINE = "mlu-agent simulator --neuware"
_MOST_MARK_BYTES = 1 << 16


def write_tree(native: Path, home: Path) -> bool:
    """Copies what ``native`` holds into ``home``, all or nothing; True if that replaced an older tree.

    UserError where ``home`` holds anything else, RuntimeFailure where it cannot be written.
    """
    home = home.resolve()
    renewed = _refuse_others(home)
    part = home.with_name(f".{home.name}.{secrets.token_hex(8)}.part")
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        part.mkdir()
        _fill(native, part)
        _put(part, home, renewed=renewed)
    except OSError as error:
        raise RuntimeFailure(
            f"{home} cannot be written: {error.strerror}; name a folder that may be written to, on a disk with room"
        ) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return renewed


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
        others = {str(path.relative_to(home)) for path in _entries(home)} - ours
    except OSError as error:
        raise UserError(f"--neuware {home}: it cannot be read ({error.strerror})") from None
    if others:
        raise UserError(
            f"--neuware {home}: {min(others)} in it was not put there by this command, which replaces the folder; "
            "move it out, or name another folder"
        )
    return True


def _entries(folder: Path) -> list[Path]:
    """Everything in a folder but the folders, sorted; links are not followed."""
    return sorted(path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())


def _listed(mark: Path) -> set[str]:
    """The files that a mark lists, itself too; none if it is no mark of ours."""
    try:
        with mark.open(encoding="utf-8") as file:
            lines = file.read(_MOST_MARK_BYTES).splitlines()
    except (OSError, UnicodeDecodeError):
        return set()
    if not lines or not lines[0].startswith(_FIRST_LINE):
        return set()
    return {line[2:] for line in lines if line.startswith("  ")} | {MARK}


def _fill(native: Path, part: Path) -> None:
    for path in sorted((native / "neuware").rglob("*")):
        if path.is_file():
            _copy(path, part / path.relative_to(native / "neuware"))
    for path in sorted((native / "include").glob("*.h")):
        _copy(path, part / "include" / path.name)
    for path in sorted((native / "profiles").glob("*.toml")):  # which the library looks for beside itself
        _copy(path, part / "lib64" / "profiles" / path.name)
    for name in LIBRARIES:
        _copy(native / name, part / "lib64" / name)
    (part / LINK).symlink_to("lib64")
    names = [str(path.relative_to(part)) for path in _entries(part)]
    _write(part / MARK, _words(names).encode("utf-8"))


def _words(names: list[str]) -> str:
    return (
        f"{_FIRST_LINE} of mlu-agent {version()} wrote this folder, and renews it.\n\n"
        "A simulator of Cambricon's runtime library CNRT 4.x, laid out as NEUWARE_HOME is; not the vendor's toolkit.\n"
        "libcnrt.so computes on the host's processors. libcndrv.so is empty: build files link it, programs call\n"
        "nothing in it. There is no compiler, no CNML, no codec here. Files:\n\n"
        + "".join(f"  {name}\n" for name in names)
    )


def _copy(source: Path, place: Path) -> None:
    _write(place, source.read_bytes())


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
