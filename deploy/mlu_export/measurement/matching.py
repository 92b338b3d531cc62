"""Detections matched with annotated objects, and average precision, as pycocotools' COCOeval computes them for boxes.

The same numbers to the last bit, from arrays instead of loops over every threshold, size, detection and object: only
detections that overlap an object enough are looked at one by one. Overlaps are those of pycocotools itself.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    Floats = npt.NDArray[np.float64]
    Bools = npt.NDArray[np.bool_]

IOUS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
# Areas in pixels of what counts: everything, small, medium, large.
AREAS = np.array([[0, 1e5**2], [0, 32**2], [32**2, 96**2], [96**2, 1e5**2]])
MATCHING_IOU = 0.5  # of what a daemon reports
MOST = 100  # detections of a picture and category that count, the surest


@dataclass(frozen=True)
class Found:
    """Detections of one picture: ``categories`` (N,), ``boxes`` float64 (N, 4) x, y, width, height, ``scores`` (N,)."""

    picture: int
    categories: npt.NDArray[np.int64]
    boxes: Floats
    scores: Floats


@dataclass(frozen=True)
class Cell:
    """One category in one picture. ``scores`` (D,) of detections, sorted, and their ``boxes``; for each area and
    threshold (A, T, D) whether they are ``matched``, with which object of the category in the picture (``partner``, -1
    for none) and whether they are ``ignored``; ``objects`` (A,) to be found."""

    picture: int
    category: int
    scores: Floats
    boxes: Floats
    partner: npt.NDArray[np.int32]
    matched: Bools
    ignored: Bools
    objects: npt.NDArray[np.int64]


def match(
    coco: Any, found: Iterable[Found], thresholds: Floats = IOUS, areas: Floats = AREAS, most: int = MOST
) -> list[Cell]:
    """The cells that have detections or objects, by category and picture. Objects that are crowds are ignored."""
    categories = {int(number) for number in coco.getCatIds()}
    objects: dict[tuple[int, int], list[Any]] = defaultdict(list)
    for picture in coco.getImgIds():
        for one in coco.imgToAnns.get(picture, ()):
            if one["category_id"] in categories:
                objects[one["category_id"], picture].append(one)
    detections: dict[tuple[int, int], tuple[Floats, Floats]] = {}
    for one in found:
        for category in np.unique(one.categories).tolist():
            mine = np.flatnonzero(one.categories == category)
            mine = mine[np.argsort(-one.scores[mine], kind="stable")][:most]
            detections[category, one.picture] = one.boxes[mine], one.scores[mine]
    nothing = np.empty((0, 4)), np.empty(0)
    return [
        _cell(*place, objects.get(place, []), *detections.get(place, nothing), thresholds, areas)
        for place in sorted(objects.keys() | detections.keys())
    ]


def _cell(
    category: int, picture: int, objects: Sequence[Any], boxes: Floats, scores: Floats, thresholds: Floats,
    areas: Floats,
) -> Cell:  # fmt: skip
    crowd = np.array([bool(one["iscrowd"]) for one in objects], np.bool_)
    ignored = crowd | _outside(np.array([one["area"] for one in objects], np.float64), areas)
    shape = (len(areas), len(thresholds), len(scores))
    partner, skipped = np.full(shape, -1, np.int32), np.zeros(shape, np.bool_)
    if len(objects) and len(scores):
        _match_cell(overlaps(boxes, objects), crowd, ignored, thresholds, partner, skipped)
    matched = partner >= 0
    skipped |= ~matched & _outside(boxes[:, 2] * boxes[:, 3], areas)[:, None]
    return Cell(picture, category, scores, boxes, partner, matched, skipped, (~ignored).sum(axis=1))


def _outside(sizes: Floats, areas: Floats) -> Bools:
    """(A, N): whether the sizes (N,) are outside of each area."""
    result: Bools = (sizes < areas[:, :1]) | (sizes > areas[:, 1:])
    return result


def overlaps(boxes: Floats, objects: Sequence[Any]) -> Floats:
    """(D, G): IoU, or with a crowd the part of the detection that it covers."""
    theirs = np.array([one["bbox"] for one in objects], np.float64)
    return box_overlaps(boxes, theirs, [int(bool(one["iscrowd"])) for one in objects])


def box_overlaps(boxes: Floats, others: Floats, crowd: Sequence[int]) -> Floats:
    """(D, G): IoU of boxes x, y, width, height; where ``crowd`` is 1 the part of the box that the other covers."""
    from pycocotools import mask  # noqa: PLC0415 - the extra [eval]

    result: Floats = np.asarray(mask.iou(boxes, others, list(crowd)))
    return result


def _match_cell(
    ious: Floats, crowd: Bools, ignored: Bools, thresholds: Floats, partner: npt.NDArray[np.int32], skipped: Bools
) -> None:
    """Fills ``partner`` and ``skipped`` (A, T, D): in order of confidence each detection takes the object that it
    overlaps most of those that are left, the last of equal ones, and an ignored one only where there is no other.
    Crowds are always left."""
    limits = np.minimum(thresholds, 1 - 1e-10)[:, None]
    count = ious.shape[1]
    taken = np.zeros((*partner.shape[:2], count), np.bool_)
    for number in np.flatnonzero(ious.max(axis=1) >= limits.min()).tolist():
        fits = (ious[number] >= limits) & (~taken | crowd)
        wanted = fits & ~ignored[:, None]
        usable = np.where(wanted.any(axis=2, keepdims=True), wanted, fits)
        best = count - 1 - np.where(usable, ious[number], -1.0)[..., ::-1].argmax(axis=2)
        hit = usable.any(axis=2)
        partner[..., number] = np.where(hit, best, -1)
        skipped[..., number] = hit & np.take_along_axis(ignored, best, axis=1)
        taken |= hit[..., None] & (np.arange(count) == best[..., None])


def precisions(coco: Any, cells: Sequence[Cell]) -> tuple[Floats, list[int]]:
    """Precision [IoU threshold, recall, category, area], -1 where there are no objects, and the categories' order."""
    order = sorted(coco.getCatIds())
    by_category: dict[int, list[Cell]] = defaultdict(list)
    for cell in cells:
        by_category[cell.category].append(cell)
    result = -np.ones((len(IOUS), len(RECALLS), len(order), len(AREAS)))
    for place, category in enumerate(order):
        if category in by_category:
            _fill_curves(by_category[category], result[:, :, place])
    return result, order


def _fill_curves(cells: Sequence[Cell], result: Floats) -> None:
    """Of one category, into [IoU threshold, recall, area]."""
    objects = np.sum([cell.objects for cell in cells], axis=0)
    order = np.argsort(-np.concatenate([cell.scores for cell in cells]), kind="stable")
    matched = np.concatenate([cell.matched for cell in cells], axis=2)[..., order]
    counted = ~np.concatenate([cell.ignored for cell in cells], axis=2)[..., order]
    right = np.cumsum(matched & counted, axis=2).astype(np.float64)
    wrong = np.cumsum(~matched & counted, axis=2).astype(np.float64)
    precision = right / (wrong + right + np.spacing(1))
    envelope = np.maximum.accumulate(precision[..., ::-1], axis=2)[..., ::-1]
    for area in np.flatnonzero(objects).tolist():
        recall = right[area] / objects[area]
        for threshold in range(len(IOUS)):
            at = np.searchsorted(recall[threshold], RECALLS, side="left")
            values = np.append(envelope[area, threshold], 0.0)  # what is never recalled
            result[threshold, :, area] = values[at]
