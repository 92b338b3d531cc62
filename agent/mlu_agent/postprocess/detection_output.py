"""The layout of the on-device detection output operator.

Per picture 64 + 7 * max_boxes numbers: the first holds the number of boxes, then from the 65th on each box is
[picture in the batch, class_id, score, x1, y1, x2, y2]; what follows the last box is never read. The operators of the
v3 family give coordinates normalised to the network's input, those of v5 its pixels. That of SSD gives normalised ones
and counts the background as class 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..model.output_spec import ROW_FIELDS, ROW_HEADER
from .candidates import Candidates

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..model.bundle import InputSpec, OutputSpec


def decode_detection_output(
    row: NDArray[Any], size: InputSpec, spec: OutputSpec, classes: int, confidence: float, image: int | None = None
) -> Candidates:
    """The boxes of one picture with a score of at least ``confidence``.

    ``row``    float16 or float32, 64 + 7 * max_boxes numbers in any shape.
    ``image``  the picture's place in the batch: boxes of another one are invalid. None does not look.

    Boxes that are not finite, have no area or name no class are dropped and counted as invalid; so is a count that is
    not 0..max_boxes, of which as many boxes are read as there can be.
    """
    values = row.reshape(-1)
    if values.size != ROW_HEADER + ROW_FIELDS * spec.max_boxes:
        raise ValueError(
            f"row of {values.size} numbers; {spec.max_boxes} boxes need {ROW_HEADER + ROW_FIELDS * spec.max_boxes}"
        )
    count, invalid = _count(float(values[0]), spec.max_boxes)
    boxes = values[ROW_HEADER : ROW_HEADER + ROW_FIELDS * count].astype(np.float32).reshape(count, ROW_FIELDS)
    if spec.background:
        boxes = boxes[boxes[:, 1] != 0]
        boxes[:, 1] -= 1
    valid = np.isfinite(boxes).all(axis=1)
    with np.errstate(invalid="ignore"):
        valid &= (boxes[:, 1] >= 0) & (boxes[:, 1] < classes) & (boxes[:, 1] == np.floor(boxes[:, 1]))
        valid &= (boxes[:, 5] > boxes[:, 3]) & (boxes[:, 6] > boxes[:, 4]) & (boxes[:, 2] >= 0) & (boxes[:, 2] <= 1)
        if image is not None:
            valid &= boxes[:, 0] == image
    invalid += len(boxes) - int(np.count_nonzero(valid))
    boxes = boxes[valid & (boxes[:, 2] >= np.float32(confidence))]
    xyxy = boxes[:, 3:]
    if spec.coordinates == "normalized":
        xyxy = xyxy * np.array([size.width, size.height] * 2, np.float32)
    return Candidates(xyxy, boxes[:, 2], boxes[:, 1].astype(np.int32), invalid)


def _count(stored: float, max_boxes: int) -> tuple[int, int]:
    """Number of boxes to read, and 1 if the stored number was impossible. NaN counts as none."""
    if 0 <= stored <= max_boxes:
        return round(stored), int(stored != round(stored))
    return (max_boxes if stored > max_boxes else 0), 1
