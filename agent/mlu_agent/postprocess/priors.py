"""Heads of the SSD family -> candidate boxes in network pixels.

    xy = prior's centre + t * variance[0] * prior's sides;  wh = prior's sides * exp(t * variance[1])
    (SSD, Liu et al. 2016, section 2.2, with the variances of its authors' program; RetinaFace, Deng et al. 2020, alike)
    confidence of a class = its share of the softmax over background and classes

A class's share is at most sigmoid(its logit - the background's), so a prior of which no class passes is left alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..model.prior_spec import PriorSpec, lies_in_rows
from .candidates import Candidates
from .logits import MARGIN, logit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ..model.bundle import InputSpec

    Floats = NDArray[np.float32]


def rows_of(output: NDArray[Any], count: int, depth: int) -> NDArray[Any]:
    """A joined output (H, W, C) as (count, depth), without copying. ValueError if it is not that."""
    in_rows = lies_in_rows(output.shape, count, depth) if output.ndim == 3 else None
    if in_rows is None or output.dtype not in (np.float16, np.float32):
        raise ValueError(f"head is {output.dtype} {output.shape}; give float {(count, 1, depth)}")
    return output.reshape(count, depth) if in_rows else output.reshape(depth, count).T


class PriorDecoder:
    """Decodes the heads of one model; for one thread."""

    def __init__(self, spec: PriorSpec, size: InputSpec, classes: int) -> None:
        self._spec = spec
        self._depths = spec.depths(classes)
        self._counts = spec.counts(size.width, size.height)
        self._classes = classes
        self._priors = np.concatenate([_priors(spec, number, size) for number in range(len(spec.levels))])

    def __call__(self, outputs: Sequence[NDArray[Any]], confidence: float, multi_label: bool) -> Candidates:
        """The boxes of one picture with a confidence of at least ``confidence``, before suppression."""
        fields = self._fields(outputs)
        found = self._may_pass(fields["classes"], confidence)
        box, scores = (fields[name][found].astype(np.float32) for name in ("box", "classes"))
        valid = np.asarray(np.isfinite(box).all(axis=1) & np.isfinite(scores).all(axis=1))
        if self._spec.softmaxed:
            valid &= ((scores >= 0) & (scores <= 1)).all(axis=1)
        else:
            scores = _softmax(scores)
        invalid = len(valid) - int(np.count_nonzero(valid))
        row, class_id = _pick(scores[:, 1:], valid, confidence, multi_label)
        xyxy = self._boxes(box[row], self._priors[found[row]])
        possible = np.asarray(np.isfinite(xyxy).all(axis=1))
        invalid += len(possible) - int(np.count_nonzero(possible))
        row, class_id = row[possible], class_id[possible]
        return Candidates(xyxy[possible], scores[row, 1 + class_id], class_id.astype(np.int32), invalid)

    def _fields(self, outputs: Sequence[NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """``box`` (P, 4) and ``classes`` (P, 1 + C) of all priors, the levels one after another."""
        tensors = len(self._depths)
        expected = tensors if self._spec.joined else tensors * len(self._counts)
        if len(outputs) != expected:
            raise ValueError(f"{len(outputs)} outputs for {expected} tensors; give each")
        if self._spec.joined:
            rows = [rows_of(output, sum(self._counts), depth) for output, depth in zip(outputs, self._depths)]
        else:
            rows = [
                np.concatenate([_level(one, count, depth) for one, count in zip(outputs[place::tensors], self._counts)])
                for place, depth in enumerate(self._depths)
            ]
        found = {}
        for tensor, names in zip(rows, self._spec.tensors):
            start = 0
            for name in names:
                width = 4 if name == "box" else 1 + self._classes
                found[name] = tensor[:, start : start + width]
                start += width
        return found

    def _may_pass(self, classes: NDArray[Any], confidence: float) -> NDArray[np.intp]:
        """The priors of which a class may reach ``confidence``, or of which a number is none."""
        best = classes[:, 1:].max(axis=1).astype(np.float32)
        if self._spec.softmaxed:
            passed = best < np.float32(confidence)
        else:
            passed = best - classes[:, 0] < np.float32(logit(confidence) - MARGIN)
        found: NDArray[np.intp] = np.logical_not(passed).nonzero()[0]
        return found

    def _boxes(self, box: Floats, priors: Floats) -> Floats:
        centre, side = priors[:, :2], priors[:, 2:]
        by_place, by_size = (np.float32(one) for one in self._spec.variances)
        middle = centre + box[:, :2] * by_place * side
        half = side * np.exp(box[:, 2:] * by_size) / np.float32(2)
        return np.concatenate((middle - half, middle + half), axis=1)


def _level(output: NDArray[Any], count: int, depth: int) -> NDArray[Any]:
    if output.dtype not in (np.float16, np.float32) or output.size != count * depth or output.shape[-1] % depth:
        raise ValueError(f"head is {output.dtype} {output.shape}; give float, {count} priors of {depth} numbers")
    return output.reshape(count, depth)


def _pick(
    scores: Floats, valid: NDArray[np.bool_], confidence: float, multi_label: bool
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(row, class) of what reaches ``confidence``: of each valid row the best class, or all of them."""
    least = np.float32(confidence)
    if multi_label:
        row, class_id = (scores >= least).nonzero()
        kept = valid[row]
        return row[kept], class_id[kept]
    row = valid.nonzero()[0]
    class_id = scores[row].argmax(axis=1) if len(row) else np.empty(0, np.intp)
    kept = scores[row, class_id] >= least
    return row[kept], class_id[kept]


def _softmax(scores: Floats) -> Floats:
    weights = np.exp(scores - scores.max(axis=1, keepdims=True, initial=-np.inf))
    result: Floats = weights / weights.sum(axis=1, keepdims=True)
    return result


def _priors(spec: PriorSpec, number: int, size: InputSpec) -> Floats:
    """(rows * columns * A, 4): centre x, y, width, height of each prior of one level in pixels."""
    level = spec.levels[number]
    rows, columns = level.grid(size.width, size.height)
    across, down = level.steps(size.width, size.height)
    table = np.empty((rows, columns, len(level.anchors), 4), np.float32)
    table[..., 0] = ((np.arange(columns) + 0.5) * across)[:, None]
    table[..., 1] = ((np.arange(rows) + 0.5) * down)[:, None, None]
    table[..., 2:] = level.anchors
    return table.reshape(-1, 4)
