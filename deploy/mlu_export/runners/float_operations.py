"""The generic nodes of a graph in torch: what each operator of the model file computes, on float tensors.

Graph tensors are (N, C, H, W) to torch; here they are seen as the file has them, N, H, W, C. A tensor's first axis may
hold several rows of one picture (graph.Operation), so the number of pictures is never taken from it alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

import numpy as np

from mlu_agent.errors import DataError

from ..values import network as net
from ..values.network import word_float, word_int

if TYPE_CHECKING:
    from ..values.graph import Operation

TO_NHWC, TO_NCHW = (0, 2, 3, 1), (0, 3, 1, 2)
FUNCTION_NAMES = {number: name for name, number in net.FUNCTIONS.items()}


def run_operation(torch: Any, node: Operation, inputs: list[Any]) -> Any:
    """The output (N, C, H, W) of a generic node. Raises DataError for one that float networks do not have."""
    if node.opcode not in _OPERATIONS:
        raise DataError(f"layer {node.name}: operator {node.opcode} has no float counterpart; rebuild the network")
    operands = [value.permute(TO_NHWC) for value in inputs]
    return _OPERATIONS[node.opcode](torch, node, operands).permute(TO_NCHW)


def _words(node: Operation) -> tuple[int, ...]:
    return tuple(map(word_int, node.attributes))


def _constants(torch: Any, node: Operation) -> list[Any]:
    return [None if one is None else torch.from_numpy(np.array(one, np.float32)) for one in node.constants]


def _windows(torch: Any, node: Operation, value: Any, fill: float) -> Any:
    """The input as (N, C, H, W), padded so that windows without padding give the output's size."""
    kernel_h, kernel_w, stride_h, stride_w, top, left = _words(node)[:6]
    bottom = max(0, (node.dims[1] - 1) * stride_h + kernel_h - top - value.shape[1])
    right = max(0, (node.dims[2] - 1) * stride_w + kernel_w - left - value.shape[2])
    return torch.nn.functional.pad(value.permute(TO_NCHW), (left, right, top, bottom), value=fill)


def _max_pool(torch: Any, node: Operation, x: list[Any]) -> Any:
    words = _words(node)
    padded = _windows(torch, node, x[0], float("-inf"))
    return torch.nn.functional.max_pool2d(padded, words[:2], words[2:4]).permute(TO_NHWC)


def _average_pool(torch: Any, node: Operation, x: list[Any]) -> Any:
    words, functional = _words(node), torch.nn.functional
    sums = functional.avg_pool2d(_windows(torch, node, x[0], 0.0), words[:2], words[2:4], divisor_override=1)
    if words[6]:
        return (sums / (words[0] * words[1])).permute(TO_NHWC)
    inside = _windows(torch, node, torch.ones_like(x[0]), 0.0)
    return (sums / functional.avg_pool2d(inside, words[:2], words[2:4], divisor_override=1)).permute(TO_NHWC)


def _upsample(_: Any, node: Operation, x: list[Any]) -> Any:
    rows, cols = _words(node)
    return x[0].repeat_interleave(rows, 1).repeat_interleave(cols, 2)


def _slice(_: Any, node: Operation, x: list[Any]) -> Any:
    words = _words(node)
    places = [slice(words[0], None, words[4])]
    places += [
        slice(begin, begin + (count - 1) * step + 1, step)
        for begin, step, count in zip(words[1:4], words[5:], node.dims[1:])
    ]
    return x[0][tuple(places)]


def activate(torch: Any, name: str, value: Any, a: float, b: float = 0.0, slope: Any = None) -> Any:
    """A function of ``net.FUNCTIONS`` of every element; ``slope``: prelu's, one or one for each place of the last axis.

    Raises DataError for a name that is none, and for prelu without its slope.
    """
    if name not in _FUNCTIONS:
        raise DataError(f"activation {name} is none of {', '.join(_FUNCTIONS)}; write one of these")
    if name == "prelu" and slope is None:
        raise DataError("activation prelu has no slope; make it an Operation whose constant is the slope")
    return _FUNCTIONS[name](torch, value, a, b, slope)


def _activation(torch: Any, node: Operation, x: list[Any]) -> Any:
    function, a, b = node.attributes[0], word_float(node.attributes[1]), word_float(node.attributes[2])
    slope = next(iter(_constants(torch, node)), None)
    return activate(torch, FUNCTION_NAMES[function], x[0], a, b, slope)


def _reduce(torch: Any, node: Operation, x: list[Any]) -> Any:
    kind, mask = node.attributes
    axes = [axis for axis in range(4) if mask >> axis & 1]
    reductions = {net.REDUCE_SUM: torch.sum, net.REDUCE_MEAN: torch.mean, net.REDUCE_MAX: torch.amax}
    return reductions[kind](x[0], axes, keepdim=True)


def _deconv(torch: Any, node: Operation, x: list[Any]) -> Any:
    _, _, stride_h, stride_w, top, left, dilation_h, dilation_w, groups = _words(node)[:9]
    weight, _, *affine = _constants(torch, node)
    out, kernel_h, kernel_w, each = weight.shape
    split = weight.reshape(groups, out // groups, kernel_h, kernel_w, each).permute(0, 4, 1, 2, 3)
    turned = split.reshape(groups * each, out // groups, kernel_h, kernel_w)
    strides, spread = (stride_h, stride_w), (dilation_h, dilation_w)
    functional = torch.nn.functional
    full = functional.conv_transpose2d(x[0].permute(TO_NCHW), turned, None, strides, 0, 0, groups, spread)
    missing = [max(0, before + size - have) for before, size, have in zip((top, left), node.dims[1:], full.shape[2:])]
    full = functional.pad(full, (0, missing[1], 0, missing[0]))
    result = full[:, :, top : top + node.dims[1], left : left + node.dims[2]].permute(TO_NHWC)
    for constant, multiply in zip(affine, (False, True, False)):
        if constant is not None:
            result = result * constant if multiply else result + constant
    return result


def _resize(torch: Any, node: Operation, x: list[Any]) -> Any:
    interpolate = torch.nn.functional.interpolate
    align = node.attributes[0] == 1
    return interpolate(x[0].permute(TO_NCHW), node.dims[1:3], mode="bilinear", align_corners=align).permute(TO_NHWC)


def _pad(torch: Any, node: Operation, x: list[Any]) -> Any:
    top, left, bottom, right = _words(node)[:4]
    return torch.nn.functional.pad(x[0], (0, 0, left, right, top, bottom), value=word_float(node.attributes[4]))


def _affine(torch: Any, node: Operation, x: list[Any]) -> Any:
    alpha, beta = _constants(torch, node)
    return x[0] * alpha + beta


def _l2_normalize(torch: Any, node: Operation, x: list[Any]) -> Any:
    scale = _constants(torch, node)[0]
    root = x[0].square().sum(3, keepdim=True).sqrt().clamp(min=word_float(node.attributes[0]))
    return x[0] / root if scale is None else x[0] / root * scale


def _matmul(torch: Any, node: Operation, x: list[Any]) -> Any:
    turn_a, turn_b, scale = node.attributes
    a, b = (one.transpose(2, 3) if turn else one for one, turn in zip(x, (turn_a, turn_b)))
    return torch.matmul(a, b) * word_float(scale)


def _layer_norm(torch: Any, node: Operation, x: list[Any]) -> Any:
    gamma, beta = _constants(torch, node)
    return torch.nn.functional.layer_norm(x[0], x[0].shape[3:], gamma, beta, word_float(node.attributes[0]))


_FUNCTIONS: dict[str, Callable[[Any, Any, float, float, Any], Any]] = {
    "relu": lambda torch, x, _a, _b, _slope: torch.nn.functional.relu(x),
    "leaky_relu": lambda torch, x, a, _b, _slope: torch.nn.functional.leaky_relu(x, a),
    "sigmoid": lambda torch, x, _a, _b, _slope: torch.sigmoid(x),
    "silu": lambda torch, x, _a, _b, _slope: torch.nn.functional.silu(x),
    "hardswish": lambda torch, x, _a, _b, _slope: torch.nn.functional.hardswish(x),
    "mish": lambda torch, x, _a, _b, _slope: torch.nn.functional.mish(x),
    "relu6": lambda torch, x, _a, _b, _slope: torch.nn.functional.relu6(x),
    "tanh": lambda torch, x, _a, _b, _slope: torch.tanh(x),
    "prelu": lambda torch, x, _a, _b, slope: torch.where(x >= 0, x, x * slope),
    "hardsigmoid": lambda torch, x, _a, _b, _slope: torch.nn.functional.hardsigmoid(x),
    "exp": lambda torch, x, _a, _b, _slope: torch.exp(x),
    "sqrt": lambda torch, x, _a, _b, _slope: torch.sqrt(x),
    "softplus": lambda torch, x, _a, _b, _slope: torch.nn.functional.softplus(x),
    "elu": lambda torch, x, a, _b, _slope: torch.nn.functional.elu(x, a),
    "clip": lambda torch, x, a, b, _slope: torch.clamp(x, a, b),
    "erf": lambda torch, x, _a, _b, _slope: torch.erf(x),
    "gelu": lambda torch, x, _a, _b, _slope: torch.nn.functional.gelu(x),
    "gelu_tanh": lambda torch, x, _a, _b, _slope: torch.nn.functional.gelu(x, approximate="tanh"),
}

_OPERATIONS: dict[int, Callable[[Any, Any, list[Any]], Any]] = {
    net.MAX_POOL: _max_pool,
    net.AVERAGE_POOL: _average_pool,
    net.UPSAMPLE_NEAREST: _upsample,
    net.CONCAT: lambda torch, node, x: torch.cat(x, node.attributes[0]),
    net.ADD: lambda _, __, x: x[0] + x[1],
    net.SUB: lambda _, __, x: x[0] - x[1],
    net.MUL: lambda _, __, x: x[0] * x[1],
    net.DIV: lambda _, __, x: x[0] / x[1],
    net.MAX: lambda torch, _, x: torch.maximum(x[0], x[1]),
    net.MIN: lambda torch, _, x: torch.minimum(x[0], x[1]),
    net.SLICE: _slice,
    net.ACTIVATION: _activation,
    net.SOFTMAX: lambda _, node, x: x[0].softmax(node.attributes[0]),
    net.RESHAPE: lambda _, node, x: x[0].reshape(-1, *node.dims[1:]),
    net.PERMUTE: lambda _, node, x: x[0].permute(node.attributes),
    net.CAST: lambda _, __, x: x[0].clone(),
    net.REDUCE: _reduce,
    net.DECONV: _deconv,
    net.RESIZE_BILINEAR: _resize,
    net.PAD: _pad,
    net.AFFINE: _affine,
    net.L2_NORMALIZE: _l2_normalize,
    net.MATMUL: _matmul,
    net.LAYER_NORM: _layer_norm,
}
