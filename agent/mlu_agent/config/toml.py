"""The one place that knows which TOML reader there is: ``tomllib`` of Python >= 3.11, else its twin ``tomli``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..errors import MluAgentError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_MOST_DOTS = 1000  # the reader's time grows with the square of a dotted key's length


def parse_toml(data: bytes, name: str, error: type[MluAgentError]) -> dict[str, Any]:
    """Parses TOML ``data``; ``name`` is what its sentences call it."""
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
