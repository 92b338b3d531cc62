"""What a quantized network loses against the float network on the same pictures, and how sure that is.

**Boxes.** What a daemon would report of both is matched: a box of float that has no partner of its class with an IoU of
.5 is lost, one of the other that has none is added. So a user sees what changes on the screen; of lost and added boxes
it is told how many are right by the annotations.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from .accuracy import SIZES
from .matching import AREAS, MATCHING_IOU, box_overlaps
from .resampling import LEAST_PICTURES, Interval, draws, interval_of, resample

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from .accuracy import Counts, Evaluation
    from .matching import Cell
    from .resampling import Figures, Floats

    Bools = npt.NDArray[np.bool_]

RATES = ("precision", "recall", "f1")


@dataclass(frozen=True)
class Boxes:
    """Boxes that both report (``kept``), float alone (``lost``) and the other alone (``added``); of the last two how
    many are right.
    """

    kept: int = 0
    lost: int = 0
    lost_right: int = 0
    added: int = 0
    added_right: int = 0

    def __add__(self, other: Boxes) -> Boxes:
        return Boxes(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))

    def document(self) -> dict[str, int]:
        """For JSON."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    def words(self) -> str:
        """``12 of 540 boxes of float are lost (9 of them right), 10 are added (5 right)``."""
        return (
            f"{self.lost} of {self.kept + self.lost} boxes of float are lost ({self.lost_right} of them right), "
            f"{self.added} are added ({self.added_right} right)"
        )


@dataclass(frozen=True)
class Against:
    """Differences of one result to float, each with its interval; None where there is nothing to measure, and for
    classes and sizes where fewer than ``LEAST_PICTURES`` have an object of theirs.

    ``per_class`` mAP50-95 by label; ``rates`` at the working threshold: precision, recall, F1.
    """

    pictures: int
    map50_95: Interval
    map50: Interval
    per_size: Mapping[str, Interval | None]
    per_class: Mapping[str, Interval]
    rates: Mapping[str, Interval | None]
    boxes: Boxes
    class_boxes: Mapping[str, Boxes]
    size_boxes: Mapping[str, Boxes]

    def document(self) -> dict[str, Any]:
        """For ``--json``: the plain differences, and all that is known of them."""
        return {
            "map50_95": self.map50_95.value,
            "map50": self.map50.value,
            "intervals": {"map50_95": self.map50_95.document(), "map50": self.map50.document()},
            "per_size": {
                size: {"map50_95": None if one is None else one.document(), "boxes": self.size_boxes[size].document()}
                for size, one in self.per_size.items()
            },
            "per_class": {
                label: {
                    "map50_95": None if label not in self.per_class else self.per_class[label].document(),
                    "boxes": boxes.document(),
                }
                for label, boxes in self.class_boxes.items()
            },
            "working_point": {
                **{name: None if one is None else one.document() for name, one in self.rates.items()},
                "boxes": self.boxes.document(),
            },
        }


def against_float(results: Sequence[Evaluation]) -> dict[str, Against]:
    """By mode, what each result on float's pictures has more or less than float; empty without a float result."""
    exact = next((result for result in results if result.mode == "float"), None)
    if exact is None:
        return {}
    weights = draws(len(exact.picture_counts))
    theirs = resample(exact.ranked, weights)
    others = [one for one in results if one is not exact and one.picture_counts.keys() == exact.picture_counts.keys()]
    return {one.mode: _against(exact, theirs, one, weights) for one in others}


def own_intervals(result: Evaluation) -> dict[str, Interval | None]:
    """Of the figures of one result: what another set of as many pictures of the kind may well give."""
    weights = draws(len(result.picture_counts))
    found = resample(result.ranked, weights)
    drawn = _rates(result.picture_counts, weights)
    return {
        "map50_95": interval_of(result.map50_95, found.means[:, 0]),
        "map50": interval_of(result.map50, found.map50),
        **{name: interval_of(getattr(result.working, name), drawn[name]) for name in RATES},
    }


def _against(exact: Evaluation, theirs: Figures, result: Evaluation, weights: Floats) -> Against:
    found = resample(result.ranked, weights)
    means = found.means - theirs.means
    rates, exact_rates = (_rates(one.picture_counts, weights) for one in (result, exact))
    by_category = {
        label: _class_difference(exact, theirs, result, found, label) for label in exact.per_class | result.per_class
    }
    boxes, by_label, by_size = _changes(exact, result)
    return Against(
        result.images,
        _sure(result.map50_95 - exact.map50_95, means[:, 0]),
        _sure(result.map50 - exact.map50, found.map50 - theirs.map50),
        {
            size: None
            if found.holding[number] < LEAST_PICTURES
            else interval_of(_less(result.per_size[size], exact.per_size[size]), means[:, number])
            for number, size in enumerate(SIZES, 1)
        },
        {label: one for label, one in by_category.items() if one is not None},
        {
            name: interval_of(
                _less(getattr(result.working, name), getattr(exact.working, name)), rates[name] - exact_rates[name]
            )
            for name in RATES
        },
        boxes,
        by_label,
        by_size,
    )


def _sure(value: float, drawn: Floats) -> Interval:
    return interval_of(value, drawn) or Interval(value, value, value)


def _less(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


def _class_difference(
    exact: Evaluation, theirs: Figures, result: Evaluation, found: Figures, label: str
) -> Interval | None:
    number = result.categories[label]
    if number not in found.by_category or number not in theirs.by_category:
        return None
    if found.category_holding[number] < LEAST_PICTURES:
        return None
    value = result.per_class.get(label, {}).get("map50_95", 0.0) - exact.per_class.get(label, {}).get("map50_95", 0.0)
    return interval_of(value, found.by_category[number] - theirs.by_category[number])


def _rates(counts: Mapping[int, Counts], weights: Floats) -> dict[str, Floats]:
    """Precision, recall and F1 at the working threshold, of each draw."""
    order = [counts[picture] for picture in sorted(counts)]
    right, wrong, missed = (
        weights @ np.array([getattr(one, name) for one in order], np.float64) for name in ("found", "wrong", "missed")
    )
    with np.errstate(invalid="ignore"):  # nothing of nothing is NaN, as wanted
        return {
            "precision": right / (right + wrong),
            "recall": right / (right + missed),
            "f1": 2 * right / (2 * right + wrong + missed),
        }


def _changes(exact: Evaluation, result: Evaluation) -> tuple[Boxes, dict[str, Boxes], dict[str, Boxes]]:
    """In all, by label and by size."""
    labels = {number: label for label, number in exact.categories.items()}
    cells = [{(one.category, one.picture): one for one in each.working_cells} for each in (exact, result)]
    by_label: dict[str, Boxes] = {}
    by_size = dict.fromkeys(SIZES, Boxes())
    for place in sorted(cells[0].keys() | cells[1].keys()):
        for size, boxes in _cell_changes(cells[0].get(place), cells[1].get(place)).items():
            by_size[size] += boxes
            if place[0] in labels:  # others have no detections
                by_label[labels[place[0]]] = by_label.get(labels[place[0]], Boxes()) + boxes
    return sum(by_size.values(), Boxes()), by_label, by_size


def _cell_changes(exact: Cell | None, other: Cell | None) -> dict[str, Boxes]:
    """By size, of one class in one picture; a box that both report has float's size."""
    left, found = _unmatched(exact, other)
    result = {}
    for number, size in enumerate(SIZES, 1):
        mine, theirs = _of_size(exact, number), _of_size(other, number)
        result[size] = Boxes(
            int(np.count_nonzero(mine & ~left)),
            int(np.count_nonzero(mine & left)),
            int(np.count_nonzero(mine & left & _right(exact))),
            int(np.count_nonzero(theirs & found)),
            int(np.count_nonzero(theirs & found & _right(other))),
        )
    return result


def _unmatched(exact: Cell | None, other: Cell | None) -> tuple[Bools, Bools]:
    """Which boxes of each have no partner: in order of confidence each of the other takes the nearest that is left."""
    mine = np.ones(0 if exact is None else len(exact.scores), np.bool_)
    theirs = np.ones(0 if other is None else len(other.scores), np.bool_)
    if exact is None or other is None or not len(mine) or not len(theirs):
        return mine, theirs
    ious = box_overlaps(other.boxes, exact.boxes, [0] * len(mine))
    for number in range(len(theirs)):
        near = np.where(mine, ious[number], -1.0)
        best = int(near.argmax())
        if near[best] >= MATCHING_IOU:
            mine[best] = theirs[number] = False
    return mine, theirs


def _of_size(cell: Cell | None, number: int) -> Bools:
    if cell is None:
        return np.zeros(0, np.bool_)
    sizes = cell.boxes[:, 2] * cell.boxes[:, 3]
    low, high = AREAS[number]
    found: Bools = (sizes >= low) & ((sizes < high) | (number == len(SIZES)))
    return found


def _right(cell: Cell | None) -> Bools:
    """Those that are an annotated object."""
    if cell is None:
        return np.zeros(0, np.bool_)
    found: Bools = cell.matched[0, 0] & ~cell.ignored[0, 0]
    return found
