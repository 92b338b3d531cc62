"""F1 over confidence: what another threshold would give, and which is best.

At a threshold t what a daemon reports is kept: of each box its best class, if its confidence is at least t. Matched
with the objects at an IoU of .5 as COCO matches, in the order of confidence, so that what lies below t changes nothing
of what lies above: right ones, wrong ones and missed objects at every t follow from one matching.

    F1(t) = 2 right / (2 right + wrong + missed)        precision and recall's harmonic mean

It changes at the confidences of detections alone. The best threshold is the confidence at which it is greatest, the
highest of several: a detection of exactly that confidence is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .matching import Cell

THRESHOLDS = np.linspace(0.0, 1.0, 101)  # of a drawn curve
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class F1:
    """``values`` (101,) at THRESHOLDS; ``best`` and the confidence ``at`` which it is; 0 and None without detections
    that are right."""

    values: Floats
    best: float
    at: float | None


def f1_of(cells: Sequence[Cell]) -> F1:
    """Of cells matched at one IoU for one area."""
    objects = int(sum(int(cell.objects[0]) for cell in cells))
    counted = np.concatenate([~cell.ignored[0, 0] for cell in cells] or [np.empty(0, np.bool_)])
    scores = np.concatenate([cell.scores for cell in cells] or [np.empty(0)])[counted]
    right = np.concatenate([cell.matched[0, 0] for cell in cells] or [np.empty(0, np.bool_)])[counted]
    order = np.argsort(-scores, kind="stable")
    scores, hits = scores[order], np.concatenate([[0], np.cumsum(right[order])])
    kept = np.searchsorted(-scores, -THRESHOLDS.astype(np.float32).astype(np.float64), side="right")
    values = _f1(hits[kept], kept, objects)
    ends = np.flatnonzero(np.append(scores[:-1] != scores[1:], True)) + 1 if len(scores) else np.empty(0, np.int64)
    found = _f1(hits[ends], ends, objects)
    if not len(found) or not found.max():
        return F1(values, 0.0, None)
    best = int(found.argmax())  # the first of equal ones has the highest confidence
    return F1(values, float(found[best]), float(scores[ends[best] - 1]))


def _f1(right: npt.NDArray[np.int64], kept: npt.NDArray[np.int64], objects: int) -> Floats:
    """2 right / (2 right + wrong + missed), which is 2 right / (kept + objects); 0 where there is neither."""
    result: Floats = 2.0 * right / np.maximum(kept + objects, 1)
    return result
