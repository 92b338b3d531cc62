"""How torch's tensors lie in the model file: NHWC, with the places that the vendor's compiler gives to fewer axes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..values.pixels import CHANNEL_SOURCES

if TYPE_CHECKING:
    from ..values.network import Array, Dims
    from .values import Shape

# torch's axis -> the place in N, H, W, C
SPATIAL_AXIS = {0: 0, 1: 3, 2: 1, 3: 2}


def is_spatial(shape: Shape) -> bool:
    """Four axes are N, C, H, W; everything else lies in torch's order."""
    return len(shape) == 4


def stored_dims(shape: Shape) -> Dims:
    """(N, C, H, W) -> N, H, W, C; (N, C) -> N, 1, 1, C; (N, C, H) -> N, H, 1, C; more axes: the last ones merged."""
    if len(shape) == 4:
        return shape[0], shape[2], shape[3], shape[1]
    if len(shape) == 3:
        return shape[0], shape[2], 1, shape[1]
    return plain_dims(shape)


def around(shape: Shape, dim: int) -> Dims:
    """What is before, at and behind an axis."""
    return math.prod(shape[:dim]), shape[dim], math.prod(shape[dim + 1 :]), 1


def along_last(shape: Shape, first: int) -> Dims:
    """The axes from ``first`` on as channels; the first axis of all stays, as a batch multiplies it."""
    return shape[0], 1, math.prod(shape[1:first]), math.prod(shape[first:])


def plain_dims(shape: Shape) -> Dims:
    """Four dims with the same order in memory."""
    if len(shape) > 4:
        return shape[0], shape[1], shape[2], int(np.prod(shape[3:]))
    if len(shape) >= 3:
        first, second, third, last = (*shape, 1)[:4]
        return first, second, third, last
    if len(shape) == 2:
        return shape[0], 1, 1, shape[1]
    return 1, 1, 1, int(np.prod(shape))


def store(array: Array) -> Array:
    """A tensor in torch's order, as it enters the model."""
    dims = stored_dims(array.shape)
    if array.ndim == 4:
        array = array.transpose(0, 2, 3, 1)
    elif array.ndim == 3:
        array = array.transpose(0, 2, 1)
    return np.ascontiguousarray(array).reshape(dims)


def unstore(array: Array, shape: Shape) -> Array:
    """A tensor as it left the model, in torch's order."""
    result: np.ndarray[Any, Any] = array
    if len(shape) == 4:
        result = array.transpose(0, 3, 1, 2)
    elif len(shape) == 3:
        result = array.reshape(shape[0], shape[2], shape[1]).transpose(0, 2, 1)
    return np.ascontiguousarray(result).reshape(shape)


def pixel_sources(channels: str, count: int) -> tuple[int, ...]:
    """For each channel of the network, the one of the stored picture it comes from; one channel: the first colour."""
    return CHANNEL_SOURCES[channels][:count] if count < 4 else tuple(range(count))


def merged_axes(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[list[int], list[int]]:
    """Sizes and order of a permutation with neighbours that stay neighbours merged, axes of size one left out."""
    real = [axis for axis in axes if shape[axis] != 1]
    groups: list[list[int]] = []
    kept = [axis for axis in range(len(shape)) if shape[axis] != 1]
    follower = dict(zip(kept, kept[1:]))
    for axis in real:
        if groups and follower.get(groups[-1][-1]) == axis:
            groups[-1].append(axis)
        else:
            groups.append([axis])
    in_order = sorted(groups)
    sizes = [math.prod(shape[axis] for axis in group) for group in in_order]
    return sizes, [in_order.index(group) for group in groups]
