"""The one place that knows which TOML reader there is: ``tomllib`` of Python >= 3.11, else its twin ``tomli``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from .text import decode_text

if TYPE_CHECKING:
    from ..errors import MluAgentError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_INTEGER_BITS = 64
_TOO_LARGE = f"not valid TOML: a number has more than TOML's {_INTEGER_BITS} bits; no file that belongs here has one"
_MOST_DOTS = 1000  # the reader's time grows with the square of a dotted key's length


def parse_toml(data: bytes, name: str, error: type[MluAgentError]) -> dict[str, Any]:
    """Parses TOML ``data``; ``name`` is what its sentences call it."""
    text = decode_text(data, name, error)
    if any(line.count(".") > _MOST_DOTS for line in text.split("\n")):
        raise error(f"{name}: a line has more than {_MOST_DOTS} dots; no file that belongs here does")
    try:
        document: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as failure:
        raise error(f"{name}: not valid TOML: {failure}; correct it there") from None
    except RecursionError:
        raise error(f"{name}: not valid TOML: nested too deeply; correct it there") from None
    except ValueError:  # Python's own limit for a number of thousands of digits, and its advice to raise it
        raise error(f"{name}: {_TOO_LARGE}") from None
    field = _too_large(document)
    if field is not None:
        raise error(f"{name}: {_TOO_LARGE}: correct {field}")
    return document


def _too_large(document: dict[str, Any]) -> str | None:
    """The field with a whole number that is too large, at any depth; None if there is none."""
    waiting: list[tuple[str, Any]] = list(document.items())
    while waiting:
        field, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [(f"{field}.{key}", one) for key, one in value.items()]
        elif isinstance(value, list):
            waiting += [(field, one) for one in value]
        elif isinstance(value, int) and value.bit_length() > _INTEGER_BITS:
            return field
    return None
