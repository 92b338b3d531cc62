"""The one place that knows which TOML reader there is: ``tomllib`` of Python >= 3.11, else its twin ``tomli``."""

from __future__ import annotations

import stat
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from mlu_agent.errors import MluAgentError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_MOST_DOTS = 1000  # the reader's time grows with the square of a dotted key's length


def read_toml(path: Path, limit: int, error: type[MluAgentError]) -> dict[str, Any]:
    """Parse the TOML file ``path`` of at most ``limit`` bytes; every failure is an ``error`` with one sentence."""
    return parse_toml(read_bounded(path, limit, error), path.name, error)


def parse_toml(data: bytes, name: str, error: type[MluAgentError]) -> dict[str, Any]:
    """Parse TOML ``data``; ``name`` is what its sentences call it."""
    if any(line.count(b".") > _MOST_DOTS for line in data.split(b"\n")):
        raise error(f"{name}: a line has more than {_MOST_DOTS} dots; no file that belongs here does")
    try:
        document: dict[str, Any] = tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError as failure:
        raise error(f"{name}: byte {failure.start} is not UTF-8; save the file as UTF-8 text") from None
    except (ValueError, RecursionError) as failure:
        reason = str(failure) or "nested too deeply"
        raise error(f"{name}: not valid TOML: {reason}; correct it there") from None
    return document


def read_bounded(path: Path, limit: int, error: type[MluAgentError]) -> bytes:
    """The bytes of the regular file ``path``, refused beyond ``limit`` before they are read."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise error(f"{path}: not a regular file; give the path of a file")
        with path.open("rb") as file:
            data = file.read(limit + 1) if status.st_size <= limit else b""
    except (OSError, ValueError) as failure:
        reason = getattr(failure, "strerror", None) or failure
        raise error(f"{path}: cannot be read ({reason}); check the path and its permissions") from None
    if status.st_size > limit or len(data) > limit:
        raise error(f"{path}: larger than {limit} bytes; this is not the file that belongs here")
    return data
