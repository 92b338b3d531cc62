"""What a source wants of its pictures: which classes, and which part of the frame."""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING, Any

from .fields import is_number, show

if TYPE_CHECKING:
    from .fields import Fields

MAX_CLASSES = 256  # each stands in every message
MAX_LABEL = 128
SMALLEST_SIDE = 0.01  # of a region: 19 pixels of 1920
_CLASSES = 'write labels in quotes, as ["person", "car"], or each with its confidence, as { person = 0.6, car = 0 }'
_ROI = f"write [left, top, right, bottom] in 0..1, right and bottom at least {SMALLEST_SIDE:g} greater"


def read_classes(table: Fields) -> tuple[tuple[str, float], ...]:
    """The labels of ``classes``, an array of them or a table of their confidences; 0 where none is written."""
    value = table.raw("classes")
    pairs = _pairs(value)
    if pairs is None or len(pairs) > MAX_CLASSES:
        table.problem("classes", f"{show(value)} is not accepted; {_CLASSES}")
        return ()
    wrong = [show(label) for label, confidence in pairs if not _is_label(label) or not _is_share(confidence)]
    if wrong:
        table.problem("classes", f"{wrong[0]} or its confidence is not accepted; {_CLASSES}")
        return ()
    counts = collections.Counter(label for label, _ in pairs)
    for label in (label for label, count in counts.items() if count > 1):
        table.problem("classes", f"{show(label)} stands there twice; write it once")
    if isinstance(value, dict) and not value:
        table.problem("classes", f"is an empty table; {_CLASSES}, or [] for all")
    return tuple((label, float(confidence)) for label, confidence in pairs)


def read_roi(table: Fields, usual: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    """The rectangle ``roi``; ``usual`` where it is not written."""
    value = table.raw("roi")
    if value is None:
        return usual
    if isinstance(value, list) and len(value) == 4 and all(_is_share(side) for side in value):
        left, top, right, bottom = map(float, value)
        if min(right - left, bottom - top) >= SMALLEST_SIDE:
            return left, top, right, bottom
    table.problem("roi", f"{show(value)} is not accepted; {_ROI}")
    return usual


def _pairs(value: Any) -> list[tuple[Any, Any]] | None:
    if value is None:
        return []
    if isinstance(value, dict):
        return list(value.items())
    return [(label, 0.0) for label in value] if isinstance(value, list) else None


def _is_label(value: object) -> bool:
    return isinstance(value, str) and value.isprintable() and 1 <= len(value.encode(errors="replace")) <= MAX_LABEL


def _is_share(value: Any) -> bool:
    return is_number(value) and 0 <= value <= 1
