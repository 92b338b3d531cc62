"""A lowered network in torch: every operator of FORMAT.md, integer for integer. Tensors are N, H, W, C as stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

import numpy as np
import torch

from ...support.progress import show_progress
from ...values import network as net
from ...values.network import Network, Operator, word_float, word_int
from .functions import activation, copied, stored
from .operators import OPERATORS
from .sums import float_sums, integer_sums, padded, quantize_input

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...values.network import Array

DTYPES = {net.FLOAT16: torch.float16, net.FLOAT32: torch.float32, net.UINT8: torch.uint8}
# Called with each operator, its output, and of a quantized convolution also the integers at its input (N, H, W, C) and
# its sums (N, H, W, O), float64; None for the others.
See = Callable[[Operator, Any, Any, Any], None]


def run_network(network: Network, inputs: Sequence[Array], see: See | None = None, title: str = "") -> list[Array]:
    """Outputs (N, H, W, C) of the network for its inputs, in their stored dtypes; a ``title`` shows a progress bar."""
    with torch.inference_mode():
        values = {number: torch.from_numpy(np.array(array)) for number, array in zip(network.inputs, inputs)}
        last_use = {number: index for index, operator in enumerate(network.operators) for number in operator.inputs}
        steps = show_progress(network.operators, title, "layer") if title else network.operators
        for index, operator in enumerate(steps):
            operands = [values[number] for number in operator.inputs]
            result, codes, sums = _step(network, operator, operands)
            values[operator.output] = result
            if see is not None:
                see(operator, result, codes, sums)
            for number in {*operator.inputs, operator.output}:
                if last_use.get(number, -1) <= index and number not in network.outputs:
                    del values[number]
    return [values[number].numpy() for number in network.outputs]


def _step(network: Network, operator: Operator, operands: list[Any]) -> tuple[Any, Any, Any]:
    target = network.tensors[operator.output]
    dtype = DTYPES[target.dtype]
    if operator.opcode in (net.CONV, net.DECONV):
        return _convolve(network, operator, operands[0], target.dims, dtype)
    if operator.opcode == net.ACTIVATION:
        return _activate(network, operator, operands[0], dtype), None, None
    made = OPERATORS[operator.opcode]
    if made.copies:  # no arithmetic: bits are kept unless the dtype changes
        result = made.compute(network, operator, [copied(operand, dtype) for operand in operands])
    else:
        result = stored(made.compute(network, operator, [operand.float() for operand in operands]), dtype)
    return result.reshape(target.dims).contiguous(), None, None


def _activate(network: Network, operator: Operator, operand: Any, dtype: Any) -> Any:
    function, a, b = operator.attributes
    slope = torch.from_numpy(np.array(network.constants[operator.constants[0]])) if operator.constants else None
    return activation(function, operand, word_float(a), word_float(b), slope, dtype)


def _convolve(network: Network, operator: Operator, operand: Any, dims: net.Dims, dtype: Any) -> tuple[Any, Any, Any]:
    """Output, and of integer weights also the integers at the input and the sums."""
    shape = _Geometry(operator, operand.shape, dims)
    constants = [None if number == net.ABSENT else np.array(network.constants[number]) for number in operator.constants]
    stored_weight = constants[0]
    assert stored_weight is not None
    weight = torch.from_numpy(stored_weight.reshape(dims[3], *shape.kernel, -1)).permute(0, 3, 1, 2)
    codes = sums = None
    if stored_weight.dtype == np.float32:
        result = shape.sum(float_sums, operand.float(), weight)
    else:
        qmax = 127 if stored_weight.dtype == np.int8 else 32767
        codes = quantize_input(operand, word_float(operator.attributes[9]), qmax)
        sums = shape.sum(integer_sums, codes, weight.double())
        result = sums.float()
    for values, multiply in zip(constants[1:], (True, False, True, False)):
        if values is not None:
            channels = torch.from_numpy(values)
            result = result * channels if multiply else result + channels
    return stored(result, dtype), codes, sums


class _Geometry:
    """Where the taps of a convolution lie; that of a transposed one reads an input with zeros between its pixels."""

    def __init__(self, operator: Operator, source: Sequence[int], target: net.Dims) -> None:
        words = [word_int(word) for word in operator.attributes[:9]]
        self.kernel, stride, pad, self.dilation, self.groups = words[:2], words[2:4], words[4:6], words[6:8], words[8]
        self.transposed = operator.opcode == net.DECONV
        self.spread = stride if self.transposed else [1, 1]
        self.stride = [1, 1] if self.transposed else stride
        reach = [(taps - 1) * spread for taps, spread in zip(self.kernel, self.dilation)]
        self.before = [reach[axis] - pad[axis] for axis in (0, 1)] if self.transposed else pad
        sizes = [(source[1 + axis] - 1) * self.spread[axis] + 1 for axis in (0, 1)]
        need = [(target[1 + axis] - 1) * self.stride[axis] + reach[axis] + 1 for axis in (0, 1)]
        self.after = [need[axis] - self.before[axis] - sizes[axis] for axis in (0, 1)]

    def sum(self, sums: Callable[..., Any], values: Any, weight: Any) -> Any:
        """``sums`` of (N, H, W, C) values, as (N, H, W, O)."""
        moved = values.permute(0, 3, 1, 2)
        if self.transposed:
            moved, weight = self._spread_out(moved), weight.flip(2, 3)
        ready = padded(moved, tuple(self.before), tuple(self.after))
        if self.transposed and sums is float_sums:
            return self._ascending(ready, weight).permute(0, 2, 3, 1)
        return sums(ready, weight.contiguous(), self.stride, self.dilation, self.groups).permute(0, 2, 3, 1)

    def _spread_out(self, moved: Any) -> Any:
        if self.spread == [1, 1]:
            return moved
        n, c, h, w = moved.shape
        wide = torch.zeros((n, c, (h - 1) * self.spread[0] + 1, (w - 1) * self.spread[1] + 1), dtype=moved.dtype)
        wide[:, :, :: self.spread[0], :: self.spread[1]] = moved
        return wide

    def _ascending(self, ready: Any, weight: Any) -> Any:
        """Float sums in the order of the taps as they were before they were turned around."""
        taps = [(y, x) for y in range(self.kernel[0]) for x in range(self.kernel[1])]
        size = [ready.shape[2 + axis] - (self.kernel[axis] - 1) * self.dilation[axis] for axis in (0, 1)]
        total: Any = torch.zeros((ready.shape[0], weight.shape[0], *size))
        for y, x in reversed(taps):
            top, left = y * self.dilation[0], x * self.dilation[1]
            window = ready[:, :, top : top + size[0], left : left + size[1]]
            total = _add_tap(total, window, weight[:, :, y, x], self.groups)
        return total


def _add_tap(total: Any, window: Any, weight: Any, groups: int) -> Any:
    sources = torch.arange(weight.shape[0]) // (weight.shape[0] // groups) * weight.shape[1]
    for channel in range(weight.shape[1]):
        total = total + window[:, sources + channel] * weight[:, channel].reshape(1, -1, 1, 1)
    return total
