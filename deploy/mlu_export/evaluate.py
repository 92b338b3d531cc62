"""``mlu-export eval``: mAP of the very file that ships.

Pictures go through the agent's own preprocessing, runtime and postprocessing; pycocotools gives the figures.
"""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mlu_agent.bundle import ModelSpec, Thresholds, load_bundle
from mlu_agent.detector import Detector
from mlu_agent.errors import DataError, UserError
from mlu_agent.postprocess import postprocess

from .annotations import import_pycocotools, load_coco
from .archs import find_arch
from .calibrate import float_input, float_picture, read_picture
from .float_runner import FloatRunner
from .importers.source import import_model, read_source
from .manifest import Preprocessing
from .progress import show_progress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlu_agent.detections import Detections

CONFIDENCE = 0.001
MAX_DETECTIONS = 300
# COCO's category names and Darknet's spellings of them: annotation files have the one or the other.
SPELLINGS = {
    "motorcycle": "motorbike",
    "airplane": "aeroplane",
    "couch": "sofa",
    "potted plant": "pottedplant",
    "dining table": "diningtable",
    "tv": "tvmonitor",
}


@dataclass(frozen=True)
class Picture:
    """One annotated picture; the Detector reads ``pixels``."""

    image_id: int
    pixels: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Evaluation:
    """Figures of one evaluation; ``per_class`` by label, ``unmatched`` are labels that the set does not know,
    ``foreign`` counts annotations of pictures or categories that it does not list.
    """

    images: int
    map50_95: float
    map50: float
    per_class: dict[str, dict[str, float]]
    runtime: str
    unmatched: tuple[str, ...]
    foreign: int


class Annotations:
    """A COCO ``instances.json`` and the pictures it names; ``foreign`` annotations belong to none of them."""

    def __init__(self, annotations: Path, images: Path) -> None:
        self.coco, self.foreign = load_coco(annotations)
        if not images.is_dir():
            raise UserError(f"--images {images} is not a folder")
        self.entries = [
            (int(image["id"]), images / Path(str(image["file_name"])).name)
            for image in sorted(self.coco.dataset["images"], key=lambda image: int(image["id"]))
        ]
        missing = [path for _, path in self.entries if not path.is_file()]
        if missing:
            raise DataError(
                f"{len(missing)} of {len(self.entries)} annotated pictures are not in {images}, "
                f"the first is {missing[0].name}"
            )

    def pictures(self, description: str) -> Iterator[Picture]:
        for image_id, path in show_progress(self.entries, description):
            yield Picture(image_id, read_picture(path))

    def category_ids(self, labels: tuple[str, ...]) -> list[int | None]:
        """Category id of each class id, by name; None for unknown labels. Raises DataError if none is known."""
        known = {str(category["name"]): int(category["id"]) for category in self.coco.dataset["categories"]}
        for name, other in SPELLINGS.items():
            both = known.get(name, known.get(other))
            known.update({name: both, other: both} if both is not None else {})
        found = [known.get(label) for label in labels]
        if all(number is None for number in found):
            raise DataError(
                f"none of the model's labels ({labels[0]!r}, …) is a category of the annotations ({min(known)!r}, …)"
            )
        return found


def evaluate(
    model: Path, images: Path, annotations: Path, runtime: str = "auto", iou: float | None = None
) -> Evaluation:
    """Runs a model file over an annotated set; ``iou`` is NMS's, the manifest's if None. Raises MluAgentError."""
    import_pycocotools()
    spec = load_bundle(model)
    truth = Annotations(annotations, images)
    results = _Results(truth, spec.labels)
    with Detector(model, runtime, evaluation_thresholds(spec, iou)) as detector:
        for picture, detections in detector.stream(truth.pictures("evaluating")):
            results.add(picture.image_id, detections)
        return results.summarize(detector.runtime)


def evaluate_float(
    model: Path, weights: Path, cfg: Path | None, images: Path, annotations: Path, iou: float | None = None
) -> Evaluation:
    """The same with the float network (torch) that the model was made from, to see what quantization costs."""
    import_pycocotools()
    spec = load_bundle(model)
    truth = Annotations(annotations, images)
    results = _Results(truth, spec.labels)
    float_model = FloatModel(spec, weights, cfg)
    for picture in truth.pictures("evaluating float"):
        results.add(picture.image_id, float_model.detect(picture.pixels, evaluation_thresholds(spec, iou)))
    return results.summarize("float")


class FloatModel:
    """The float network behind a model file, with the file's own pre- and postprocessing."""

    def __init__(self, spec: ModelSpec, weights: Path, cfg: Path | None) -> None:
        arch = find_arch(str(spec.provenance.get("arch", "")))
        source = read_source(arch, weights, cfg)
        if source.sha256 != spec.provenance.get("weights_sha256"):
            raise DataError(f"{weights} are not the weights that {spec.path.name} was made from: their sha256 differs")
        self.spec = spec
        model = import_model(arch, source, (spec.input.height, spec.input.width))
        self._runner = FloatRunner(model.graph)
        self._input = float_input(model.graph, Preprocessing(spec.input.resize, spec.input.pad_value))

    def detect(self, pixels: npt.NDArray[np.uint8], thresholds: Thresholds) -> Detections:
        """Detections of one BGR picture, boxes in its pixels."""
        tensor, letterbox = float_picture(pixels, self._input)
        outputs = [output[0] for output in self._runner.run(tensor)]
        return postprocess(outputs, self.spec, letterbox, thresholds)


def evaluation_thresholds(spec: ModelSpec, iou: float | None) -> Thresholds:
    """As accuracy is measured: every class of a box that reaches a confidence of .001, at most 300 detections."""
    return replace(
        spec.thresholds,
        confidence=CONFIDENCE,
        iou=spec.thresholds.iou if iou is None else iou,
        max_detections=MAX_DETECTIONS,
        multi_label=True,
    )


class _Results:
    """Collects detections as COCO results and computes the figures."""

    def __init__(self, truth: Annotations, labels: tuple[str, ...]) -> None:
        self.truth = truth
        self.labels = labels
        self.categories = truth.category_ids(labels)
        self.rows: list[dict[str, Any]] = []
        self.images = 0

    def add(self, image_id: int, detections: Detections) -> None:
        self.images += 1
        for box, score, class_id in zip(detections.xyxy, detections.confidence, detections.class_id):
            category = self.categories[int(class_id)]
            if category is not None:
                x1, y1, x2, y2 = (float(value) for value in box)
                self.rows.append(
                    {
                        "image_id": image_id,
                        "category_id": category,
                        "bbox": [x1, y1, x2 - x1, y2 - y1],
                        "score": float(score),
                    }
                )

    def summarize(self, runtime: str) -> Evaluation:
        unmatched = tuple(label for label, number in zip(self.labels, self.categories) if number is None)
        if not self.rows:
            return Evaluation(self.images, 0.0, 0.0, {}, runtime, unmatched, self.truth.foreign)
        precision, order = _coco_precision(self.truth.coco, self.rows)
        per_class = {}
        for label, number in zip(self.labels, self.categories):
            values = precision[:, :, order.index(number)] if number in order else np.full((1, 1), -1.0)
            if (values > -1).any():
                per_class[label] = {"map50_95": _mean(values), "map50": _mean(values[0])}
        return Evaluation(
            self.images, _mean(precision), _mean(precision[0]), per_class, runtime, unmatched, self.truth.foreign
        )


def _coco_precision(coco: Any, rows: list[dict[str, Any]]) -> tuple[npt.NDArray[np.float64], list[int]]:
    """Precision [IoU threshold, recall, category] over all sizes and 100 detections, and the categories' order."""
    from pycocotools.cocoeval import COCOeval  # noqa: PLC0415 - the extra [eval]

    with contextlib.redirect_stdout(io.StringIO()):
        run = COCOeval(coco, coco.loadRes(rows), "bbox")
        run.evaluate()
        run.accumulate()
    return np.asarray(run.eval["precision"], np.float64)[:, :, :, 0, -1], list(run.params.catIds)


def _mean(values: npt.NDArray[np.float64]) -> float:
    known = values[values > -1]
    return float(known.mean()) if known.size else 0.0
