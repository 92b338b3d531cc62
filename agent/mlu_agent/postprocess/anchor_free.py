"""Levels without anchors -> candidate boxes in network pixels.

Every cell predicts one box. A cell is looked at further only if one number of it passes: with an objectness that one,
as confidence = objectness x class score <= objectness; without one, any of its class scores.

    yolox   xy = (t + cell) * stride;  wh = exp(t) * stride
            (YOLOX, Ge et al. 2021, section 2.1: anchor-free, decoupled head)
    yolov8  the sides lie at distances left, top, right, bottom from the cell's centre, (cell + 0.5) * stride. Each is
            the expectation of a softmax over the distances 0, 1 .. reg_max - 1, in strides
            (Generalized Focal Loss, Li et al. 2020, section 3.2); with reg_max = 1 the distance itself. YOLO11 too,
            and those that segment, find poses or turned boxes (shape_numbers).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..model.output_spec import ORIENTED
from .candidates import Candidates, nothing
from .logits import MARGIN, logit, may_pass, sigmoid
from .priors import rows_of
from .rotated import enclosing
from .scores import pick_classes
from .shape_numbers import shape_numbers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ..model.bundle import InputSpec
    from ..model.output_spec import OutputSpec

    Floats = NDArray[np.float32]
    Rows = NDArray[Any]
# Class scores are compared in pieces of so many, which stay in the cache and need no large mask.
_PIECE = 1 << 16


@dataclass(frozen=True)
class Level:
    """One level's fields by name, each (cells, channels) as a view of the outputs, ``columns`` cells to a row."""

    fields: dict[str, Rows]
    stride: int
    columns: int

    def centres(self, cells: NDArray[np.intp]) -> Floats:
        """(N, 2): x, y of the middle of cells y * columns + x, in cells."""
        grid = np.stack((cells % self.columns, cells // self.columns), axis=1).astype(np.float32)
        grid += np.float32(0.5)
        return grid


def split_levels(outputs: Sequence[Rows], spec: OutputSpec, size: InputSpec, classes: int) -> list[Level]:
    """The levels of one picture's outputs, without copying. ValueError if they are not what ``spec`` says."""
    shapes = spec.shapes(size.width, size.height, classes)
    if len(outputs) != len(shapes):
        raise ValueError(f"{len(outputs)} outputs for {len(spec.heads)} heads in {len(shapes)} outputs; give each")
    own = len(spec.layout) if spec.joined else len(spec.layout) * len(spec.heads)  # the prototypes are no level's
    if spec.joined:
        levels_rows = [rows_of(output, cells, depth) for output, (cells, _, depth) in zip(outputs[:own], shapes)]
        outputs = [*levels_rows, *outputs[own:]]
    for output, (height, width, channels) in zip(outputs, shapes):
        if (
            output.dtype not in (np.float16, np.float32)
            or output.shape[-1] != channels
            or output.size != height * width * channels
        ):
            raise ValueError(f"head is {output.dtype} {output.shape}; give float {(height, width, channels)}")
    levels, start = [], 0
    for number, head in enumerate(spec.heads):
        columns = size.width // head.stride
        cells = columns * (size.height // head.stride)
        count = len(spec.layout)
        tensors = [
            output.reshape(-1, output.shape[-1])
            for output in (outputs if spec.joined else outputs[number * count : (number + 1) * count])
        ]
        if spec.joined:
            tensors = [tensor[start : start + cells] for tensor in tensors]
            start += cells
        levels.append(Level(_fields(tensors, spec, classes), head.stride, columns))
    return levels


def _fields(tensors: Sequence[Rows], spec: OutputSpec, classes: int) -> dict[str, Rows]:
    found: dict[str, Rows] = {}
    for tensor, names in zip(tensors, spec.layout):
        start = 0
        for name in names:
            width = spec.channels(name, classes)
            found[name] = tensor[:, start : start + width]
            start += width
    return found


def decode_level(level: Level, spec: OutputSpec, confidence: float, multi_label: bool) -> Candidates:
    """The boxes of one level with a confidence of at least ``confidence``, before suppression."""
    cells = _cells(level.fields, spec.activated, confidence)
    if not len(cells):
        return nothing()
    values = {name: rows[cells].astype(np.float32) for name, rows in level.fields.items()}
    valid = np.asarray(_valid(values, spec.activated))
    invalid = len(valid) - int(np.count_nonzero(valid))
    if invalid:
        cells, values = cells[valid], {name: rows[valid] for name, rows in values.items()}
    row, class_id, score = pick_classes(
        _objectness(values, spec.activated),
        values["classes"],
        confidence,
        multi_label=multi_label,
        activated="classes" in spec.activated,
    )
    boxes = _boxes(values["box"], cells, level, spec)
    extra = shape_numbers(values, boxes, level.centres(cells), level.stride, spec)
    if spec.decode == ORIENTED and extra is not None:
        boxes = enclosing(extra)
    boxes, extra = boxes[row], None if extra is None else extra[row]
    return _possible(Candidates(boxes, score, class_id.astype(np.int32), invalid, extra))


def _possible(found: Candidates) -> Candidates:
    """Those whose numbers are finite, and whose boxes have an area; the others are counted."""
    xyxy = found.xyxy
    possible = np.isfinite(xyxy).all(axis=1)
    possible &= (xyxy[:, 2] > xyxy[:, 0]) & (xyxy[:, 3] > xyxy[:, 1])
    if found.extra is not None:
        possible &= np.isfinite(found.extra).all(axis=1)
    if possible.all():
        return found
    kept = found.at(possible.nonzero()[0])
    return replace(kept, invalid=found.invalid + len(possible) - len(kept.confidence))


def _cells(fields: dict[str, Rows], activated: Sequence[str], confidence: float) -> NDArray[np.intp]:
    """The cells of which one number may reach ``confidence``, in order."""
    name = "objectness" if "objectness" in fields else "classes"
    rows = fields[name]
    threshold = confidence if name in activated else logit(confidence) - MARGIN
    width = rows.shape[1]
    step = max(1, _PIECE // width)
    pieces = []
    for start in range(0, len(rows), step):
        passed = may_pass(rows[start : start + step], threshold)
        if passed.any():
            pieces.append(np.flatnonzero(passed) // width + start)
    if not pieces:
        return np.empty(0, np.intp)
    cells = np.concatenate(pieces)
    first = np.ones(len(cells), np.bool_)
    np.not_equal(cells[1:], cells[:-1], out=first[1:])
    return cells[first]


def _valid(values: dict[str, Floats], activated: Sequence[str]) -> NDArray[np.bool_]:
    """Rows of which every number is finite, and every probability one."""
    valid = np.ones(len(values["box"]), np.bool_)
    for name, rows in values.items():
        valid &= np.isfinite(rows).all(axis=1)
        if name in activated and name != "angle":
            valid &= ((rows >= 0) & (rows <= 1)).all(axis=1)
    return valid


def _objectness(values: dict[str, Floats], activated: Sequence[str]) -> Floats:
    """Probabilities (N,), 1 where there is no such field."""
    if "objectness" not in values:
        return np.ones(len(values["box"]), np.float32)
    rows = values["objectness"][:, 0]
    return rows if "objectness" in activated else sigmoid(rows)


def _boxes(box: Floats, cells: NDArray[np.intp], level: Level, spec: OutputSpec) -> Floats:
    """xyxy (N, 4) of the numbers in the box field (N, channels) at ``cells`` = y * columns + x."""
    centre = level.centres(cells)
    stride = np.float32(level.stride)
    if spec.decode == "yolox":
        centre = (box[:, :2] + (centre - np.float32(0.5))) * stride
        half = np.exp(box[:, 2:]) * (stride / np.float32(2))
        return np.concatenate((centre - half, centre + half), axis=1)
    distance = box if spec.reg_max == 1 else _expectation(box.reshape(-1, spec.reg_max)).reshape(-1, 4)
    sides: Floats = np.concatenate((centre - distance[:, :2], centre + distance[:, 2:]), axis=1)
    sides *= stride
    return sides


def _expectation(logits: Floats) -> Floats:
    """(N,) expectation of a softmax over 0, 1 .. of logits (N, reg_max)."""
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: Floats = weights @ np.arange(logits.shape[1], dtype=np.float32)
    result /= weights.sum(axis=1)
    return result
