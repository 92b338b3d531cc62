"""Figures of detections against annotations: pycocotools' mean APs, and what the working threshold gives.

**Working point.** Accuracy is measured on everything down to a confidence of .001 with every class of a box. A daemon
reports what reaches the manifest's confidence, and of one box the best class alone. Precision and recall are those of
that remainder, matched at an IoU of .5 as COCO matches (crowds are neither found nor missed).
"""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mlu_agent.detections import Detections

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mlu_agent.model.bundle import Thresholds

    from .annotations import Annotations

SIZES = ("small", "medium", "large")  # by the object's area: under 32 x 32 pixels, under 96 x 96, and the others
MATCHING_IOU = 0.5
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

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.found + other.found, self.wrong + other.wrong, self.missed + other.missed)


@dataclass(frozen=True)
class Evaluation:
    """Figures of one evaluation; ``per_class`` by label, ``unmatched`` are labels that the set does not know,
    ``foreign`` counts annotations of pictures or categories that it does not list.

    ``per_size``  AP50-95 of small, medium and large objects; None where there are none.
    ``working``   counts at ``confidence``; ``class_counts`` and ``picture_counts`` the same by label and image id.
    ``curves``    by label, and under "" the mean over all classes: precision (101,) at IoU .5 over recall 0..1.
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

    def document(self) -> dict[str, Any]:
        """What ``--json`` prints of it."""
        return {
            "images": self.images,
            "map50_95": self.map50_95,
            "map50": self.map50,
            "per_class": {
                label: {**values, **_rates(self.class_counts.get(label, Counts()))}
                for label, values in self.per_class.items()
            },
            "runtime": self.runtime,
            "mode": self.mode,
            "per_size": self.per_size,
            "working_point": {"confidence": self.confidence, "iou": MATCHING_IOU, **_rates(self.working)},
        }


def _rates(counts: Counts) -> dict[str, float | int | None]:
    return {
        "precision": counts.precision,
        "recall": counts.recall,
        "true_positives": counts.found,
        "false_positives": counts.wrong,
        "false_negatives": counts.missed,
    }


class Results:
    """Collects detections as COCO results and computes the figures."""

    def __init__(self, truth: Annotations, labels: tuple[str, ...], working: Thresholds) -> None:
        self.truth = truth
        self.labels = labels
        self.working = working
        self.categories = truth.category_ids(labels)
        self.rows: list[dict[str, Any]] = []
        self.working_rows: list[dict[str, Any]] = []
        self.images = 0

    def add(self, image_id: int, detections: Detections) -> None:
        """The detections of one picture, boxes in its pixels."""
        self.images += 1
        self.rows += self._coco(image_id, detections)
        self.working_rows += self._coco(image_id, at_work(detections, self.working))

    def _coco(self, image_id: int, detections: Detections) -> Iterable[dict[str, Any]]:
        for box, score, class_id in zip(detections.xyxy, detections.confidence, detections.class_id):
            category = self.categories[int(class_id)]
            if category is not None:
                x1, y1, x2, y2 = (float(value) for value in box)
                size = [x2 - x1, y2 - y1]
                yield {
                    "image_id": image_id,
                    "category_id": category,
                    "bbox": [x1, y1, *size],
                    "score": float(score),
                }

    def summarize(self, runtime: str, mode: str) -> Evaluation:
        """The figures of all that was added."""
        names = {number: label for label, number in zip(self.labels, self.categories) if number is not None}
        unmatched = tuple(label for label, number in zip(self.labels, self.categories) if number is None)
        by_category, by_picture = _count(self.truth.coco, self.working_rows, self.working.max_detections)
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
        )
        if not self.rows:
            return plain
        precision, order = _coco_precision(self.truth.coco, self.rows)
        return replace(
            plain,
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
    return replace(
        detections,
        xyxy=detections.xyxy[keep],
        confidence=detections.confidence[keep],
        class_id=detections.class_id[keep],
    )


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


def _coco_precision(coco: Any, rows: list[dict[str, Any]]) -> tuple[Curve, list[int]]:
    """Precision [IoU threshold, recall, category, size (all first)] at 100 detections, and the categories' order."""
    from pycocotools.cocoeval import COCOeval  # noqa: PLC0415 - the extra [eval]

    with contextlib.redirect_stdout(io.StringIO()):
        run = COCOeval(coco, coco.loadRes(rows), "bbox")
        run.evaluate()
        run.accumulate()
    return np.asarray(run.eval["precision"], np.float64)[..., -1], list(run.params.catIds)


def _count(coco: Any, rows: list[dict[str, Any]], most: int) -> tuple[dict[int, Counts], dict[int, Counts]]:
    """Counts at IoU .5 by category and by picture, of results that all count."""
    from pycocotools.cocoeval import COCOeval  # noqa: PLC0415 - the extra [eval]

    by_category = dict.fromkeys(coco.getCatIds(), Counts())
    by_picture = dict.fromkeys(coco.getImgIds(), Counts())
    with contextlib.redirect_stdout(io.StringIO()):
        run = COCOeval(coco, _results(coco, rows), "bbox")
        run.params.iouThrs = np.array([MATCHING_IOU])
        run.params.areaRng, run.params.areaRngLbl = run.params.areaRng[:1], run.params.areaRngLbl[:1]
        run.params.maxDets = [most]
        run.evaluate()
    for cell in run.evalImgs:
        if cell is None:
            continue
        counted = ~np.asarray(cell["dtIgnore"][0], bool)
        right = int((np.asarray(cell["dtMatches"][0])[counted] > 0).sum())
        objects = int((~np.asarray(cell["gtIgnore"], bool)).sum())
        counts = Counts(right, int(counted.sum()) - right, objects - right)
        by_category[cell["category_id"]] += counts
        by_picture[cell["image_id"]] += counts
    return by_category, by_picture


def _results(coco: Any, rows: list[dict[str, Any]]) -> Any:
    if rows:
        return coco.loadRes(rows)
    empty = type(coco)()  # loadRes refuses an empty list
    empty.dataset = {**coco.dataset, "annotations": []}
    empty.createIndex()
    return empty


def mean_of(values: Curve) -> float | None:
    """Mean of the values that pycocotools could compute (not -1); None if there is none."""
    known = values[values > -1]
    return float(known.mean()) if known.size else None
