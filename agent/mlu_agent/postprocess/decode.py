"""Logits of the heads -> candidate boxes in network pixels.

A head holds, per cell and anchor, x, y, w, h, objectness and one score per class, all logits. As confidence =
objectness x class score <= objectness, a cell whose objectness is below the threshold cannot become a box: that one
logit is compared first (for float16 its raw bits), and all other work is done for the few survivors.

    yolov3  xy = (sigmoid(t) * s - (s - 1) / 2 + cell) * stride, s = scale_x_y; wh = exp(t) * anchor
            (YOLOv3, Redmon and Farhadi 2018, section 2.1; s: YOLOv4, Bochkovskiy et al. 2020, section 3.3)
    yolov5  xy = (2 sigmoid(t) - 0.5 + cell) * stride;  wh = (2 sigmoid(t))^2 * anchor
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from mlu_agent.postprocess.candidates import Candidates, join

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mlu_agent.bundle import HeadSpec, OutputSpec

    Floats = NDArray[np.float32]
# The comparison of logits only has to lose nothing: what it lets through is compared again as a confidence.
_MARGIN = 1e-3


def decode_heads(
    outputs: Sequence[NDArray[Any]], spec: OutputSpec, classes: int, confidence: float, *, multi_label: bool = False
) -> Candidates:
    """All boxes of one picture with a confidence of at least ``confidence``.

    ``outputs``  one float16 or float32 (H, W, A * (5 + classes)) per head of ``spec``.
    Raises ValueError if they are not that.
    """
    if len(outputs) != len(spec.heads):
        raise ValueError(f"{len(outputs)} outputs for {len(spec.heads)} heads; give one per head")
    # Logits of +-100 and more overflow exp on purpose: 1 / (1 + inf) is the right 0, and a box of inf is dropped.
    with np.errstate(over="ignore", invalid="ignore"):
        parts = [
            _decode_head(output, head, spec.decode, classes, confidence, multi_label)
            for output, head in zip(outputs, spec.heads)
        ]
    return join(parts)


def _decode_head(
    output: NDArray[Any], head: HeadSpec, decode: str, classes: int, confidence: float, multi_label: bool
) -> Candidates:
    anchors = len(head.anchors)
    if output.ndim != 3 or output.shape[2] != anchors * (5 + classes) or output.dtype not in (np.float16, np.float32):
        raise ValueError(f"head is {output.dtype} {output.shape}; give float (H, W, {anchors * (5 + classes)})")
    rows = output.reshape(-1, 5 + classes)
    found = np.flatnonzero(_may_pass(rows[:, 4], _logit(confidence) - _MARGIN))
    logits = rows[found].astype(np.float32)
    finite = np.asarray(np.isfinite(logits).all(axis=1))
    invalid = len(finite) - int(np.count_nonzero(finite))
    if invalid:
        found, logits = found[finite], logits[finite]
    select = _every_class if multi_label else _best_class
    row, class_id, score = select(logits, confidence)
    xyxy = _boxes(logits[row, :4], found[row], head, output.shape[1], decode)
    finite = np.asarray(np.isfinite(xyxy).all(axis=1))
    if not finite.all():
        invalid += len(finite) - int(np.count_nonzero(finite))
        xyxy, score, class_id = xyxy[finite], score[finite], class_id[finite]
    return Candidates(xyxy, score, class_id.astype(np.int32), invalid)


def _may_pass(objectness: NDArray[Any], threshold: float) -> NDArray[np.bool_]:
    """Where ``objectness`` (N,) is at least ``threshold``, or NaN (which is counted later)."""
    if objectness.dtype == np.float32:
        passed: NDArray[np.bool_] = ~(np.ascontiguousarray(objectness) < np.float32(threshold))
        return passed
    # Bits of a float16 order as unsigned integers, backwards for negative numbers; above 0xfc00 are the negative NaNs.
    bits = np.ascontiguousarray(objectness).view(np.uint16)
    limit = np.nextafter(np.float16(max(-60000.0, min(60000.0, threshold))), np.float16(-np.inf)).view(np.uint16)
    passed = bits > np.uint16(0xFC00)
    if limit >= 0x8000:
        passed |= bits <= limit
    else:
        passed |= (bits >= limit) & (bits < np.uint16(0x8000))
    return passed


def _best_class(logits: Floats, confidence: float) -> tuple[NDArray[np.intp], NDArray[Any], Floats]:
    """(row, class, confidence) of the rows whose best class passes."""
    best = logits[:, 5:].argmax(axis=1)
    score = _sigmoid(logits[:, 4]) * _sigmoid(logits[np.arange(len(logits)), best + 5])
    row = np.flatnonzero(score >= np.float32(confidence))
    return row, best[row], score[row]


def _every_class(logits: Floats, confidence: float) -> tuple[NDArray[np.intp], NDArray[Any], Floats]:
    """(row, class, confidence) of every pair that passes; again logits are compared first."""
    objectness = _sigmoid(logits[:, 4])
    needed = np.minimum(confidence / np.maximum(objectness, 1e-30), 1.0).astype(np.float64)
    with np.errstate(divide="ignore"):
        limit = (np.log(needed) - np.log1p(-needed) - _MARGIN).astype(np.float32)
    # needed = 1 asks for an infinite logit; sigmoid rounds to 1 from 17 on
    row, class_id = np.nonzero(logits[:, 5:] >= np.minimum(limit, np.float32(16))[:, None])
    score = objectness[row] * _sigmoid(logits[row, class_id + 5])
    passed = score >= np.float32(confidence)
    return row[passed], class_id[passed], score[passed]


def _boxes(logits: Floats, index: NDArray[np.intp], head: HeadSpec, width: int, decode: str) -> Floats:
    """xyxy (N, 4) of x, y, w, h logits (N, 4) at flat places ``index`` = (y * width + x) * A + anchor."""
    cell, anchor = np.divmod(index, len(head.anchors))
    grid = np.stack((cell % width, cell // width), axis=1).astype(np.float32)
    if decode == "yolov5":
        squashed = _sigmoid(logits) * np.float32(2)
        centre = (squashed[:, :2] - np.float32(0.5) + grid) * np.float32(head.stride)
        half = np.square(squashed[:, 2:]) * (head.anchors[anchor] / np.float32(2))
    else:
        scale = np.float32(head.scale_x_y)
        shift = np.float32((head.scale_x_y - 1) / 2)
        centre = (_sigmoid(logits[:, :2]) * scale - shift + grid) * np.float32(head.stride)
        half = np.exp(logits[:, 2:]) * (head.anchors[anchor] / np.float32(2))
    return np.concatenate((centre - half, centre + half), axis=1)


def _sigmoid(x: Floats) -> Floats:
    result: Floats = np.float32(1) / (np.float32(1) + np.exp(-x))
    return result


def _logit(probability: float) -> float:
    if probability <= 0:
        return -math.inf
    if probability >= 1:
        return 16.0  # from here on a float32 sigmoid may round to 1
    return math.log(probability / (1 - probability))
