"""ONNX operators with weights or windows: convolutions, normalisations, pools, resizing, padding, products."""

from __future__ import annotations

import math
from typing import Any, Callable

import numpy as np

from mlu_agent.errors import DataError

from ...recording.products import layer_norm
from ...recording.record import RECORDERS, make, reshape
from ...recording.values import Constant, UnsupportedError, Value
from .call import MAX_STEP, Call

Margins = tuple[int, int, int, int]
CONVOLUTION = RECORDERS["aten.convolution.default"]


def _weights(call: Call, index: int) -> Constant:
    found = call.weights(index)
    if found is None:
        raise DataError(f"{call.place}: its input {index} is missing")
    return found


def _spatial(call: Call) -> Value:
    x = call.value()
    if len(x.shape) != 4:
        raise UnsupportedError(f"its input is a tensor {x.shape}; only operators on height and width are on the device")
    return x


def _margins(call: Call, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]) -> Margins:
    """Top, left, bottom, right, also where the node leaves them to ``auto_pad``."""
    x, auto = call.value(), call.text("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        both = []
        for axis in (0, 1):
            size, step = x.shape[2 + axis], stride[axis]
            need = max(0, (-(-size // step) - 1) * step + (kernel[axis] - 1) * dilation[axis] + 1 - size)
            less, more = need // 2, need - need // 2
            both.append((less, more) if auto == "SAME_UPPER" else (more, less))
        return both[0][0], both[1][0], both[0][1], both[1][1]
    if auto == "VALID":
        return 0, 0, 0, 0
    given = call.integers("pads") or [0, 0, 0, 0]
    if auto != "NOTSET" or len(given) != 4 or not all(0 <= one <= MAX_STEP for one in given):
        raise DataError(f"{call.place}: pads = {given!s:.60} with auto_pad {auto:.20} are not four margins")
    return given[0], given[1], given[2], given[3]


def _check_kernel(call: Call, kernel: tuple[int, int]) -> None:
    """The node may repeat the size of its weights' kernel, and then it has to be that."""
    told = call.integers("kernel_shape")
    if told is not None and tuple(told) != kernel:
        raise DataError(f"{call.place}: kernel_shape = {told!s:.40}, but its weights have {list(kernel)}")


def _conv(call: Call) -> Any:
    x, weight, bias = _spatial(call), _weights(call, 1), call.weights(2)
    if weight.array.ndim != 4:
        raise UnsupportedError(f"its weights are {weight.array.shape}; only two-dimensional kernels are on the device")
    stride, dilation = call.pair("strides"), call.pair("dilations")
    kernel = (weight.array.shape[2], weight.array.shape[3])
    _check_kernel(call, kernel)
    pads, groups = _margins(call, kernel, stride, dilation), call.integer("group", 1, 1, MAX_STEP)
    return CONVOLUTION(x, weight, bias, stride, pads, dilation, False, (0, 0), groups)


def _conv_transpose(call: Call) -> Any:
    x, weight, bias = _spatial(call), _weights(call, 1), call.weights(2)
    if weight.array.ndim != 4:
        raise UnsupportedError(f"its weights are {weight.array.shape}; only two-dimensional kernels are on the device")
    stride, dilation = call.pair("strides"), call.pair("dilations")
    extra = call.pair("output_padding", 0) if call.attributes.get("output_padding") else (0, 0)
    kernel = (weight.array.shape[2], weight.array.shape[3])
    _check_kernel(call, kernel)
    full = [
        (x.shape[2 + a] - 1) * stride[a] + (kernel[a] - 1) * dilation[a] + 1 + extra[a] for a in (0, 1)
    ]  # fmt: skip
    pads = _transposed_margins(call, full, stride)
    groups = call.integer("group", 1, 1, MAX_STEP)
    return CONVOLUTION(x, weight, bias, stride, pads, dilation, True, extra, groups)


def _transposed_margins(call: Call, full: list[int], stride: tuple[int, int]) -> Margins:
    """What is cut off the full result: given, or what ``output_shape`` or ``auto_pad`` leaves over."""
    x, auto = call.value(), call.text("auto_pad", "NOTSET")
    wanted = call.integers("output_shape")
    if wanted is None and auto in ("SAME_UPPER", "SAME_LOWER"):
        wanted = [x.shape[2 + axis] * stride[axis] for axis in (0, 1)]
    if wanted is None:
        return _margins(call, (1, 1), (1, 1), (1, 1))
    cut = [have - asked for have, asked in zip(full, wanted[-2:])]
    if len(cut) != 2 or min(cut) < 0:
        raise UnsupportedError(f"an output of {wanted} is larger than the {full} that the kernel reaches")
    less = [one // 2 for one in cut]
    more = [one - half for one, half in zip(cut, less)]
    first, last = (more, less) if auto == "SAME_LOWER" else (less, more)
    return first[0], first[1], last[0], last[1]


def _batch_norm(call: Call) -> Any:
    x = call.value()
    numbers = [_weights(call, index) for index in (1, 2, 3, 4)]
    channels = x.shape[1] if len(x.shape) > 1 else 0
    if any(one.array.shape != (channels,) for one in numbers):
        raise DataError(f"{call.place}: its statistics are not one number for each of {channels} channels")
    if call.integer("training_mode", 0):
        raise UnsupportedError("batch-norm in training mode has no operator; export the network in evaluation mode")
    eps = call.real("epsilon", 1e-5)
    return RECORDERS["aten._native_batch_norm_legit_no_training.default"](x, *numbers, 0.9, eps)[0]


def _instance_norm(call: Call) -> Any:
    """Mean and variance of each picture's channels, computed on the device."""
    norm = RECORDERS["aten._native_batch_norm_legit.no_stats"]
    return norm(call.value(), _weights(call, 1), _weights(call, 2), True, 0.0, call.real("epsilon", 1e-5))[0]


def _layer_norm(call: Call) -> Any:
    weight, bias, eps = _weights(call, 1), call.weights(2), call.real("epsilon", 1e-5)
    return layer_norm(RECORDERS, call.value(), call.integer("axis", -1), weight, bias, eps)


def _prelu(call: Call) -> Any:
    x, slope = call.value(), _weights(call, 1)
    shape = slope.array.shape
    channels = x.shape[1] if len(x.shape) > 1 else 1
    trailing = tuple(size for size in shape if size != 1)
    right = slope.array.size == 1 or (trailing == (channels,) and len(shape) in (len(x.shape) - 1, len(x.shape)))
    if not right:
        raise UnsupportedError(f"a slope {shape} for a tensor {x.shape} has no operator; one per channel has")
    return RECORDERS["aten.prelu.default"](x, slope)


def _pool(call: Call) -> tuple[Any, ...]:
    """The arguments that both kinds of pooling share."""
    x = _spatial(call)
    if "kernel_shape" not in call.attributes:
        raise DataError(f"{call.place}: it has no kernel_shape")
    kernel, stride, dilation = call.pair("kernel_shape"), call.pair("strides"), call.pair("dilations")
    if dilation != (1, 1):
        raise UnsupportedError("pooling with dilation has no operator")
    return x, kernel, stride, _margins(call, kernel, stride, dilation)


def _max_pool(call: Call) -> Any:
    x, kernel, stride, pads = _pool(call)
    ceil = bool(call.integer("ceil_mode", 0))
    return RECORDERS["aten.max_pool2d_with_indices.default"](x, kernel, stride, pads, 1, ceil)[0]


def _average_pool(call: Call) -> Any:
    x, kernel, stride, pads = _pool(call)
    ceil, counted = bool(call.integer("ceil_mode", 0)), bool(call.integer("count_include_pad", 0))
    return RECORDERS["aten.avg_pool2d.default"](x, kernel, stride, pads, ceil, counted)


def _gemm(call: Call) -> Any:
    x, weight, bias = call.value(), _weights(call, 1).array, call.weights(2)
    if call.integer("transA", 0) or len(x.shape) != 2:
        raise UnsupportedError(f"a product with a turned tensor {x.shape} has no operator")
    turned = weight if call.integer("transB", 0) else weight.T
    alpha, beta = call.real("alpha", 1.0), call.real("beta", 1.0)
    scaled = call.constant(np.ascontiguousarray(turned * np.float32(alpha)))
    return _linear(call, x, scaled, None if bias is None else bias.array * np.float32(beta))


def _linear(call: Call, x: Value, weight: Constant, bias: Any) -> Any:
    """A bias of one number, one per output, or missing."""
    out = weight.array.shape[0] if weight.array.ndim == 2 else 0
    if bias is None:
        return RECORDERS["aten.linear.default"](x, weight, None)
    spread = call.constant(np.array(np.broadcast_to(bias.reshape(-1), (out,))))
    return RECORDERS["aten.linear.default"](x, weight, spread)


def _matmul(call: Call) -> Any:
    if isinstance(call.operand(0), Value) and isinstance(call.operand(1), Value):
        return RECORDERS["aten.matmul.default"](call.value(0), call.value(1))
    left = not isinstance(call.operand(0), Value)
    x, weight = call.value(1 if left else 0), _weights(call, 0 if left else 1).array
    while weight.ndim > 2 and weight.shape[0] == 1:
        weight = weight[0]
    if weight.ndim != 2 or len(x.shape) < 2:
        raise UnsupportedError(f"a product of a tensor {x.shape} with a constant {weight.shape} has no operator")
    if not left:
        return _rows(call, x, weight.T)
    order = (*range(len(x.shape) - 2), len(x.shape) - 1, len(x.shape) - 2)
    turned = _rows(call, RECORDERS["aten.permute.default"](x, order), weight)
    return RECORDERS["aten.permute.default"](turned, order)


def _rows(call: Call, x: Value, weight: Any) -> Any:
    """A linear layer over the last axis, whatever is in front of it."""
    constant = call.constant(np.ascontiguousarray(weight))
    if len(x.shape) in (2, 3):
        return RECORDERS["aten.linear.default"](x, constant, None)
    flat = reshape(x, (x.shape[0], math.prod(x.shape[1:-1]), x.shape[-1]))
    return reshape(RECORDERS["aten.linear.default"](flat, constant, None), (*x.shape[:-1], weight.shape[0]))


def _pad(call: Call) -> Any:
    x, pads, value = call.value(), call.numbers(1), call.number(2) or 0.0
    axes = call.numbers(3) if call.operand(3) is not None else list(range(len(x.shape)))
    if pads is None or axes is None or len(pads) != 2 * len(axes):
        raise DataError(f"{call.place}: its pads do not belong to a tensor {x.shape}")
    if not any(pads):
        return x
    if call.text("mode", "constant") != "constant":
        raise UnsupportedError(f"padding by {call.text('mode', '')!r:.20} has no operator; constant has")
    margins = dict(zip((axis % len(x.shape) for axis in axes), zip(pads, pads[len(axes) :])))
    order: list[int] = []
    for axis in reversed(range(len(x.shape))):
        order += margins.get(axis, (0, 0))
    return RECORDERS["aten.constant_pad_nd.default"](x, order, value)


# ---- resizing ----


def _upsample(call: Call) -> Any:
    """The operator before Resize: nearest as ``asymmetric`` and ``floor``."""
    scales = call.known(1)
    if scales is None or call.text("mode", "nearest") != "nearest":
        raise UnsupportedError("of Upsample only nearest with known scales is read; export with opset 11 or later")
    x = _spatial(call)
    return _nearest(x, _sizes(x, scales.reshape(-1).tolist()), "asymmetric", "floor", scales.reshape(-1).tolist())


def _resize(call: Call) -> Any:
    x, scales, sizes = _spatial(call), call.known(2), call.known(3)
    axes = call.integers("axes") or [0, 1, 2, 3]
    if sizes is not None and sizes.size:
        wanted = _spread(axes, [int(one) for one in sizes.reshape(-1)], list(x.shape))
        factors = [out / have for out, have in zip(wanted, x.shape)]
    elif scales is not None and scales.size:
        factors = _spread(axes, [float(one) for one in scales.reshape(-1)], [1.0] * 4)
        wanted = _sizes(x, factors)
    else:
        raise DataError(f"{call.place}: neither scales nor sizes are given")
    if wanted[:2] != list(x.shape[:2]) or min(wanted) < 1:
        raise UnsupportedError(f"resizing {x.shape} to {wanted} has no operator; height and width have")
    if call.text("keep_aspect_ratio_policy", "stretch") != "stretch" or call.integer("antialias", 0):
        raise UnsupportedError("resizing with antialias or an aspect-ratio policy has no operator")
    return _resized(call, x, wanted, factors)


def _resized(call: Call, x: Value, wanted: list[int], factors: list[float]) -> Any:
    mode = call.text("mode", "nearest")
    transform = call.text("coordinate_transformation_mode", "half_pixel")
    if wanted == list(x.shape):
        return x
    if mode == "nearest":
        return _nearest(x, wanted, transform, call.text("nearest_mode", "round_prefer_floor"), factors)
    half = transform in ("half_pixel", "pytorch_half_pixel") and all(
        abs(factor - out / have) < 1e-6 for factor, out, have in zip(factors, wanted, x.shape)
    )
    if mode != "linear" or not (half or transform == "align_corners"):
        raise UnsupportedError(
            f"resizing by {mode!r:.20} with {transform!r:.40} has no operator; linear with half_pixel or "
            "align_corners, and nearest have"
        )
    return make("bilinear", (x,), tuple(wanted), align=not half)


def _spread(axes: list[int], given: list[Any], usual: list[Any]) -> list[Any]:
    if len(given) != len(axes):
        raise ValueError("sizes or scales do not belong to the axes")
    result = list(usual)
    for axis, one in zip(axes, given):
        result[axis] = one
    return result


def _sizes(x: Value, factors: list[float]) -> list[int]:
    if len(factors) != 4 or not all(0 < one <= MAX_STEP for one in factors):
        raise ValueError(f"scales {factors}")
    return [math.floor(size * factor + 1e-6) for size, factor in zip(x.shape, factors)]


def _nearest(x: Value, wanted: list[int], transform: str, rounding: str, factors: list[float]) -> Any:
    """Every output place's source, computed as ONNX says, has to be a whole enlargement, or every n-th place."""
    result = x
    scale = [1, 1]
    for axis in (2, 3):
        size, out = x.shape[axis], wanted[axis]
        source = _sources(size, out, transform, rounding, factors[axis])
        if out % size == 0 and source == [place // (out // size) for place in range(out)]:
            scale[axis - 2] = out // size
            continue
        step = source[1] - source[0] if out > 1 else 1
        if step < 1 or source != list(range(source[0], source[0] + (out - 1) * step + 1, step)):
            raise UnsupportedError(
                f"nearest resizing of {x.shape[2:]} to {tuple(wanted[2:])} has no operator; whole factors have"
            )
        result = RECORDERS["aten.slice.Tensor"](result, axis, source[0], source[-1] + 1, step)
    if scale == [1, 1]:
        return result
    shape = (*result.shape[:2], result.shape[2] * scale[0], result.shape[3] * scale[1])
    return make("nearest", (result,), shape, scale=tuple(scale))


def _sources(size: int, out: int, transform: str, rounding: str, factor: float) -> list[int]:
    places = np.arange(out, dtype=np.float64)
    at: dict[str, Callable[[], Any]] = {
        "half_pixel": lambda: (places + 0.5) / factor - 0.5,
        "pytorch_half_pixel": lambda: (places + 0.5) / factor - 0.5 if out > 1 else places * 0,
        "half_pixel_symmetric": lambda: (places + 0.5) / factor - 0.5,
        "asymmetric": lambda: places / factor,
        "align_corners": lambda: places * ((size - 1) / (out - 1)) if out > 1 else places * 0,
    }  # fmt: skip
    if transform not in at:
        raise UnsupportedError(f"nearest resizing with {transform!r:.40} has no operator; half_pixel has")
    exact = np.round(at[transform](), 9)
    rounded: dict[str, Callable[[Any], Any]] = {
        "floor": np.floor, "ceil": np.ceil, "round_prefer_ceil": lambda one: np.floor(one + 0.5),
        "round_prefer_floor": lambda one: np.ceil(one - 0.5),
    }  # fmt: skip
    if rounding not in rounded:
        raise DataError(f"nearest_mode {rounding!r:.40} is none of ONNX")
    return [int(one) for one in np.clip(rounded[rounding](exact), 0, size - 1)]


LAYERS: dict[str, Callable[[Call], Any]] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "BatchNormalization": _batch_norm,
    "InstanceNormalization": _instance_norm,
    "LayerNormalization": _layer_norm,
    "PRelu": _prelu,
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Pad": _pad,
    "Upsample": _upsample,
    "Resize": _resize,
}
