"""DETECTION_OUTPUT in numpy, exactly as native/ARITHMETIC.md section 6 defines it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mlu_agent.model.output_spec import ROW_FIELDS, ROW_HEADER

from ...values import network as net
from ...values.network import Network, Operator, word_float
from .functions import Floats, exponential, f32, logarithm, sigmoid

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_CANDIDATES = 32768


@dataclass(frozen=True)
class _Settings:
    kind: int
    classes: int
    anchors: int
    height: int
    width: int
    confidence: np.float32
    iou: np.float32
    max_boxes: int
    beta: np.float32


def detection_output(network: Network, operator: Operator, heads: Sequence[Floats]) -> Floats:
    """``[N, 64 + 7 * max_boxes]``: the count, 63 zeros, then rows of batch, class, score, x1, y1, x2, y2."""
    kind, classes, anchors, height, width, confidence, iou, most = operator.attributes[:8]
    words = [f32(word_float(word)) for word in operator.attributes[8:]]
    settings = _Settings(
        kind, classes, anchors, height, width, f32(word_float(confidence)), f32(word_float(iou)), most, words[-1]
    )
    sizes = network.constants[operator.constants[0]].reshape(len(heads), anchors, 2)
    scales = words[: len(heads)]
    out = np.zeros((heads[0].shape[0], ROW_HEADER + ROW_FIELDS * most), np.float32)
    for n in range(len(out)):
        parts = [_decode(settings, head[n], size, scale) for head, size, scale in zip(heads, sizes, scales)]
        boxes, scores = (np.concatenate(list(group)) for group in zip(*parts))
        _fill(settings, boxes, scores, n, out[n])
    return out


def _decode(s: _Settings, head: Floats, anchors: Floats, scale: np.float32) -> tuple[Floats, Floats]:
    """Corners ``[cells * anchors, 4]`` in pixels and scores ``[cells * anchors, classes]``."""
    rows, cols, _ = head.shape
    values = head.reshape(rows, cols, s.anchors, 5 + s.classes)
    confident = values[..., 4:] if s.kind == net.YOLOV5 else sigmoid(values[..., 4:])
    scores = confident[..., :1] * confident[..., 1:]
    xs = np.arange(cols, dtype=np.float32)[None, :, None]
    ys = np.arange(rows, dtype=np.float32)[:, None, None]
    x1, x2 = _axis(s, values[..., 0], values[..., 2], xs, f32(s.width) / f32(cols), anchors[:, 0], scale)
    y1, y2 = _axis(s, values[..., 1], values[..., 3], ys, f32(s.height) / f32(rows), anchors[:, 1], scale)
    return np.stack([x1, y1, x2, y2], -1).reshape(-1, 4), scores.reshape(-1, s.classes)


def _axis(
    s: _Settings, centre: Floats, extent: Floats, cell: Floats, stride: np.float32, anchor: Floats, scale: np.float32
) -> tuple[Floats, Floats]:
    if s.kind == net.YOLOV5:
        twice = extent * f32(2)
        at = ((centre * f32(2) - f32(0.5)) + cell) * stride
        size = (twice * twice) * anchor
    else:
        at = ((sigmoid(centre) * scale - (scale - f32(1)) * f32(0.5)) + cell) * stride
        size = exponential(extent) * anchor
    half = size * f32(0.5)
    return at - half, at + half


def _fill(s: _Settings, boxes: Floats, scores: Floats, n: int, row: Floats) -> None:
    flat = scores.ravel()
    chosen = np.flatnonzero(flat >= s.confidence)
    if s.kind == net.YOLOV4_SINGLE:
        chosen = chosen[chosen % s.classes == scores.argmax(axis=1)[chosen // s.classes]]
    chosen = chosen[np.argsort(-flat[chosen], kind="stable")][:MAX_CANDIDATES]
    labels = chosen % s.classes
    corners = boxes[chosen // s.classes]
    kept: list[int] = []
    for i in range(len(chosen)):
        if len(kept) == s.max_boxes:
            break
        rivals = [k for k in kept if labels[k] == labels[i]]
        if (_closeness(s, corners[rivals], corners[i]) < s.iou).all():
            kept.append(i)
    sides = [f32(1)] * 4 if s.kind == net.YOLOV5 else [f32(s.width), f32(s.height)] * 2
    row[0] = len(kept)
    for k, i in enumerate(kept):
        place = [n, labels[i], flat[chosen[i]], *(corners[i] / np.array(sides, np.float32))]
        row[ROW_HEADER + ROW_FIELDS * k : ROW_HEADER + ROW_FIELDS * (k + 1)] = place


def _closeness(s: _Settings, a: Floats, b: Floats) -> npt.NDArray[np.float32]:
    if s.kind != net.YOLOV4_DISTANCE:
        return _iou(a, b)
    apart, across = f32(0), f32(0)
    for axis in (0, 1):
        centres = (a[:, axis] + a[:, axis + 2]) * f32(0.5) - (b[axis] + b[axis + 2]) * f32(0.5)
        high = np.where(a[:, axis + 2] > b[axis + 2], a[:, axis + 2], b[axis + 2])
        low = np.where(a[:, axis] < b[axis], a[:, axis], b[axis])
        apart, across = apart + centres * centres, across + (high - low) * (high - low)
    ratio = np.where(across > 0, apart / np.where(across > 0, across, f32(1)), f32(0))
    normal = ratio >= np.finfo(np.float32).tiny
    power = exponential(s.beta * logarithm(np.where(normal, ratio, f32(1)).astype(np.float32)))
    return np.asarray(_iou(a, b) - np.where(normal, power, f32(0)), np.float32)


def _iou(a: Floats, b: Floats) -> npt.NDArray[np.float32]:
    """Of boxes ``a [K, 4]`` with ``b [4]``; 0 where the union is not positive."""
    sides = []
    for axis in (0, 1):
        low = np.where(a[:, axis] > b[axis], a[:, axis], b[axis])
        high = np.where(a[:, axis + 2] < b[axis + 2], a[:, axis + 2], b[axis + 2])
        length = high - low
        sides.append(np.where(length > 0, length, f32(0)))
    shared = sides[0] * sides[1]
    area_a = (a[:, 2] - a[:, 0]) * (a[:, 3] - a[:, 1])
    area_b = (b[2] - b[0]) * (b[3] - b[1])
    union = (area_a + area_b) - shared
    return np.asarray(np.where(union > 0, shared / np.where(union > 0, union, f32(1)), f32(0)), np.float32)
