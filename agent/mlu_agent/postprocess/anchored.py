"""Heads with anchors -> candidate boxes in network pixels.

A head holds, per cell and anchor, x, y, w, h, objectness and one score per class, all logits. As confidence =
objectness x class score <= objectness, a cell whose objectness is below the threshold cannot become a box: that one
logit is compared first (for float16 its raw bits), and all other work is done for the few survivors of all heads at
once. What does not depend on the picture, and room for what does, is kept from one picture to the next.

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
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ..model.output_spec import HeadSpec, OutputSpec

    Floats = NDArray[np.float32]
    Indices = NDArray[np.intp]


class AnchoredDecoder:
    """Decodes the heads of one model; for one thread."""

    def __init__(self, spec: OutputSpec, classes: int) -> None:
        self._spec = spec
        self._depth = 5 + classes
        self._known: list[Any] = []

    def __call__(self, outputs: Sequence[NDArray[Any]], confidence: float, multi_label: bool) -> Candidates:
        """The boxes of all heads, (H, W, A * (5 + classes)) each, with a confidence of at least ``confidence``."""
        self._fit(outputs)
        rows = [output.reshape(-1, self._depth).astype(self._dtype, copy=False) for output in outputs]
        np.concatenate([level[:, 4] for level in rows], out=self._objectness)
        found = may_pass(self._objectness, logit(confidence) - MARGIN).nonzero()[0]
        logits = self._gather(rows, found)
        finite = np.isfinite(logits)
        invalid = 0
        if not finite.all():
            valid = np.asarray(finite.all(axis=1))
            invalid = len(valid) - int(np.count_nonzero(valid))
            found, logits = found[valid], logits[valid]
        row, class_id, score = pick_classes(sigmoid(logits[:, 4]), logits[:, 5:], confidence, multi_label=multi_label)
        sides = self._boxes(logits[row, :4].T, self._places.take(found[row], 1))
        finite = np.isfinite(sides)
        if not finite.all():
            valid = np.asarray(finite.all(axis=0))
            invalid += len(valid) - int(np.count_nonzero(valid))
            sides, score, class_id = sides[:, valid], score[valid], class_id[valid]
        return Candidates(sides.T, score, class_id.astype(np.int32), invalid)

    def _fit(self, outputs: Sequence[NDArray[Any]]) -> None:
        """Makes what depends on the outputs' shapes and kinds, which are those of the picture before as a rule."""
        known = [(output.shape, output.dtype) for output in outputs]
        if known == self._known:
            return
        heads = self._spec.heads
        if len(outputs) != len(heads):
            raise ValueError(f"{len(outputs)} outputs for {len(heads)} heads; give one per head")
        for output, head in zip(outputs, heads):
            depth = len(head.anchors) * self._depth
            if output.ndim != 3 or output.shape[2] != depth or output.dtype not in (np.float16, np.float32):
                raise ValueError(f"head is {output.dtype} {output.shape}; give float (H, W, {depth})")
        places = [_places(head, *output.shape[:2]) for output, head in zip(outputs, heads)]
        self._edges = np.cumsum([0, *(level.shape[1] for level in places)])
        self._places = np.concatenate(places, axis=1)
        self._dtype = np.result_type(*outputs)
        self._objectness = np.empty(self._edges[-1], self._dtype)
        self._raw = np.empty((0, self._depth), self._dtype)
        self._logits = np.empty((0, self._depth), np.float32)
        self._known = known

    def _gather(self, rows: Sequence[NDArray[Any]], found: Indices) -> Floats:
        """The logits (N, 5 + classes) of the cells ``found``, in memory that the next picture overwrites."""
        count = len(found)
        if count > len(self._logits):
            self._logits = np.empty((2 * count, self._depth), np.float32)
            self._raw = self._logits if self._dtype == np.float32 else np.empty(self._logits.shape, self._dtype)
        edges = np.searchsorted(found, self._edges).tolist()
        for level, start, begin, end in zip(rows, self._edges.tolist(), edges, edges[1:]):
            # "clip" alone writes into the memory given; the places are right
            level.take(found[begin:end] - start, 0, out=self._raw[begin:end], mode="clip")
        if self._raw is not self._logits:
            np.copyto(self._logits[:count], self._raw[:count])
        return self._logits[:count]

    def _boxes(self, logits: Floats, places: Floats) -> Floats:
        """Sides (4, N): left, top, right, bottom of x, y, w, h logits (4, N) at ``places`` (7, N)."""
        grid, half_anchor, stride, scale, shift = places[0:2], places[2:4], places[4], places[5], places[6]
        if self._spec.decode == "yolov5":
            squashed = sigmoid(logits)
            squashed *= np.float32(2)
            centre = (squashed[:2] - np.float32(0.5) + grid) * stride
            half = np.square(squashed[2:]) * half_anchor
        else:
            centre = (sigmoid(logits[:2]) * scale - shift + grid) * stride
            half = np.exp(logits[2:]) * half_anchor
        return np.concatenate((centre - half, centre + half))


def _places(head: HeadSpec, height: int, width: int) -> Floats:
    """(7, height * width * A) of every cell and anchor: column, row, half the anchor's width and height, stride,
    scale_x_y and the shift that belongs to it."""
    anchors = len(head.anchors)
    table = np.empty((7, height, width, anchors), np.float32)
    table[0] = np.arange(width)[:, None]
    table[1] = np.arange(height)[:, None, None]
    table[2:4] = (head.anchors / np.float32(2)).T[:, None, None]
    table[4], table[5], table[6] = head.stride, head.scale_x_y, (head.scale_x_y - 1) / 2
    return table.reshape(7, -1)
