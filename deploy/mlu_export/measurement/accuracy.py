"""Figures of detections against annotations: COCO's mean APs, and what the working threshold gives.

**Working point.** Accuracy is measured on everything down to a confidence of .001 with every class of a box. A daemon
reports what reaches the manifest's confidence, and of one box the best class alone. Precision and recall are those of
that remainder, matched at an IoU of .5 as COCO matches (crowds are neither found nor missed).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mlu_agent.detections import Detections

from .confusion import Confusion, confusion_of
from .f1 import F1, f1_of
from .matching import AREAS, MATCHING_IOU, Found, match, precisions
from .resampling import rankings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlu_agent.model.bundle import Thresholds

    from .annotations import Annotations
    from .matching import Cell
    from .resampling import Ranking

SIZES = ("small", "medium", "large")  # by the object's area: under 32 x 32 pixels, under 96 x 96, and the others
RECALLS = 101  # points of a curve: recall 0, .01 … 1
Curve = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Counts:
    """Detections that are right and wrong, and objects that were missed."""

    found: int = 0
    wrong: int = 0
    missed: int = 0

    @property
    def precision(self) -> float | None:
        """Part of the detections that is right; None without detections."""
        return self.found / (self.found + self.wrong) if self.found + self.wrong else None

    @property
    def recall(self) -> float | None:
        """Part of the objects that was found; None without objects."""
        return self.found / (self.found + self.missed) if self.found + self.missed else None

    @property
    def f1(self) -> float | None:
        """Harmonic mean of the two; None without detections and objects."""
        both = 2 * self.found + self.wrong + self.missed
        return 2 * self.found / both if both else None

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.found + other.found, self.wrong + other.wrong, self.missed + other.missed)


@dataclass(frozen=True)
class Evaluation:
    """Figures of one evaluation; ``per_class`` by label, ``unmatched`` are labels that the set does not know,
    ``foreign`` counts annotations of pictures or categories that it does not list.

    ``per_size``  AP50-95 of small, medium and large objects; None where there are none.
    ``working``   counts at ``confidence``; ``class_counts`` and ``picture_counts`` the same by label and image id.
    ``curves``    by label, and under "" the mean over all classes: precision (101,) at IoU .5 over recall 0..1.
    ``f1``        over confidence, by label, and under "" of all classes together.
    ``confusion`` at ``confidence``.
    ``categories`` of the labels that the set knows, ``ranked`` and ``working_cells``: what is matched, for comparisons.
    """

    images: int
    map50_95: float
    map50: float
    per_class: dict[str, dict[str, float]]
    runtime: str
    unmatched: tuple[str, ...]
    foreign: int
    mode: str = "offline"
    per_size: dict[str, float | None] = field(default_factory=lambda: dict.fromkeys(SIZES))
    confidence: float = 0.0
    working: Counts = Counts()
    class_counts: dict[str, Counts] = field(default_factory=dict)
    picture_counts: dict[int, Counts] = field(default_factory=dict)
    curves: dict[str, Curve] = field(default_factory=dict)
    f1: dict[str, F1] = field(default_factory=dict)
    confusion: Confusion | None = None
    categories: dict[str, int] = field(default_factory=dict)
    ranked: Sequence[Ranking] = ()
    working_cells: Sequence[Cell] = ()

    def document(self) -> dict[str, Any]:
        """What ``--json`` prints of it."""
        return {
            "images": self.images,
            "map50_95": self.map50_95,
            "map50": self.map50,
            "per_class": {
                label: {**values, **_rates(self.class_counts.get(label, Counts())), **_best(self.f1.get(label))}
                for label, values in self.per_class.items()
            },
            "runtime": self.runtime,
            "mode": self.mode,
            "per_size": self.per_size,
            "working_point": {"confidence": self.confidence, "iou": MATCHING_IOU, **_rates(self.working)},
            "best_point": _best(self.f1.get("")),
            "confusion": [] if self.confusion is None else self.confusion.document(),
        }


def _rates(counts: Counts) -> dict[str, float | int | None]:
    return {
        "precision": counts.precision,
        "recall": counts.recall,
        "f1": counts.f1,
        "true_positives": counts.found,
        "false_positives": counts.wrong,
        "false_negatives": counts.missed,
    }


def _best(found: F1 | None) -> dict[str, float | None]:
    """The threshold at which F1 is greatest."""
    return {"best_f1": None if found is None else found.best, "best_confidence": None if found is None else found.at}


class Results:
    """Collects detections as COCO results and computes the figures."""

    def __init__(self, truth: Annotations, labels: tuple[str, ...], working: Thresholds) -> None:
        self.truth = truth
        self.labels = labels
        self.working = working
        self.categories = truth.category_ids(labels)
        self.found: list[Found] = []
        self.working_found: list[Found] = []
        self.reportable: list[Found] = []  # at whatever confidence
        self.images = 0

    def add(self, image_id: int, detections: Detections) -> None:
        """The detections of one picture, boxes in its pixels."""
        self.images += 1
        self.found.append(self._known(image_id, detections))
        self.working_found.append(self._known(image_id, at_work(detections, self.working)))
        self.reportable.append(self._known(image_id, at_work(detections, replace(self.working, confidence=0.0))))

    def _known(self, image_id: int, detections: Detections) -> Found:
        """Those whose label is a category."""
        numbers = np.array([-1 if number is None else number for number in self.categories], np.int64)
        known = np.array([number is not None for number in self.categories], np.bool_)[detections.class_id]
        boxes = detections.xyxy[known].astype(np.float64)
        boxes[:, 2:] -= boxes[:, :2]
        return Found(
            image_id, numbers[detections.class_id[known]], boxes, detections.confidence[known].astype(np.float64)
        )

    def _matched(self, found: Sequence[Found]) -> list[Cell]:
        """At IoU .5, of results that all count."""
        return match(self.truth.coco, found, np.array([MATCHING_IOU]), AREAS[:1], self.working.max_detections)

    def summarize(self, runtime: str, mode: str) -> Evaluation:
        """The figures of all that was added."""
        names = {number: label for label, number in zip(self.labels, self.categories) if number is not None}
        unmatched = tuple(label for label, number in zip(self.labels, self.categories) if number is None)
        cells = self._matched(self.working_found)
        by_category, by_picture = _count(self.truth.coco, cells)
        plain = Evaluation(
            self.images,
            0.0,
            0.0,
            {},
            runtime,
            unmatched,
            self.truth.foreign,
            mode,
            confidence=self.working.confidence,
            working=sum(by_picture.values(), Counts()),
            class_counts={names[number]: counts for number, counts in by_category.items() if number in names},
            picture_counts=by_picture,
            f1=_f1_curves(self._matched(self.reportable), names),
            confusion=confusion_of(self.truth.coco, cells, names),
            categories={label: number for number, label in names.items()},
            working_cells=cells,
        )
        matched = match(self.truth.coco, self.found)
        ranked = rankings(matched, list(by_picture))
        if not any(len(found.scores) for found in self.found):
            return replace(plain, ranked=ranked)
        precision, order = precisions(self.truth.coco, matched)
        return replace(
            plain,
            ranked=ranked,
            map50_95=mean_of(precision[..., 0]) or 0.0,
            map50=mean_of(precision[0, ..., 0]) or 0.0,
            per_size={size: mean_of(precision[..., number]) for number, size in enumerate(SIZES, 1)},
            **_per_class(precision[..., 0], [names.get(number, "") for number in order]),
        )


def at_work(detections: Detections, working: Thresholds) -> Detections:
    """Of detections with every class of a box those that a daemon with those thresholds reports."""
    sure = np.flatnonzero(detections.confidence >= np.float32(working.confidence))
    if not len(sure):
        return Detections.empty(detections.invalid)
    # they are sorted by confidence: the first of equal boxes has the best class of one (two boxes that the picture's
    # edges cut to the same have the same class)
    _, first, group = np.unique(detections.xyxy[sure], axis=0, return_index=True, return_inverse=True)
    classes = detections.class_id[sure]
    keep = sure[classes == classes[first][group.reshape(-1)]][: working.max_detections]
    return detections.at(keep)


def _per_class(precision: Curve, labels: Sequence[str]) -> dict[str, Any]:
    """``per_class`` and ``curves`` of precision [IoU threshold, recall, category]; a category of no label has none."""
    per_class, curves = {}, {"": _mean_curve(precision[0])}
    for number, label in enumerate(labels):
        values = precision[:, :, number]
        if label and (values > -1).any():
            per_class[label] = {"map50_95": mean_of(values) or 0.0, "map50": mean_of(values[0]) or 0.0}
            curves[label] = values[0]
    return {"per_class": per_class, "curves": curves}


def _mean_curve(precision: Curve) -> Curve:
    """Mean over the categories that have objects, of precision [recall, category]."""
    known = precision[:, (precision > -1).all(axis=0)]
    return known.mean(axis=1) if known.size else np.zeros(RECALLS)


def _count(coco: Any, cells: Sequence[Cell]) -> tuple[dict[int, Counts], dict[int, Counts]]:
    """Counts at IoU .5 by category and by picture, of cells matched there."""
    by_category = dict.fromkeys(coco.getCatIds(), Counts())
    by_picture = dict.fromkeys(coco.getImgIds(), Counts())
    for cell in cells:
        counted = ~cell.ignored[0, 0]
        right = int(np.count_nonzero(cell.matched[0, 0] & counted))
        counts = Counts(right, int(np.count_nonzero(counted)) - right, int(cell.objects[0]) - right)
        by_category[cell.category] += counts
        by_picture[cell.picture] += counts
    return by_category, by_picture


def _f1_curves(cells: Sequence[Cell], names: Mapping[int, str]) -> dict[str, F1]:
    """By label, and under "" of all classes together."""
    by_label: dict[str, list[Cell]] = defaultdict(list)
    for cell in cells:
        by_label[names.get(cell.category, "")].append(cell)
    by_label.pop("", None)
    return {"": f1_of(cells), **{label: f1_of(mine) for label, mine in by_label.items()}}


def mean_of(values: Curve) -> float | None:
    """Mean of the values that pycocotools could compute (not -1); None if there is none."""
    known = values[values > -1]
    return float(known.mean()) if known.size else None
