"""Greedy non-maximum suppression per class: of two boxes of one class that overlap by more than the threshold, the
one of lower confidence goes.

Candidates are taken in blocks in order of confidence; a block is compared with what was kept so far and within
itself, so that work stops as soon as enough boxes are kept and no matrix of all pairs is ever made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BLOCK = 128


def nms(
    xyxy: NDArray[np.float32],
    confidence: NDArray[np.float32],
    class_id: NDArray[np.int32],
    iou: float,
    max_detections: int,
) -> NDArray[np.intp]:
    """Indices of the boxes that stay, by descending confidence (equal ones in their order), at most ``max_detections``.

    ``xyxy`` (N, 4), ``confidence`` (N,), ``class_id`` (N,), all finite. ``iou`` 0..1; a pair at exactly ``iou`` stays.
    """
    order = np.argsort(-confidence, kind="stable")
    kept = np.empty(0, np.intp)
    for start in range(0, len(order), _BLOCK):
        block = order[start : start + _BLOCK]
        if len(kept):
            block = block[~_overlaps(xyxy, class_id, block, kept, iou).any(axis=1)]
        kept = np.concatenate((kept, block[_greedy(_overlaps(xyxy, class_id, block, block, iou))]))
        if len(kept) >= max_detections:
            return kept[:max_detections]
    return kept


def _greedy(overlaps: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(N, N) overlaps of boxes in order of confidence -> which of them stay."""
    alive = np.ones(len(overlaps), np.bool_)
    above = np.triu(overlaps, 1)
    for index in np.flatnonzero(above.any(axis=1)).tolist():
        if alive[index]:
            alive &= ~above[index]
    return alive


def _overlaps(
    xyxy: NDArray[np.float32], class_id: NDArray[np.int32], a: NDArray[np.intp], b: NDArray[np.intp], iou: float
) -> NDArray[np.bool_]:
    """(len(a), len(b)): same class and IoU above ``iou``, without a division:
    overlap / (area_a + area_b - overlap) > t is the same as overlap * (1 + t) > t * (area_a + area_b)."""
    left, right = xyxy[a].T[:, :, None], xyxy[b].T[:, None, :]
    overlap = np.minimum(left[2], right[2])
    overlap -= np.maximum(left[0], right[0])
    np.maximum(overlap, 0, out=overlap)
    height = np.minimum(left[3], right[3])
    height -= np.maximum(left[1], right[1])
    np.maximum(height, 0, out=height)
    overlap *= height
    overlap *= np.float32(1 + iou)
    limit = (_area(left) + _area(right)) * np.float32(iou)
    result: NDArray[np.bool_] = overlap > limit
    result &= class_id[a][:, None] == class_id[b][None, :]
    return result


def _area(sides: NDArray[Any]) -> NDArray[Any]:
    area: NDArray[Any] = (sides[2] - sides[0]) * (sides[3] - sides[1])
    return area
