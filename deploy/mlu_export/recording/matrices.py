"""How products of computed matrices, and normalisations and softmax along the last axis, become operators."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..values import network as net
from ..values.network import float_word
from .layout import SPATIAL_AXIS, along_last, around, is_spatial, plain_dims, stored_dims

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..values.network import Array
    from .state import State
    from .values import Value


def matmul(state: State, value: Value) -> None:
    """One that only swaps the axes of an operand leaves that to the product."""
    numbers, turns = [], []
    for one in value.inputs:
        turned = _is_turned(one)
        source = one.inputs[0] if turned else one
        numbers.append(state.as_dims(state.place(source, "plain"), _matrices(source.shape), source.half))
        turns.append(int(turned))
    dims = _matrices(value.shape)
    words = (*turns, float_word(value.attributes["scale"]))
    made = state.emit(net.MATMUL, numbers, dims, value.half, words, name="matmul")
    state.put(value, "plain", state.as_dims(made, plain_dims(value.shape), value.half))


def _is_turned(value: Value) -> bool:
    rank = len(value.shape)
    swapped = (*range(rank - 2), rank - 1, rank - 2)
    return value.array is None and value.operation == "permute" and value.attributes["axes"] == swapped


def _matrices(shape: tuple[int, ...]) -> net.Dims:
    """Rows and columns in W and C; whatever is in front of them but the pictures in H."""
    if len(shape) == 2:
        return 1, 1, shape[0], shape[1]
    return shape[0], math.prod(shape[1:-2]), shape[-2], shape[-1]


def layer_norm(state: State, value: Value) -> None:
    a = value.attributes
    constants = (state.optional(a["gamma"]), state.optional(a["beta"]))
    _along(state, value, a["first"], net.LAYER_NORM, (float_word(a["eps"]),), constants)


def softmax(state: State, value: Value) -> None:
    dim, source = value.attributes["dim"], value.inputs[0]
    if dim and not _keeps_order(state, source):
        number, dims = state.place(source, "nhwc"), stored_dims(value.shape)
        made = state.emit(net.SOFTMAX, (number,), dims, value.half, (SPATIAL_AXIS[dim],), name="softmax")
        state.put(value, "nhwc", made)
    elif dim and dim == len(value.shape) - 1:
        _along(state, value, dim, net.SOFTMAX, (3,))
    else:
        dims = around(value.shape, dim)
        number = state.as_dims(state.place(source, "plain"), dims, value.half)
        made = state.emit(net.SOFTMAX, (number,), dims, value.half, (1,), name="softmax")
        state.put(value, "plain", state.as_dims(made, plain_dims(value.shape), value.half))


def affine_last(state: State, value: Value, alpha: Array, beta: Array) -> bool:
    """Numbers for every element that are the same for all places of the last axis; False: they are not."""
    if not _keeps_order(state, value.inputs[0]) or any(
        (one != one.reshape(-1, one.shape[-1])[0]).any() for one in (alpha, beta)
    ):
        return False
    constants = [state.constant(one.reshape(-1, one.shape[-1])[0]) for one in (alpha, beta)]
    _along(state, value, len(value.shape) - 1, net.AFFINE, (), constants)
    return True


def _along(
    state: State, value: Value, first: int, opcode: int, words: Sequence[int], constants: Sequence[int] = ()
) -> None:
    """An operator along the axes from ``first`` on, of a tensor in torch's order: they are a pixel's channels."""
    dims, source = along_last(value.shape, first), value.inputs[0]
    number = state.as_dims(state.place(source, "plain"), dims, source.half)
    made = state.emit(opcode, (number,), dims, value.half, words, constants, value.operation)
    state.put(value, "plain", state.as_dims(made, plain_dims(value.shape), value.half))


def _keeps_order(state: State, value: Value) -> bool:
    """Whether it lies in torch's order."""
    return not is_spatial(value.shape) or state.layout_of(value) == "plain"
