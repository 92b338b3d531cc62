"""Operators that decoding tails have and the device has not, on tensors that are known: what a tail computes, tried."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from mlu_agent.errors import DataError

from ...recording.values import UnsupportedError
from .call import bounded

if TYPE_CHECKING:
    from .call import Call, Tensor

MOST_COMPARED = 1 << 28  # boxes times chosen times classes: some seconds


def _of(call: Call, index: int = 0) -> Tensor:
    found = call.known(index)
    if found is None:
        raise DataError(f"{call.place}: its input {index} is missing")
    return found


def sigmoid(call: Call) -> Any:
    """Of every number."""
    return 1 / (1 + np.exp(-_of(call)))


def softmax(call: Call) -> Any:
    """Along one axis; before opset 13 along all from it on, of which tails have one."""
    x = _of(call)
    axis = call.integer("axis", -1 if call.opset >= 13 else 1) % x.ndim
    if call.opset < 13 and x.shape[axis + 1 :] and max(x.shape[axis + 1 :]) > 1:
        raise UnsupportedError("softmax along several axes is not known")
    powers = np.exp(x - x.max(axis=axis, keepdims=True))
    return powers / powers.sum(axis=axis, keepdims=True)


def convolution(call: Call) -> Any:
    """Of one place to one place, as the sum over distances is."""
    x, weight, bias = _of(call), _of(call, 1), call.known(2)
    if x.ndim != 4 or weight.ndim != 4 or weight.shape[2:] != (1, 1) or call.integer("group", 1) != 1:
        raise UnsupportedError("only a convolution of one place is known for constants")
    made = x.shape[0] * math.prod(x.shape[2:]) * weight.shape[0]
    bounded(made * max(1, weight.shape[1]))  # of no channels a result is as large
    result = np.einsum("oi,nihw->nohw", weight[:, :, 0, 0], x)
    return result if bias is None else result + bias.reshape(1, -1, 1, 1)


def top_k(call: Call) -> Any:
    """The largest (or smallest) along an axis, and their places."""
    x, count = _of(call), (call.numbers(1) or [0])[0]
    axis = call.integer("axis", -1)
    if not 0 < count <= x.shape[axis]:
        raise ValueError(f"{count} of an axis of {x.shape[axis]}")
    order = np.argsort(-x if call.integer("largest", 1) else x, axis=axis, kind="stable")
    places = np.take(order, np.arange(count), axis=axis)
    return np.take_along_axis(x, places, axis), places


def gather_elements(call: Call) -> Any:
    """One place for every place."""
    x, places, axis = _of(call), _of(call, 1), call.integer("axis", 0)
    others = [size for at, size in enumerate(x.shape) if at != axis % max(1, x.ndim)]
    bounded(math.prod(np.broadcast_shapes((*others, 1), np.moveaxis(places, axis, -1).shape)))
    return np.take_along_axis(x, places % x.shape[axis], axis)


def gather_nd(call: Call) -> Any:
    """The parts at places that are lists of numbers."""
    x, places, batch = _of(call), _of(call, 1), call.integer("batch_dims", 0)
    if batch > 1 or (batch and x.shape[0] != 1):
        raise UnsupportedError("gathering for each of several pictures is not known")
    if batch:
        return x[0][_places(x[0], places[0])][None]
    return x[_places(x, places)]


def scatter_nd(call: Call) -> Any:
    """A tensor with other numbers at some places."""
    made, places, updates = np.array(_of(call)), _of(call, 1), _of(call, 2)
    made[_places(made, places)] = updates
    return made


def _places(x: Tensor, places: Tensor) -> tuple[Tensor, ...]:
    """Lists of numbers as numpy wants them."""
    depth = places.shape[-1]
    if depth > x.ndim:
        raise ValueError(f"places of {depth} numbers in a tensor of {x.ndim} axes")
    bounded(math.prod(places.shape[:-1]) * math.prod(x.shape[depth:]))
    return tuple(np.moveaxis(places, -1, 0))


def non_zero(call: Call) -> Any:
    """The places of what is not zero."""
    x = _of(call)
    bounded(x.size * x.ndim)
    return np.array(np.nonzero(x), np.int64)


def arg_max(call: Call) -> Any:
    """The first place of the largest."""
    x, axis = _of(call), call.integer("axis", 0)
    places = x.argmax(axis=axis)
    return np.expand_dims(places, axis) if call.integer("keepdims", 1) else places


def suppression(call: Call) -> Any:
    """NonMaxSuppression of one picture: picture, class and place of each box that is left."""
    boxes, scores = _of(call), _of(call, 1)
    most, overlap, least = call.number(2) or 0, call.number(3) or 0.0, call.number(4)
    classes, count = scores.shape[1], boxes.shape[1]
    if boxes.shape[0] != 1 or classes * max(1, count) * max(1, min(int(most), count)) > MOST_COMPARED:
        raise UnsupportedError(f"a choice among boxes {boxes.shape} of {classes} classes, {most:g} each, is not known")
    corners = boxes[0]
    if call.integer("center_point_box", 0):
        corners = np.concatenate((corners[:, :2] - corners[:, 2:] / 2, corners[:, :2] + corners[:, 2:] / 2), axis=1)
    chosen = []
    for class_id, own in enumerate(scores[0]):
        order = np.argsort(-own, kind="stable")
        order = order if least is None else order[own[order] > least]
        chosen += [(0, class_id, place) for place in _suppressed(corners, order, int(most), overlap)]
    return np.array(chosen, np.int64).reshape(-1, 3)


def _suppressed(corners: Tensor, order: Tensor, most: int, overlap: float) -> list[int]:
    areas = np.prod(np.abs(corners[:, 2:] - corners[:, :2]), axis=1)
    left: list[int] = []
    while len(order) and len(left) < most:
        first, order = order[0], order[1:]
        left.append(int(first))
        low = np.maximum(corners[order, :2], corners[first, :2])
        high = np.minimum(corners[order, 2:], corners[first, 2:])
        shared = np.prod(np.maximum(0, high - low), axis=1)
        order = order[shared <= overlap * (areas[order] + areas[first] - shared)]
    return left


TAIL_FOLDS = {
    "Sigmoid": sigmoid,
    "Softmax": softmax,
    "Conv": convolution,
    "TopK": top_k,
    "GatherElements": gather_elements,
    "GatherND": gather_nd,
    "ScatterND": scatter_nd,
    "NonZero": non_zero,
    "ArgMax": arg_max,
    "NonMaxSuppression": suppression,
}
