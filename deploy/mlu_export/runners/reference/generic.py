"""The operators 14 to 27 of FORMAT.md in numpy, exactly as native/ARITHMETIC.md defines them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

import numpy as np

from ...values import network as net
from ...values.network import Network, Operator, word_float, word_int
from .detection import detection_output
from .functions import Floats, f32, quantized

if TYPE_CHECKING:
    from collections.abc import Iterable


def _constant(network: Network, number: int) -> Any:
    return None if number == net.ABSENT else network.constants[number]


def _sum(values: Iterable[Any], start: Any) -> Any:
    total = start
    for value in values:
        total = total + value
    return total


def _maximum(values: Iterable[Any], start: Any) -> Any:
    best = start
    for value in values:
        best = np.where(value > best, value, best)
    return best


def _average_pool(network: Network, operator: Operator, operands: list[Floats]) -> Floats:
    x = operands[0]
    kernel_h, kernel_w, stride_h, stride_w, top, left, counted = map(word_int, operator.attributes)
    dims = network.tensors[operator.output].dims
    out = np.empty(dims, np.float32)
    for row in range(dims[1]):
        rows = range(max(0, row * stride_h - top), min(x.shape[1], row * stride_h - top + kernel_h))
        for col in range(dims[2]):
            cols = range(max(0, col * stride_w - left), min(x.shape[2], col * stride_w - left + kernel_w))
            total = _sum((x[:, i, j] for i in rows for j in cols), np.zeros_like(x[:, 0, 0]))
            out[:, row, col] = total / f32(kernel_h * kernel_w if counted else len(rows) * len(cols))
    return out


def _reduce(_: Network, operator: Operator, operands: list[Floats]) -> Floats:
    kind, mask = operator.attributes
    axes = [axis for axis in range(4) if mask >> axis & 1]
    kept = [axis for axis in range(4) if axis not in axes]
    x = operands[0].transpose(axes + kept)
    taps = x.reshape(-1, *x.shape[len(axes) :])
    start = np.full(taps.shape[1:], -np.inf if kind == net.REDUCE_MAX else 0, np.float32)
    result = _maximum(taps, start) if kind == net.REDUCE_MAX else _sum(taps, start)
    return np.asarray(result / f32(len(taps) if kind == net.REDUCE_MEAN else 1), np.float32)


def _deconv(network: Network, operator: Operator, operands: list[Floats]) -> Floats:
    kernel_h, kernel_w, stride_h, stride_w, top, left, dilation_h, dilation_w, groups = map(
        word_int, operator.attributes[:9]
    )
    n, rows, cols, channels = network.tensors[operator.output].dims
    constants = [_constant(network, number) for number in operator.constants]
    weight = constants[0].reshape(channels, kernel_h, kernel_w, -1)
    floating = weight.dtype == np.float32
    qmax = 127 if weight.dtype == np.int8 else 32767
    x: Any = operands[0] if floating else quantized(operands[0], word_float(operator.attributes[9]), qmax)
    total = np.zeros((n, rows, cols, channels), np.float32 if floating else np.float64)
    for ky in range(kernel_h):
        ys = _taps(rows, top - ky * dilation_h, stride_h, x.shape[1])
        for kx in range(kernel_w):
            xs = _taps(cols, left - kx * dilation_w, stride_w, x.shape[2])
            if len(ys[0]) and len(xs[0]):
                values = x[:, ys[1]][:, :, xs[1]]
                target = np.ix_(range(n), ys[0], xs[0], range(channels))
                total[target] = _tap_sum(total[target], values, weight[:, ky, kx], groups)
    result: Any = total.astype(np.float32)
    for constant, multiply in zip(constants[1:], (True, False, True, False)):
        if constant is not None:
            result = result * constant if multiply else result + constant
    return np.asarray(result, np.float32)


def _taps(size: int, offset: int, stride: int, limit: int) -> tuple[list[int], list[int]]:
    """Output places that a tap reaches, and the input places it reads for them."""
    found = [(o, (o + offset) // stride) for o in range(size) if (o + offset) % stride == 0]
    inside = [(o, i) for o, i in found if 0 <= i < limit]
    return [o for o, _ in inside], [i for _, i in inside]


def _tap_sum(total: Any, values: Any, weight: Any, groups: int) -> Any:
    """Adds one tap's products channel by channel: the defined order, and exact for integers."""
    channels, each = weight.shape
    first = np.arange(channels) // (channels // groups) * each
    for channel in range(each):
        total = total + values[..., first + channel] * weight[:, channel].astype(total.dtype)
    return total


def _source(out: int, size: int, align_corners: bool) -> tuple[Any, Any, Floats]:
    index = np.arange(out, dtype=np.float32)
    if align_corners:
        at = index * (f32(size - 1) / f32(out - 1)) if out > 1 else index * f32(0)
    else:
        at = (index + f32(0.5)) * (f32(size) / f32(out)) - f32(0.5)
        at = np.where(at > 0, at, f32(0))
    first = np.minimum(at.astype(np.int64), size - 1)
    weight = at - first.astype(np.float32)
    return first, np.minimum(first + 1, size - 1), np.where(weight < f32(1), weight, f32(1))


def _resize(network: Network, operator: Operator, operands: list[Floats]) -> Floats:
    _, rows, cols, _ = network.tensors[operator.output].dims
    x = operands[0]
    top, bottom, below = _source(rows, x.shape[1], operator.attributes[0] == 1)
    start, end, right = _source(cols, x.shape[2], operator.attributes[0] == 1)
    below, right = below[:, None, None], right[:, None]
    above, left = f32(1) - below, f32(1) - right
    upper = x[:, top][:, :, start] * left + x[:, top][:, :, end] * right
    lower = x[:, bottom][:, :, start] * left + x[:, bottom][:, :, end] * right
    return np.asarray(upper * above + lower * below, np.float32)


def _pad(_: Network, operator: Operator, operands: list[Floats]) -> Floats:
    top, left, bottom, right, value = operator.attributes
    return np.pad(operands[0], ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=f32(word_float(value)))


def _affine(network: Network, operator: Operator, operands: list[Floats]) -> Floats:
    alpha, beta = (network.constants[number] for number in operator.constants)
    return np.asarray(operands[0] * alpha + beta, np.float32)


def _l2_normalize(network: Network, operator: Operator, operands: list[Floats]) -> Floats:
    x, eps = operands[0], f32(word_float(operator.attributes[0]))
    scale = _constant(network, operator.constants[0])
    root = np.sqrt(_sum((x[..., c] * x[..., c] for c in range(x.shape[3])), np.zeros(x.shape[:3], np.float32)))
    y = x / np.where(root > eps, root, eps)[..., None]
    return np.asarray(y if scale is None else y * scale, np.float32)


def _matmul(_: Network, operator: Operator, operands: list[Floats]) -> Floats:
    turned = operator.attributes[:2]
    a, b = (x.swapaxes(2, 3) if turn else x for x, turn in zip(operands, turned))
    products = (a[:, :, :, k, None] * b[:, :, None, k] for k in range(a.shape[3]))
    total = _sum(products, np.zeros((*a.shape[:3], b.shape[3]), np.float32))
    return np.asarray(total * f32(word_float(operator.attributes[2])), np.float32)


def _layer_norm(network: Network, operator: Operator, operands: list[Floats]) -> Floats:
    x, eps = operands[0], f32(word_float(operator.attributes[0]))
    gamma, beta = (_constant(network, number) for number in operator.constants)
    start, count = np.zeros(x.shape[:3], np.float32), f32(x.shape[3])
    d = x - (_sum(np.moveaxis(x, 3, 0), start) / count)[..., None]
    root = np.sqrt(_sum(np.moveaxis(d * d, 3, 0), start) / count + eps)
    y = d / root[..., None]
    y = y if gamma is None else y * gamma
    return np.asarray(y if beta is None else y + beta, np.float32)


def _detection(network: Network, operator: Operator, operands: list[Floats]) -> Floats:
    return detection_output(network, operator, operands)


GENERIC_OPERATORS: dict[int, Callable[[Network, Operator, list[Floats]], Floats]] = {
    net.SUB: lambda _, __, operands: operands[0] - operands[1],
    net.DIV: lambda _, __, operands: operands[0] / operands[1],
    net.MAX: lambda _, __, operands: np.where(operands[0] > operands[1], operands[0], operands[1]),
    net.MIN: lambda _, __, operands: np.where(operands[0] < operands[1], operands[0], operands[1]),
    net.AVERAGE_POOL: _average_pool,
    net.REDUCE: _reduce,
    net.DECONV: _deconv,
    net.RESIZE_BILINEAR: _resize,
    net.PAD: _pad,
    net.AFFINE: _affine,
    net.L2_NORMALIZE: _l2_normalize,
    net.MATMUL: _matmul,
    net.LAYER_NORM: _layer_norm,
    net.DETECTION_OUTPUT: _detection,
}
