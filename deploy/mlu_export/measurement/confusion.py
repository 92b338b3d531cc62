"""What is taken for what, at the working confidence and an IoU of .5.

An object that was found by a detection of its class, as precision and recall count it, is on the diagonal. Of what is
left, wrong detections and missed objects, those pairs are a confusion whose IoU is .5 or more: the greatest first (then
the surer detection), each detection and each object once. An object without any detection is taken for nothing, and a
detection without any object takes nothing for something: the last column and the last row. So row sums are the objects
of a class, column sums its detections, and the diagonal what ``Counts`` calls found. Crowds do not count.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .matching import AREAS, MATCHING_IOU, overlaps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .matching import Cell

    Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Confusion:
    """``counts`` (K + 1, K + 1): of objects of the class of the row how many were taken for that of the column;
    ``labels`` of both, without the last, which is nothing."""

    labels: tuple[str, ...]
    counts: npt.NDArray[np.int64]

    def document(self) -> list[dict[str, Any]]:
        """What is not 0, row by row; None for nothing."""
        names = (*self.labels, None)
        return [
            {"object": names[row], "detected": names[column], "count": int(self.counts[row, column])}
            for row, column in np.argwhere(self.counts).tolist()
        ]

    def confused(self, most: int) -> list[tuple[str, str, int]]:
        """The pairs of classes that are taken for each other most: (object, detected, how often)."""
        inner = self.counts[:-1, :-1].copy()
        np.fill_diagonal(inner, 0)
        pairs = sorted((-int(inner[row, column]), row, column) for row, column in np.argwhere(inner).tolist())
        return [(self.labels[row], self.labels[column], -count) for count, row, column in pairs[:most]]


def confusion_of(coco: Any, cells: Sequence[Cell], labels: dict[int, str]) -> Confusion:
    """Of cells matched at MATCHING_IOU for one area; ``labels`` of categories, else their own names."""
    order = sorted(coco.getCatIds())
    places = {category: place for place, category in enumerate(order)}
    by_picture: dict[int, list[Cell]] = defaultdict(list)
    for cell in cells:
        by_picture[cell.picture].append(cell)
    counts = np.zeros((len(order) + 1, len(order) + 1), np.int64)
    for picture in sorted(by_picture):
        _count_picture(coco.imgToAnns.get(picture, ()), by_picture[picture], places, counts)
    own = {int(one["id"]): str(one["name"]) for one in coco.dataset["categories"]}
    return Confusion(tuple(labels.get(category, own[category]) for category in order), counts)


def _count_picture(
    annotations: Sequence[Any], cells: Sequence[Cell], places: dict[int, int], counts: npt.NDArray[np.int64]
) -> None:
    missed: list[Any] = []
    wrong: list[tuple[float, int, Floats]] = []  # confidence, place of its class, box
    for cell in cells:
        place = places[cell.category]
        counted = ~cell.ignored[0, 0]
        right = cell.matched[0, 0] & counted
        counts[place, place] += int(np.count_nonzero(right))
        taken = set(cell.partner[0, 0, right].tolist())
        objects = [one for one in annotations if one["category_id"] == cell.category]
        missed += [one for number, one in enumerate(objects) if _counts(one) and number not in taken]
        left = np.flatnonzero(~cell.matched[0, 0] & counted)
        wrong += [(float(cell.scores[number]), place, cell.boxes[number]) for number in left.tolist()]
    for row, column in _pairs(missed, wrong):
        counts[places[missed[row]["category_id"]] if row >= 0 else -1, wrong[column][1] if column >= 0 else -1] += 1


def _pairs(missed: Sequence[Any], wrong: Sequence[tuple[float, int, Floats]]) -> list[tuple[int, int]]:
    """(missed object, wrong detection), each of them once, alone with -1."""
    found: list[tuple[int, int]] = []
    if missed and wrong:
        ious = overlaps(np.array([box for _, _, box in wrong]), missed)
        near = [(-ious[d, o], -wrong[d][0], d, o) for d, o in np.argwhere(ious >= MATCHING_IOU).tolist()]
        taken: set[tuple[str, int]] = set()
        for _, _, detection, one in sorted(near):
            if not {("d", detection), ("o", one)} & taken:
                taken |= {("d", detection), ("o", one)}
                found.append((one, detection))
    objects, detections = {row for row, _ in found}, {column for _, column in found}
    found += [(row, -1) for row in range(len(missed)) if row not in objects]
    found += [(-1, column) for column in range(len(wrong)) if column not in detections]
    return found


def _counts(one: Any) -> bool:
    return not one["iscrowd"] and bool(AREAS[0, 0] <= one["area"] <= AREAS[0, 1])
