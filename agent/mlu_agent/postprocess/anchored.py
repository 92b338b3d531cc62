"""Heads with anchors -> candidate boxes in network pixels.

A head holds, per cell and anchor, x, y, w, h, objectness and one score per class, all logits. As confidence =
objectness x class score <= objectness, a cell whose objectness is below the threshold cannot become a box: that one
logit is compared first (for float16 its raw bits), and all other work is done for the few survivors.

    yolov3  xy = (sigmoid(t) * s - (s - 1) / 2 + cell) * stride, s = scale_x_y; wh = exp(t) * anchor
            (YOLOv3, Redmon and Farhadi 2018, section 2.1; s: YOLOv4, Bochkovskiy et al. 2020, section 3.3)
    yolov5  xy = (2 sigmoid(t) - 0.5 + cell) * stride;  wh = (2 sigmoid(t))^2 * anchor
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .candidates import Candidates
from .logits import MARGIN, logit, may_pass, sigmoid
from .scores import pick_classes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..model.output_spec import HeadSpec

    Floats = NDArray[np.float32]


def decode_level(
    output: NDArray[Any], head: HeadSpec, decode: str, classes: int, confidence: float, multi_label: bool
) -> Candidates:
    """The boxes of one head, (H, W, A * (5 + classes)), with a confidence of at least ``confidence``."""
    anchors = len(head.anchors)
    if output.ndim != 3 or output.shape[2] != anchors * (5 + classes) or output.dtype not in (np.float16, np.float32):
        raise ValueError(f"head is {output.dtype} {output.shape}; give float (H, W, {anchors * (5 + classes)})")
    rows = output.reshape(-1, 5 + classes)
    found = np.flatnonzero(may_pass(rows[:, 4], logit(confidence) - MARGIN))
    logits = rows[found].astype(np.float32)
    finite = np.asarray(np.isfinite(logits).all(axis=1))
    invalid = len(finite) - int(np.count_nonzero(finite))
    if invalid:
        found, logits = found[finite], logits[finite]
    row, class_id, score = pick_classes(sigmoid(logits[:, 4]), logits[:, 5:], confidence, multi_label=multi_label)
    xyxy = _boxes(logits[row, :4], found[row], head, output.shape[1], decode)
    finite = np.asarray(np.isfinite(xyxy).all(axis=1))
    if not finite.all():
        invalid += len(finite) - int(np.count_nonzero(finite))
        xyxy, score, class_id = xyxy[finite], score[finite], class_id[finite]
    return Candidates(xyxy, score, class_id.astype(np.int32), invalid)


def _boxes(logits: Floats, index: NDArray[np.intp], head: HeadSpec, width: int, decode: str) -> Floats:
    """xyxy (N, 4) of x, y, w, h logits (N, 4) at flat places ``index`` = (y * width + x) * A + anchor."""
    cell, anchor = np.divmod(index, len(head.anchors))
    grid = np.stack((cell % width, cell // width), axis=1).astype(np.float32)
    if decode == "yolov5":
        squashed = sigmoid(logits) * np.float32(2)
        centre = (squashed[:, :2] - np.float32(0.5) + grid) * np.float32(head.stride)
        half = np.square(squashed[:, 2:]) * (head.anchors[anchor] / np.float32(2))
    else:
        scale = np.float32(head.scale_x_y)
        shift = np.float32((head.scale_x_y - 1) / 2)
        centre = (sigmoid(logits[:, :2]) * scale - shift + grid) * np.float32(head.stride)
        half = np.exp(logits[:, 2:]) * (head.anchors[anchor] / np.float32(2))
    return np.concatenate((centre - half, centre + half), axis=1)
