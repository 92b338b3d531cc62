"""Reading with a bound, writing under a temporary name, digests."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from typing import TYPE_CHECKING

from mlu_agent.config.files import read_at_most
from mlu_agent.config.new_files import remove_left, whole_file
from mlu_agent.errors import DataError, UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


def read_bounded(path: Path, limit: int, what: str) -> bytes:
    """The whole regular file, at most ``limit`` bytes; raises DataError with one sentence."""
    check_regular(path)
    try:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > limit:
                raise DataError(f"{path} has {size} bytes; {what} of at most {limit} are accepted")
            data = read_at_most(stream, limit + 1, size + 1)
    except OSError as error:
        raise DataError(f"cannot read the {what} {path}: {error.strerror}") from error
    if len(data) > limit:
        raise DataError(f"{path} grew beyond {limit} bytes while it was read")
    return data


def check_regular(path: Path) -> None:
    """Raises DataError for a device or a pipe, which may have no end; opening tells of a folder, and of nothing."""
    with contextlib.suppress(OSError):
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise DataError(f"{path}: not a regular file; give the path of a file")


def sha256_hex(data: bytes) -> str:
    """The digest as manifests and recipes write it: 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def make_directory(path: Path) -> None:
    """Creates an output folder; raises UserError."""
    if path.exists() and not path.is_dir():
        raise UserError(f"cannot create the output folder {path}: it is a file; give a folder")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot create the output folder {path}: {error.strerror}") from error


def check_target(path: Path, what: str = "the output file") -> None:
    """Raises UserError unless ``path`` is a regular file or nothing yet: a rename would put a file in a device's place.

    ``what`` is how the sentence calls it, ``--report`` for example.
    """
    try:
        mode = path.stat().st_mode
    except OSError:  # nothing there; a folder that cannot be reached is told when it is written to
        return
    if stat.S_ISDIR(mode):
        raise UserError(f"{what} {path} is a folder: name a file in it")
    if not stat.S_ISREG(mode):
        raise UserError(f"{what} {path} is a device or a pipe, and only a regular file can be replaced: name a file")


def check_folder(path: Path) -> None:
    """Raises UserError where files could not be written into the folder ``path``, there or to be made: before any work,
    and without making it."""
    found = path
    while not found.exists() and found != found.parent:
        found = found.parent
    if not found.is_dir():
        where = "it" if found == path else found
        raise UserError(f"cannot create the output folder {path}: {where} is a file; give a folder")
    if not os.access(found, os.W_OK | os.X_OK):
        raise UserError(f"cannot write into {path}: no permission to write in {found}; give another folder")


def check_output(path: Path, what: str, inputs: Iterable[Path]) -> None:
    """Raises UserError where ``path`` cannot be written, or is a file that the command reads: before any work."""
    check_target(path, what)
    check_folder(path.parent)
    for given in inputs:
        if path.exists() and given.exists() and path.samefile(given):
            raise UserError(f"{what} {path} is the file that is read; give another name")


def write_all(directory: Path, contents: Mapping[str, bytes]) -> None:
    """Writes several files so that none is ever seen half-written: all to temporary names first, then renamed.

    Raises UserError; then no file of the set has been replaced unless a rename itself failed.
    """
    make_directory(directory)
    for name in contents:
        check_target(directory / name)
    remove_left(directory)
    try:
        with contextlib.ExitStack() as files:
            for name, data in contents.items():
                file = files.enter_context(whole_file(directory / name))
                file.write(data)
                file.flush()
                os.fsync(file.fileno())  # here, before any of them has its name
    except OSError as error:
        raise UserError(f"cannot write into {directory}: {error.strerror}") from error
