"""The lowered network computed in numpy, exactly as native/ARITHMETIC.md defines it.

Slow and plain: the export tool's own opinion of what the simulator must give, to the bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

import numpy as np
import numpy.typing as npt

from ...values import network as net
from ...values.network import DTYPES, Array, Network, Operator, word_float, word_int
from .functions import Floats, activation, exponential, quantized
from .generic import GENERIC_OPERATORS

if TYPE_CHECKING:
    from collections.abc import Sequence


def run_network(network: Network, inputs: Sequence[Array]) -> list[Array]:
    """Outputs (N, H, W, C) of the network for its inputs, in their stored dtypes."""
    values: dict[int, Array] = dict(zip(network.inputs, inputs))
    last_use = {number: index for index, operator in enumerate(network.operators) for number in operator.inputs}
    for index, operator in enumerate(network.operators):
        target = network.tensors[operator.output]
        operands = [values[number].astype(np.float32) for number in operator.inputs]
        with np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore"):
            result = _OPERATORS[operator.opcode](network, operator, operands)
            values[operator.output] = result.reshape(target.dims).astype(DTYPES[target.dtype])
        for number in set(operator.inputs):
            if last_use[number] == index and number not in network.outputs:
                del values[number]
    return [values[number] for number in network.outputs]


def _conv(network: Network, operator: Operator, operands: list[Floats]) -> Floats:
    kernel_h, kernel_w, stride_h, stride_w, top, left, dilation_h, dilation_w, groups = map(
        word_int, operator.attributes[:9]
    )
    _, rows, cols, out = network.tensors[operator.output].dims
    constants = [None if number == net.ABSENT else network.constants[number] for number in operator.constants]
    assert constants[0] is not None
    weight = constants[0].reshape(out, kernel_h, kernel_w, -1)
    value: Array = operands[0]
    if weight.dtype != np.float32:
        qmax = 127 if weight.dtype == np.int8 else 32767
        value = quantized(operands[0], word_float(operator.attributes[9]), qmax)
    window = _Window(
        value, (kernel_h, kernel_w), (stride_h, stride_w), (top, left), (dilation_h, dilation_w), (rows, cols)
    )
    accumulated = (
        _float_sums(window, weight, groups) if weight.dtype == np.float32 else _integer_sums(window, weight, groups)
    )
    result: Floats = accumulated.astype(np.float32)
    for constant, multiply in zip(constants[1:], (True, False, True, False)):
        if constant is not None:
            result = result * constant if multiply else result + constant
    return result


class _Window:
    """Hands out, tap by tap, the input values under a kernel: (N, rows, cols, channels), zero outside the picture."""

    def __init__(
        self,
        value: Array,
        kernel: tuple[int, int],
        stride: tuple[int, int],
        before: tuple[int, int],
        dilation: tuple[int, int],
        size: tuple[int, int],
        fill: float = 0.0,
    ) -> None:
        need = [(size[axis] - 1) * stride[axis] + (kernel[axis] - 1) * dilation[axis] + 1 for axis in (0, 1)]
        after = [max(0, need[axis] - before[axis] - value.shape[1 + axis]) for axis in (0, 1)]
        pads = ((0, 0), (before[0], after[0]), (before[1], after[1]), (0, 0))
        self._value = np.pad(value, pads, constant_values=fill)
        self._stride, self._dilation, self._size = stride, dilation, size
        self.taps = [(y, x) for y in range(kernel[0]) for x in range(kernel[1])]

    def at(self, tap: tuple[int, int]) -> Array:
        starts = [tap[axis] * self._dilation[axis] for axis in (0, 1)]
        stops = [starts[axis] + (self._size[axis] - 1) * self._stride[axis] + 1 for axis in (0, 1)]
        return self._value[:, starts[0] : stops[0] : self._stride[0], starts[1] : stops[1] : self._stride[1]]


def _integer_sums(window: _Window, weight: Array, groups: int) -> npt.NDArray[np.float64]:
    """Exact: float64 holds every integer below 2^53, far beyond what int8 or int16 kernels of a network reach."""
    out_each, in_each = weight.shape[0] // groups, weight.shape[3]
    parts = []
    for group in range(groups):
        w = weight[group * out_each : (group + 1) * out_each].astype(np.float64)
        total: Any = 0.0
        for tap in window.taps:
            total = total + window.at(tap)[..., group * in_each : (group + 1) * in_each] @ w[:, tap[0], tap[1]].T
        parts.append(total)
    return np.concatenate(parts, axis=-1)


def _float_sums(window: _Window, weight: Array, groups: int) -> Floats:
    """float32 sums in the defined order (ky, kx, i), two roundings a tap."""
    out, in_each = weight.shape[0], weight.shape[3]
    group_of = np.arange(out) // (out // groups)
    total: Any = np.float32(0)
    for tap in window.taps:
        values = window.at(tap)
        for channel in range(in_each):
            total = total + values[..., group_of * in_each + channel] * weight[:, tap[0], tap[1], channel]
    return np.asarray(total, np.float32)


def _max_pool(network: Network, operator: Operator, operands: list[Floats]) -> Floats:
    kernel_h, kernel_w, stride_h, stride_w, top, left = map(word_int, operator.attributes)
    _, rows, cols, _ = network.tensors[operator.output].dims
    window = _Window(
        operands[0], (kernel_h, kernel_w), (stride_h, stride_w), (top, left), (1, 1), (rows, cols), -np.inf
    )
    best: Any = np.float32(-np.inf)
    for tap in window.taps:
        values = window.at(tap)
        best = np.where(values > best, values, best)
    return np.asarray(best, np.float32)


def _upsample(_: Network, operator: Operator, operands: list[Floats]) -> Floats:
    return operands[0].repeat(operator.attributes[0], axis=1).repeat(operator.attributes[1], axis=2)


def _concat(_: Network, operator: Operator, operands: list[Floats]) -> Floats:
    return np.concatenate(operands, axis=operator.attributes[0])


def _add(_: Network, __: Operator, operands: list[Floats]) -> Floats:
    return operands[0] + operands[1]


def _mul(_: Network, __: Operator, operands: list[Floats]) -> Floats:
    return operands[0] * operands[1]


def _slice(network: Network, operator: Operator, operands: list[Floats]) -> Floats:
    dims = network.tensors[operator.output].dims
    begin, step = map(word_int, operator.attributes[:4]), map(word_int, operator.attributes[4:])
    return operands[0][tuple(slice(b, b + (count - 1) * s + 1, s) for b, s, count in zip(begin, step, dims))]


def _activation(network: Network, operator: Operator, operands: list[Floats]) -> Floats:
    function, a, b = operator.attributes
    slope = network.constants[operator.constants[0]] if operator.constants else None
    return activation(function, operands[0], word_float(a), word_float(b), slope)


def _softmax(_: Network, operator: Operator, operands: list[Floats]) -> Floats:
    x = np.moveaxis(operands[0], operator.attributes[0], 0)
    m = np.full_like(x[0], -np.inf)
    for value in x:
        m = np.where(value > m, value, m)
    e = exponential(x - m)
    total = np.zeros_like(m)
    for value in e:
        total = total + value
    return np.moveaxis(e / total, 0, operator.attributes[0])


def _permute(_: Network, operator: Operator, operands: list[Floats]) -> Floats:
    return np.asarray(operands[0].transpose(operator.attributes), np.float32)


def _normalize(network: Network, operator: Operator, operands: list[Floats]) -> Floats:
    mean, std = (network.constants[number] for number in operator.constants)
    return np.asarray((operands[0][..., list(operator.attributes)] - mean) / std, np.float32)


def _copy(_: Network, __: Operator, operands: list[Floats]) -> Floats:
    return operands[0]


_OPERATORS: dict[int, Callable[[Network, Operator, list[Floats]], Floats]] = {
    net.CONV: _conv,
    net.MAX_POOL: _max_pool,
    net.UPSAMPLE_NEAREST: _upsample,
    net.CONCAT: _concat,
    net.ADD: _add,
    net.MUL: _mul,
    net.SLICE: _slice,
    net.ACTIVATION: _activation,
    net.SOFTMAX: _softmax,
    net.RESHAPE: _copy,
    net.PERMUTE: _permute,
    net.NORMALIZE: _normalize,
    net.CAST: _copy,
    **GENERIC_OPERATORS,
}
