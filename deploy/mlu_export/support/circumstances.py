"""When, where and by what a report was made, and of which files: what a reader asks first, months later."""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlu_agent.errors import UserError

from .files import check_regular

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

CHUNK = 1 << 20
MAX_COMMAND = 4096  # characters of a command that a report repeats


@dataclass(frozen=True)
class Circumstances:
    """``date`` UTC, to the second; ``host``: the machine's name and kind of processor; ``command`` as it was typed;
    ``digests``: SHA-256 of what was measured, by what it is. The first two are all that differs between two reports of
    the same command on the same files.
    """

    date: str
    host: str
    command: str
    digests: Mapping[str, str]

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return {"date": self.date, "host": self.host, "command": self.command, "sha256": dict(self.digests)}


def circumstances(words: Sequence[str], digests: Mapping[str, str]) -> Circumstances:
    """Those of now. ``words``: of the command line, without the program."""
    host = f"{platform.node() or 'unnamed'} ({platform.machine()})"
    command = shlex.join(["mlu-export", *words])
    return Circumstances(_date(), host, command[:MAX_COMMAND], digests)


def _date() -> str:
    """SOURCE_DATE_EPOCH stands in for the clock where it is set, as for anything that is to be made twice alike."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    if epoch and not (epoch.isascii() and epoch.isdigit() and len(epoch) <= 11):
        raise UserError(f"SOURCE_DATE_EPOCH={epoch[:40]!r}: not a number of seconds since 1970; correct or unset it")
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(int(epoch) if epoch else None))


def file_digest(path: Path) -> str:
    """Of a file of any size. Raises UserError, DataError."""
    check_regular(path)
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    return digest.hexdigest()


def files_digest(paths: Iterable[Path]) -> str:
    """Of several files: that of the lines "digest, two blanks, name" that sha256sum prints in their folder."""
    lines = (f"{file_digest(path)}  {path.name}\n".encode("utf-8", "surrogateescape") for path in paths)
    return hashlib.sha256(b"".join(lines)).hexdigest()
