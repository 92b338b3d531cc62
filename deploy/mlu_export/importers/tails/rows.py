"""What the end of a network holds, read in every way that exporters have: boxes with a score and a class each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Array = npt.NDArray[Any]
BOX = 4
MOST_CHOSEN = 1 << 14  # rows that a network's own choice of boxes leaves


@dataclass(frozen=True, eq=False)
class Rows:
    """Boxes (N, 4) as the network codes them, with the confidence and the class of each."""

    boxes: Array
    confidence: Array
    class_id: Array


def read_rows(end: Sequence[Array], cells: int, classes: int) -> Iterator[Rows]:
    """Every reading of a network's last tensors for levels of ``cells`` cells together and so many classes."""
    flat = [np.squeeze(one) for one in end if one.dtype.kind in "fiu"]
    tables = [one for one in flat if one.ndim == 2]
    for table in tables:
        yield from _one_table(table, cells, classes)
    for boxes in tables:
        if boxes.shape[1] == BOX:
            yield from _beside(boxes, [one for one in flat if one is not boxes], classes)


def _one_table(table: Array, cells: int, classes: int) -> Iterator[Rows]:
    for turned in (table, table.T):
        rows, width = turned.shape
        if width >= BOX + classes and rows % cells == 0:
            yield from _dense(turned[:, :BOX], turned[:, BOX:], classes)
        elif width in (6, 7) and rows <= MOST_CHOSEN:
            start = width - 6  # a first column says which picture it is
            first, last = turned[:, start + 4], turned[:, start + 5]
            yield Rows(turned[:, start : start + 4], first, last)
            yield Rows(turned[:, start : start + 4], last, first)


def _beside(boxes: Array, others: Sequence[Array], classes: int) -> Iterator[Rows]:
    """Boxes in a tensor of their own: scores of all classes in another, or score and class in one each."""
    for other in others:
        for scores in (other, other.T):
            if scores.ndim == 2 and scores.shape[0] == len(boxes) and scores.shape[1] >= classes:
                yield from _dense(boxes, scores, classes)
    vectors = [one for one in others if one.shape == (len(boxes),)]
    for confidence in vectors:
        for class_id in vectors:
            if confidence is not class_id:
                yield Rows(boxes, confidence, class_id)


def _dense(boxes: Array, scores: Array, classes: int) -> Iterator[Rows]:
    """One row for every cell: the scores of all classes, an objectness before them or other numbers behind them."""
    own = scores[:, :classes]
    yield Rows(boxes, own.max(axis=1), own.argmax(axis=1))
    if scores.shape[1] > classes:
        own = scores[:, :1] * scores[:, 1 : classes + 1]
        yield Rows(boxes, own.max(axis=1), own.argmax(axis=1))


def corners(boxes: Array, size: tuple[int, int]) -> Iterator[tuple[str, Array]]:
    """The boxes as left, top, right, bottom in pixels of an input of ``size``, for every way to code them."""
    height, width = size
    boxes = boxes.astype(np.float32)
    half = boxes[:, 2:] / 2
    found = {
        "centre": np.concatenate((boxes[:, :2] - half, boxes[:, :2] + half), axis=1),
        "corners": boxes,
        "rows first": boxes[:, [1, 0, 3, 2]],
    }
    for name, one in found.items():
        yield name, one
        yield f"{name} of 1", one * np.array([width, height, width, height], np.float32)
