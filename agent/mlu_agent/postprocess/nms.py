"""Greedy non-maximum suppression per class: of two boxes of one class that overlap by more than the threshold, the
one of lower confidence goes.

Candidates are taken in blocks in order of confidence; a block is compared with what was kept so far and within
itself, so that work stops as soon as enough boxes are kept and no matrix of all pairs is ever made. Where a block has
many classes, the pairs of one class are few: they are listed and compared alone. Where it has few, listing costs more
than the matrix of a small block, which is compared whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Indices = NDArray[np.intp]

_FRONT = 2048  # of more than twice as many candidates, those that are sorted first
_BLOCK = 512
_DENSE_BLOCK = 128
_DENSE = 8  # listed pairs, of all pairs one in so many: from there on the matrix is faster


class _Boxes(NamedTuple):
    """``sides`` float32 (4, N): left, top, right, bottom; ``area`` float32 (N,), ``class_id`` (N,)."""

    sides: NDArray[np.float32]
    area: NDArray[np.float32]
    class_id: NDArray[np.int32]

    def at(self, index: Indices) -> _Boxes:
        return _Boxes(self.sides.take(index, 1), self.area.take(index), self.class_id.take(index))


def nms(
    xyxy: NDArray[np.float32],
    confidence: NDArray[np.float32],
    class_id: NDArray[np.int32],
    iou: float,
    max_detections: int,
) -> Indices:
    """Indices of the boxes that stay, by descending confidence (equal ones in their order), at most ``max_detections``.

    ``xyxy`` (N, 4), ``confidence`` (N,), ``class_id`` (N,), all finite. ``iou`` 0..1; a pair at exactly ``iou`` stays.
    """
    sides = np.ascontiguousarray(xyxy.T)
    boxes = _Boxes(sides, (sides[2] - sides[0]) * (sides[3] - sides[1]), class_id)
    kept = np.empty(0, np.intp)
    for order in by_confidence(-confidence):
        for start in range(0, len(order), _BLOCK):
            kept = _extend(boxes, kept, order[start : start + _BLOCK], iou, max_detections)
            if len(kept) >= max_detections:
                return kept[:max_detections]
    return kept


def by_confidence(negative: NDArray[np.float32]) -> Iterator[Indices]:
    """The stable order of ``negative`` (N,) in one part, or in two, as what is sure enough is often in the first."""
    if len(negative) <= 2 * _FRONT:
        yield negative.argsort(kind="stable")
        return
    limit = np.partition(negative, _FRONT)[_FRONT]
    for side in (negative <= limit, negative > limit):
        part = side.nonzero()[0]
        yield part.take(negative.take(part).argsort(kind="stable"))


def _extend(boxes: _Boxes, kept: Indices, block: Indices, iou: float, enough: int) -> Indices:
    """``kept`` and what stays of ``block``, whose boxes are less sure than all of ``kept``."""
    members = np.concatenate((kept, block)) if len(kept) else block
    by_class = boxes.class_id.take(members).argsort(kind="stable")
    sorted_boxes = boxes.at(members.take(by_class))
    place = np.arange(len(members))
    later = np.searchsorted(sorted_boxes.class_id, sorted_boxes.class_id, side="right") - place - 1
    total = int(later.sum())
    if total * _DENSE > len(members) * len(block):
        return _extend_dense(boxes, kept, block, iou, enough)
    first = place.repeat(later)
    second = np.arange(1, total + 1) + (place - later.cumsum() + later).repeat(later)
    found = _overlaps(sorted_boxes.at(first), sorted_boxes.at(second), iou).nonzero()[0]
    alive = [True] * len(members)
    # a pair stands behind those that may remove its first box: both are of one class, in order of confidence
    for one, other in zip(first.take(found).tolist(), second.take(found).tolist()):
        if alive[one]:
            alive[other] = False
    stays = np.empty(len(members), np.bool_)
    stays[by_class] = alive
    return members[stays]


def _extend_dense(boxes: _Boxes, kept: Indices, block: Indices, iou: float, enough: int) -> Indices:
    """The same, by matrices of all pairs."""
    for start in range(0, len(block), _DENSE_BLOCK):
        if len(kept) >= enough:
            break
        part = block[start : start + _DENSE_BLOCK]
        if len(kept):
            part = part[~_crossed(boxes.at(part), boxes.at(kept), iou).any(axis=1)]
        mine = boxes.at(part)
        kept = np.concatenate((kept, part[greedy(_crossed(mine, mine, iou))]))
    return kept


def greedy(overlaps: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(N, N) overlaps of boxes in order of confidence -> which of them stay."""
    alive = np.ones(len(overlaps), np.bool_)
    above = np.triu(overlaps, 1)
    for index in np.flatnonzero(above.any(axis=1)).tolist():
        if alive[index]:
            alive &= ~above[index]
    return alive


def _crossed(a: _Boxes, b: _Boxes, iou: float) -> NDArray[np.bool_]:
    """(len(a), len(b)): same class and IoU above ``iou``."""
    rows = _Boxes(a.sides[:, :, None], a.area[:, None], a.class_id[:, None])
    result = _overlaps(rows, b, iou)
    result &= rows.class_id == b.class_id
    return result


def _overlaps(a: _Boxes, b: _Boxes, iou: float) -> NDArray[np.bool_]:
    """Where the IoU of ``a`` and ``b``, broadcast, is above ``iou``, without a division:
    overlap / (area_a + area_b - overlap) > t is the same as overlap * (1 + t) > t * (area_a + area_b)."""
    overlap: NDArray[Any] = np.minimum(a.sides[2], b.sides[2])
    overlap -= np.maximum(a.sides[0], b.sides[0])
    np.maximum(overlap, 0, out=overlap)
    height = np.minimum(a.sides[3], b.sides[3])
    height -= np.maximum(a.sides[1], b.sides[1])
    np.maximum(height, 0, out=height)
    overlap *= height
    overlap *= np.float32(1 + iou)
    np.add(a.area, b.area, out=height)
    height *= np.float32(iou)
    result: NDArray[np.bool_] = overlap > height
    return result
