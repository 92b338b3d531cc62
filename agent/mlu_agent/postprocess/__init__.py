"""Outputs of one picture -> Detections: decode, suppress per class, back to the frame's pixels; or Classes, Tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Union

import numpy as np

from ..classes import Classes
from ..detections import Detections
from ..model.output_spec import CLASSES, ORIENTED, TENSORS
from ..model.prior_spec import SSD_HEADS
from ..tensors import Tensors
from .choice import Choice, choose, keep_wanted
from .classify import classify
from .decode import HeadDecoder
from .detection_output import decode_detection_output
from .nms import nms
from .plain import read_tensors
from .rotated import suppress_turned
from .shapes import with_shapes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ..geometry import Letterbox
    from ..model.bundle import ModelSpec, Thresholds
    from .candidates import Candidates

__all__ = ["Choice", "Postprocessor", "Reader", "Result", "choose", "nms", "postprocess"]

Result = Union[Detections, Classes, Tensors]  # what a model has to say of one picture


class Reader:
    """The outputs of a model of any kind -> what it has to say of one picture; one per thread."""

    def __init__(self, spec: ModelSpec) -> None:
        self._spec = spec
        self._postprocess = Postprocessor(spec) if spec.output.task == "detect" else None

    def __call__(
        self,
        outputs: Sequence[NDArray[Any]],
        image: int,
        letterbox: Letterbox,
        thresholds: Thresholds,
        least: NDArray[np.float32] | None = None,
    ) -> Result:
        """Of the picture number ``image`` of a batch; ``outputs`` are whole ones. Nothing of theirs is kept.

        ``least``: the confidence that each class needs, see ``Choice``; None: that of the thresholds.
        """
        output = self._spec.output
        if output.kind == TENSORS:
            return read_tensors(outputs, output.plain, self._spec.batch, image)
        if output.kind == CLASSES:
            numbers = output.chosen(outputs)[0].reshape(self._spec.batch, -1)[image]
            return classify(numbers, self._spec.labels, output.activation, thresholds.confidence, output.top, least)
        assert self._postprocess is not None
        return self._postprocess([one[image] for one in outputs], letterbox, thresholds, image=image, least=least)


class Postprocessor:
    """``postprocess`` for the outputs of one model, with its scratch memory kept: one per thread."""

    def __init__(self, spec: ModelSpec) -> None:
        self._spec = spec
        self._decode_heads = HeadDecoder(spec.output, spec.input, spec.num_classes)

    def __call__(
        self,
        outputs: Sequence[NDArray[Any]],
        letterbox: Letterbox,
        thresholds: Thresholds,
        *,
        image: int | None = None,
        least: NDArray[np.float32] | None = None,
    ) -> Detections:
        """The detections of one picture, sorted by descending confidence.

        ``outputs``    of one picture, without the batch's axis: float16 or float32 (H, W, C) as the specification's
                       heads say, or the one row of the detection output operator in any shape.
        ``letterbox``  what ``preprocess`` returned for this frame.
        ``image``      the picture's place in the batch, checked against what the detection output operator wrote; None
                       does not.
        ``least``      the confidence that each class needs, see ``Choice``; None: that of the thresholds.

        Boxes that lie wholly outside the frame, in the letterbox's border, are left out. The detection output operator
        has suppressed already; doing it again with a threshold that is not below its own changes nothing.
        """
        found, filtered = keep_wanted(self._decode(outputs, thresholds, image), least)
        if not len(found.confidence):
            return Detections.empty(found.invalid, filtered)
        # sides of 1e30 are numbers, their areas are not: such a box overlaps nothing, and ends at the frame's edges
        with np.errstate(over="ignore", invalid="ignore"):
            keep = _suppress(found, self._spec.output.decode == ORIENTED, thresholds)
            xyxy = letterbox.invert(found.xyxy[keep])
        inside = ((xyxy[:, 2] > xyxy[:, 0]) & (xyxy[:, 3] > xyxy[:, 1])).nonzero()[0]
        if len(inside) < len(keep):
            keep, xyxy = keep[inside], xyxy[inside]
        kept = found.at(keep)
        xyxy = np.ascontiguousarray(xyxy)
        detections = Detections(xyxy, kept.confidence, kept.class_id, kept.invalid, filtered)
        return with_shapes(detections, kept, self._spec.output.chosen(outputs), self._spec.output, letterbox)

    def _decode(self, outputs: Sequence[NDArray[Any]], thresholds: Thresholds, image: int | None) -> Candidates:
        spec = self._spec
        outputs = spec.output.chosen(outputs)
        if spec.output.kind in ("yolo_heads", SSD_HEADS):
            return self._decode_heads(outputs, thresholds.confidence, multi_label=thresholds.multi_label)
        if len(outputs) != 1:
            raise ValueError(f"{len(outputs)} outputs for a detection output; give its one row")
        return decode_detection_output(
            outputs[0], spec.input, spec.output, spec.num_classes, thresholds.confidence, image
        )


def _suppress(found: Candidates, turned: bool, thresholds: Thresholds) -> NDArray[np.intp]:
    if turned and found.extra is not None:
        return suppress_turned(found.extra, found.confidence, found.class_id, thresholds.iou, thresholds.max_detections)
    return nms(found.xyxy, found.confidence, found.class_id, thresholds.iou, thresholds.max_detections)


def postprocess(
    outputs: Sequence[NDArray[Any]],
    spec: ModelSpec,
    letterbox: Letterbox,
    thresholds: Thresholds,
    *,
    image: int | None = None,
) -> Detections:
    """The detections of one picture. A Postprocessor does the same without making its tables and its scratch memory
    each time."""
    return Postprocessor(spec)(outputs, letterbox, thresholds, image=image)
