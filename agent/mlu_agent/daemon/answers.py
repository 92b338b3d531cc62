"""What somebody who asks a running daemon is answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable

Answer = Callable[[Mapping[str, Any]], None]  # called once, in any thread


def yes(sentence: str) -> dict[str, Any]:
    """It was done: what."""
    return {"ok": True, "done": sentence}


def no(sentence: str) -> dict[str, Any]:
    """It was not: why."""
    return {"ok": False, "error": sentence}
