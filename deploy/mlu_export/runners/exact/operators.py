"""The operators that are neither convolutions nor functions of one value (native/ARITHMETIC.md sections 5 and 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, NamedTuple

import numpy as np
import torch

from ...values import network as net
from ...values.network import Network, Operator, word_float, word_int
from ..reference.detection import detection_output
from .functions import constant, exponential, square_root
from .windows import counts, in_order, larger, taps

if TYPE_CHECKING:
    from collections.abc import Sequence

Compute = Callable[[Network, Operator, "list[Any]"], Any]
LOWEST = float("-inf")


class Made(NamedTuple):
    """How an operator computes; one that ``copies`` gets operands in the output's dtype, others in float32."""

    compute: Compute
    copies: bool = False


def _values(network: Network, number: int) -> Any:
    return None if number == net.ABSENT else torch.from_numpy(np.array(network.constants[number]))


def _size(network: Network, operator: Operator) -> Sequence[int]:
    return network.tensors[operator.output].dims[1:3]


def _max_pool(network: Network, operator: Operator, operands: list[Any]) -> Any:
    kernel_h, kernel_w, stride_h, stride_w, top, left = map(word_int, operator.attributes)
    size = _size(network, operator)
    best: Any = constant(LOWEST)
    for values in taps(operands[0], (kernel_h, kernel_w), (stride_h, stride_w), (top, left), size, LOWEST):
        best = larger(best, values)
    return best


def _average_pool(network: Network, operator: Operator, operands: list[Any]) -> Any:
    kernel_h, kernel_w, stride_h, stride_w, top, left, counted = map(word_int, operator.attributes)
    rows, cols = _size(network, operator)
    total: Any = constant(0)
    for values in taps(operands[0], (kernel_h, kernel_w), (stride_h, stride_w), (top, left), (rows, cols), 0.0):
        total = total + values
    if counted:
        return total / constant(kernel_h * kernel_w)
    down = counts(operands[0].shape[1], kernel_h, stride_h, top, rows)
    across = counts(operands[0].shape[2], kernel_w, stride_w, left, cols)
    return total / (down[:, None] * across)[:, :, None]


def _upsample(_: Network, operator: Operator, operands: list[Any]) -> Any:
    return operands[0].repeat_interleave(operator.attributes[0], 1).repeat_interleave(operator.attributes[1], 2)


def _concat(_: Network, operator: Operator, operands: list[Any]) -> Any:
    return torch.cat(operands, operator.attributes[0])


def _slice(network: Network, operator: Operator, operands: list[Any]) -> Any:
    dims = network.tensors[operator.output].dims
    begin, step = map(word_int, operator.attributes[:4]), map(word_int, operator.attributes[4:])
    return operands[0][tuple(slice(b, b + (count - 1) * s + 1, s) for b, s, count in zip(begin, step, dims))]


def _softmax(_: Network, operator: Operator, operands: list[Any]) -> Any:
    x = operands[0].movedim(operator.attributes[0], 0)
    e = exponential(x - in_order(x, LOWEST, larger))
    return (e / in_order(e, 0.0, torch.add)).movedim(0, operator.attributes[0])


def _reduce(_: Network, operator: Operator, operands: list[Any]) -> Any:
    kind, mask = operator.attributes
    axes = [axis for axis in range(4) if mask >> axis & 1]
    kept = [axis for axis in range(4) if axis not in axes]
    x = operands[0].permute(axes + kept)
    flat = x.reshape(-1, *x.shape[len(axes) :])
    if kind == net.REDUCE_MAX:
        return in_order(flat, LOWEST, larger)
    total = in_order(flat, 0.0, torch.add)
    return total / constant(flat.shape[0]) if kind == net.REDUCE_MEAN else total


def _resize(network: Network, operator: Operator, operands: list[Any]) -> Any:
    x, corners = operands[0], operator.attributes[0] == 1
    rows, cols = _size(network, operator)
    top, bottom, below = _positions(rows, x.shape[1], corners)
    start, end, right = _positions(cols, x.shape[2], corners)
    below, right = below[:, None, None], right[:, None]
    above, left = 1 - below, 1 - right
    upper = x[:, top][:, :, start] * left + x[:, top][:, :, end] * right
    lower = x[:, bottom][:, :, start] * left + x[:, bottom][:, :, end] * right
    return upper * above + lower * below


def _positions(out: int, size: int, corners: bool) -> tuple[Any, Any, Any]:
    """First and second pixel of each output along an axis, and the second one's weight."""
    index = torch.arange(out).float()
    if corners:
        at = index * (constant(size - 1) / constant(max(1, out - 1)))
    else:
        at = (index + 0.5) * (constant(size) / constant(out)) - 0.5
        at = torch.where(at > 0, at, constant(0))
    first = at.floor().long().clamp(max=size - 1)
    weight = at - first.float()
    return first, (first + 1).clamp(max=size - 1), torch.where(weight < 1, weight, constant(1))


def _pad(network: Network, operator: Operator, operands: list[Any]) -> Any:
    del network
    top, left, bottom, right, word = operator.attributes
    value = constant(word_float(word)).to(operands[0].dtype)
    n, h, w, c = operands[0].shape
    wide = value.expand(n, top + h + bottom, left + w + right, c).clone()
    wide[:, top : top + h, left : left + w] = operands[0]
    return wide


def _affine(network: Network, operator: Operator, operands: list[Any]) -> Any:
    alpha, beta = (_values(network, number) for number in operator.constants)
    return operands[0] * alpha + beta


def _l2_normalize(network: Network, operator: Operator, operands: list[Any]) -> Any:
    x, eps = operands[0], constant(word_float(operator.attributes[0]))
    root = square_root(in_order((x * x).movedim(3, 0), 0.0, torch.add))
    scale = _values(network, operator.constants[0])
    y = x / torch.where(root > eps, root, eps)[..., None]
    return y if scale is None else y * scale


def _matmul(_: Network, operator: Operator, operands: list[Any]) -> Any:
    turn_a, turn_b, scale = operator.attributes
    a = (operands[0] if turn_a else operands[0].transpose(2, 3)).contiguous()  # [..., depth, rows]
    b = (operands[1].transpose(2, 3) if turn_b else operands[1]).contiguous()  # [..., depth, columns]
    total = torch.zeros((*a.shape[:2], a.shape[3], b.shape[3]))
    for k in range(a.shape[2]):
        total += a[:, :, k, :, None] * b[:, :, k, None]
    return total * constant(word_float(scale))


def _layer_norm(network: Network, operator: Operator, operands: list[Any]) -> Any:
    x, eps = operands[0], constant(word_float(operator.attributes[0]))
    gamma, beta = (_values(network, number) for number in operator.constants)
    count = constant(x.shape[3])
    d = x - (in_order(x.movedim(3, 0), 0.0, torch.add) / count)[..., None]
    root = square_root(in_order((d * d).movedim(3, 0), 0.0, torch.add) / count + eps)
    y = d / root[..., None]
    y = y if gamma is None else y * gamma
    return y if beta is None else y + beta


def _normalize(network: Network, operator: Operator, operands: list[Any]) -> Any:
    mean, std = (_values(network, number) for number in operator.constants)
    return (operands[0][..., list(operator.attributes)] - mean) / std


def _detection(network: Network, operator: Operator, operands: list[Any]) -> Any:
    """The reference's: sorting and suppression are no torch matter, and one at a time at that."""
    with np.errstate(all="ignore"):
        return torch.from_numpy(detection_output(network, operator, [operand.numpy() for operand in operands]))


OPERATORS: dict[int, Made] = {
    net.MAX_POOL: Made(_max_pool),
    net.UPSAMPLE_NEAREST: Made(_upsample, copies=True),
    net.CONCAT: Made(_concat, copies=True),
    net.ADD: Made(lambda _, __, x: x[0] + x[1]),
    net.MUL: Made(lambda _, __, x: x[0] * x[1]),
    net.SUB: Made(lambda _, __, x: x[0] - x[1]),
    net.DIV: Made(lambda _, __, x: x[0] / x[1]),
    net.MAX: Made(lambda _, __, x: torch.where(x[0] > x[1], x[0], x[1])),
    net.MIN: Made(lambda _, __, x: torch.where(x[0] < x[1], x[0], x[1])),
    net.SLICE: Made(_slice, copies=True),
    net.SOFTMAX: Made(_softmax),
    net.RESHAPE: Made(lambda _, __, x: x[0], copies=True),
    net.PERMUTE: Made(lambda _, operator, x: x[0].permute(operator.attributes), copies=True),
    net.NORMALIZE: Made(_normalize),
    net.CAST: Made(lambda _, __, x: x[0], copies=True),
    net.AVERAGE_POOL: Made(_average_pool),
    net.REDUCE: Made(_reduce),
    net.RESIZE_BILINEAR: Made(_resize),
    net.PAD: Made(_pad, copies=True),
    net.AFFINE: Made(_affine),
    net.L2_NORMALIZE: Made(_l2_normalize),
    net.MATMUL: Made(_matmul),
    net.LAYER_NORM: Made(_layer_norm),
    net.DETECTION_OUTPUT: Made(_detection),
}
