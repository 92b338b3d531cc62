"""The layers with weights or windows: convolutions, linear, batch-norm, pools, most of the vendor's operators."""

from __future__ import annotations

import math
from typing import Any, Callable

import numpy as np

from ..values.quantizer_parameters import parameters_of
from ..values.ranges import quantize_weights
from .detections import DETECTIONS
from .values import Constant, UnsupportedError, Value


def _make(operation: str, inputs: tuple[Value, ...], shape: tuple[int, ...], **attributes: Any) -> Value:
    return Value(tuple(int(size) for size in shape), inputs[0].half, operation, inputs, attributes)


def _pair(values: Any, default: int = 1) -> tuple[int, int]:
    sizes = [int(value) for value in ([values] if isinstance(values, int) else values)] or [default]
    return sizes[0], sizes[-1]


def _margins(padding: Any) -> tuple[int, int, int, int]:
    """Top, left, bottom, right of one number, of height and width, or of all four."""
    if not isinstance(padding, int) and len(padding) == 4:
        top, left, bottom, right = (int(side) for side in padding)
        return top, left, bottom, right
    rows, cols = _pair(padding, 0)
    return rows, cols, rows, cols


def _check_bias(bias: Any, channels: int) -> None:
    array = _array(bias)
    if array is not None and array.size != channels:
        raise UnsupportedError(f"a bias of {array.size} values does not fit {channels} output channels")


def _array(constant: Any) -> Any:
    """The numbers of an optional weight."""
    if constant is None:
        return None
    if isinstance(constant, Value):
        raise UnsupportedError("a layer's weights are computed by the network itself, which has no operator")
    return constant.array


def conv2d(
    x: Value,
    weight: Any,
    bias: Any,
    padding: Any,
    stride: Any,
    dilation: Any,
    groups: int,
    scale: Any = None,
    quantized_mode: Any = None,
    input_mean: Any = None,
    input_std: Any = None,
) -> Value:
    """The vendor's convolution: quantized if scale and mode are given; mean and std normalise the input first."""
    array = _array(weight)
    if len(x.shape) != 4 or array.ndim != 4:
        raise UnsupportedError(f"a convolution of a tensor {x.shape} has no operator; two-dimensional ones have")
    if input_mean is not None and input_std is not None:
        x = _make("normalize_input", (x,), x.shape, mean=input_mean, std=input_std)
    strides, pads, spread = _pair(stride), _margins(padding), _pair(dilation)
    if min(*strides, *spread, 1 + min(pads)) < 1:
        raise UnsupportedError(f"a convolution with stride {strides}, padding {pads} and dilation {spread} cannot be")
    sizes = [
        (x.shape[2 + a] + pads[a] + pads[2 + a] - spread[a] * (array.shape[2 + a] - 1) - 1) // strides[a] + 1
        for a in (0, 1)
    ]
    if groups < 1 or array.shape[1] * groups != x.shape[1] or array.shape[0] % groups or min(sizes) < 1:
        raise UnsupportedError(f"a convolution with weights {array.shape} does not fit a tensor {x.shape}")
    _check_bias(bias, array.shape[0])
    return _make(
        "conv", (x,), (x.shape[0], array.shape[0], *sizes), weight=weight, bias=bias, scale=scale, mode=quantized_mode,
        stride=strides, pad=pads[:2], dilation=spread, groups=int(groups),
    )  # fmt: skip


def conv1d(
    x: Value,
    weight: Any,
    bias: Any,
    padding: Any,
    stride: Any,
    dilation: Any,
    groups: int,
    scale: Any = None,
    quantized_mode: Any = None,
) -> Value:
    """A convolution over the last of three axes: the two-dimensional one of a picture that is one row high."""
    array = _array(weight)
    if len(x.shape) != 3 or array.ndim != 3:
        raise UnsupportedError(f"a one-dimensional convolution of a tensor {x.shape} has no operator; N, C, L has")
    rows = Constant(array[:, :, None], weight.identity)
    pads, strides, spread = ((fill, _pair(one, fill)[1]) for one, fill in ((padding, 0), (stride, 1), (dilation, 1)))
    made = conv2d(_row(x), rows, bias, pads, strides, spread, groups, scale, quantized_mode)
    return _make("reshape", (made,), (made.shape[0], made.shape[1], made.shape[3]))


def _row(x: Value) -> Value:
    """A tensor N, C, L as N, C, 1, L."""
    n, channels, length = x.shape
    if x.operation == "reshape" and x.array is None and x.inputs[0].shape == (n, channels, 1, length):
        return x.inputs[0]
    return _make("reshape", (x,), (n, channels, 1, length))


def _convolution(
    x: Value,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    extra: Any,
    groups: int,
) -> Value:
    if not transposed:
        return conv2d(x, weight, bias, padding, stride, dilation, groups)
    array = _array(weight)
    if len(x.shape) != 4 or array.ndim != 4:
        raise UnsupportedError(
            f"a transposed convolution of a tensor {x.shape} has no operator; two-dimensional ones have"
        )
    strides, pads, spread, more = _pair(stride), _margins(padding), _pair(dilation), _pair(extra, 0)
    sizes = [
        (x.shape[2 + a] - 1) * strides[a] - pads[a] - pads[2 + a] + spread[a] * (array.shape[2 + a] - 1) + more[a] + 1
        for a in (0, 1)
    ]
    if array.shape[0] != x.shape[1] or array.shape[0] % groups or min(sizes) < 1 or min(*strides, *spread) < 1:
        raise UnsupportedError(f"a transposed convolution with weights {array.shape} does not fit a tensor {x.shape}")
    _check_bias(bias, array.shape[1] * groups)
    return _make(
        "deconv", (x,), (x.shape[0], array.shape[1] * groups, *sizes), weight=weight, bias=bias,
        stride=strides, pad=pads[:2], dilation=spread, groups=int(groups),
    )  # fmt: skip


def _transposed(
    x: Value, weight: Any, bias: Any, stride: Any, padding: Any, extra: Any, groups: int, dilation: Any
) -> Value:
    return _convolution(x, weight, bias, stride, padding, dilation, True, extra, groups)


def linear(x: Value, weight: Any, bias: Any = None, scale: Any = None, quantized_mode: Any = None) -> Value:
    """The vendor's linear layer over the last axis."""
    array = _array(weight)
    if array.ndim != 2 or array.shape[1] != x.shape[-1] or len(x.shape) < 2:
        raise UnsupportedError(f"a linear layer with weights {array.shape} of a tensor {x.shape} has no operator")
    _check_bias(bias, array.shape[0])
    return _make(
        "linear", (x,), (*x.shape[:-1], array.shape[0]), weight=weight, bias=bias, scale=scale, mode=quantized_mode
    )


def _addmm(bias: Any, x: Value, weight: Any, *, beta: Any = 1, alpha: Any = 1) -> Value:
    if alpha != 1 or beta != 1:
        raise UnsupportedError("addmm with factors has no operator; use nn.Linear")
    return _mm(x, weight, bias)


def _mm(x: Any, weight: Any, bias: Any = None) -> Value:
    if not isinstance(x, Value) or isinstance(weight, Value):
        raise UnsupportedError("a product of a constant with a matrix has no operator; nn.Linear has")
    turned = Constant(np.ascontiguousarray(weight.array.T), -weight.identity)
    return linear(x, turned, bias)


def _batch_norm(x: Value, gamma: Any, beta: Any, mean: Any, variance: Any, *rest: Any, **named: Any) -> tuple[Any, ...]:
    training, eps = (rest[0], rest[2]) if len(rest) == 3 and isinstance(rest[0], bool) else (False, rest[-1])
    eps = named.get("eps", eps)
    if training or mean is None or variance is None:
        raise UnsupportedError("batch-norm in training mode has no operator; call model.eval() first")
    numbers = {"gamma": gamma, "beta": beta, "mean": mean, "variance": variance, "eps": float(eps)}
    return _per_channel("batch_norm", x, numbers), None, None


def _per_channel(operation: str, x: Value, numbers: dict[str, Any]) -> Value:
    """An operation with numbers per channel; a tensor of three axes, or five, is a row of pixels for it."""
    if len(x.shape) in (2, 4):
        return _make(operation, (x,), x.shape, **numbers)
    if len(x.shape) < 2:
        raise UnsupportedError(f"{operation} of a tensor {x.shape} has no operator; it has no channels")
    source = _row(x if len(x.shape) == 3 else _make("reshape", (x,), (*x.shape[:2], math.prod(x.shape[2:]))))
    made = _make(operation, (source,), source.shape, **numbers)
    return _make("reshape", (made,), x.shape)


def _max_pool(
    x: Value, kernel: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
) -> tuple[Any, ...]:
    if _pair(dilation) != (1, 1):
        raise UnsupportedError("max-pooling with dilation has no operator")
    sizes, steps, pads = _pair(kernel), _pair(stride or kernel), _margins(padding)
    shape = _pooled(x, sizes, steps, pads, ceil_mode)
    return _make("max_pool", (x,), shape, kernel=sizes, stride=steps, pad=pads[:2]), None


def _average_pool(
    x: Value, kernel: Any, stride: Any = (), padding: Any = 0, ceil_mode: bool = False, count_pad: bool = True,
    divisor: Any = None,
) -> Value:  # fmt: skip
    if divisor is not None:
        raise UnsupportedError("average pooling with an own divisor has no operator")
    sizes, steps, pads = _pair(kernel), _pair(stride or kernel), _margins(padding)
    shape = _pooled(x, sizes, steps, pads, ceil_mode)
    if (
        ceil_mode
        and count_pad
        and any((shape[2 + a] - 1) * steps[a] + sizes[a] > x.shape[2 + a] + pads[a] + pads[2 + a] for a in (0, 1))
    ):
        raise UnsupportedError(
            "average pooling with ceil_mode beyond the padded picture has no operator; pad it evenly"
        )
    return _make("average_pool", (x,), shape, kernel=sizes, stride=steps, pad=pads[:2], count=bool(count_pad))


def _pooled(x: Value, kernel: Any, stride: Any, pad: Any, ceil_mode: bool) -> tuple[int, ...]:
    sizes = []
    for axis in (0, 1):
        room = x.shape[2 + axis] + pad[axis] + pad[2 + axis] - kernel[axis]
        if room < 0 or min(kernel) < 1 or min(stride) < 1:
            raise UnsupportedError(f"a window of {tuple(kernel)} does not fit a tensor {x.shape}; enlarge the input")
        count = (-(-room // stride[axis]) if ceil_mode else room // stride[axis]) + 1
        if ceil_mode and (count - 1) * stride[axis] >= x.shape[2 + axis] + pad[axis]:
            count -= 1  # a window must not start in the padding
        sizes.append(count)
    return x.shape[0], x.shape[1], sizes[0], sizes[1]


def _adaptive_average(x: Value, size: Any) -> Value:
    rows, cols = _pair(size)
    if (rows, cols) == (1, 1):
        return _make("reduce", (x,), (*x.shape[:2], 1, 1), kind="mean", axes=(2, 3))
    if x.shape[2] % rows or x.shape[3] % cols:
        raise UnsupportedError(
            f"adaptive pooling of {x.shape[2:]} to {(rows, cols)} has no operator; use sizes that divide"
        )
    kernel = (x.shape[2] // rows, x.shape[3] // cols)
    return _average_pool(x, kernel, kernel)


def _nearest(x: Value, size: Any, *scales: Any) -> Value:
    del scales
    rows, cols = (int(one) for one in size)
    if rows % x.shape[2] or cols % x.shape[3]:
        raise UnsupportedError(
            f"nearest enlargement of {x.shape[2:]} to {(rows, cols)} has no operator; whole factors have"
        )
    return _make("nearest", (x,), (*x.shape[:2], rows, cols), scale=(rows // x.shape[2], cols // x.shape[3]))


def _nearest_vec(x: Value, size: Any, scales: Any = None) -> Value:
    return _nearest(x, size or [int(one * factor) for one, factor in zip(x.shape[2:], scales)])


def _bilinear(x: Value, size: Any, align: bool, *scales: Any) -> Value:
    del scales
    return _make("bilinear", (x,), (*x.shape[:2], *(int(one) for one in size)), align=bool(align))


def _bilinear_vec(x: Value, size: Any, align: bool, scales: Any = None) -> Value:
    return _bilinear(x, size or [int(one * factor) for one, factor in zip(x.shape[2:], scales)], align)


def _prelu(x: Value, slope: Any) -> Value:
    return _per_channel("prelu", x, {"slope": slope})


def _normalize(x: Value, power: int, scale: Any, eps: float) -> Value:
    if power != 2:
        raise UnsupportedError(f"torch_mlu.normalize with power {power} has no operator; 2 has")
    if len(x.shape) == 2:
        made = _normalize(_make("reshape", (x,), (*x.shape, 1, 1)), power, scale, eps)
        return _make("reshape", (made,), x.shape)
    if len(x.shape) != 4 or scale.array.size not in (1, x.shape[1]) or not eps > 0:
        raise UnsupportedError(
            f"torch_mlu.normalize of a tensor {x.shape} with {scale.array.size} scales and eps {eps:g} has no "
            "operator; N, C or N, C, H, W with one scale or C of them, and eps above 0 have"
        )
    if scale.array.size == 1:  # for all channels
        column = np.full(x.shape[1], scale.array.reshape(-1)[0], np.float32)
        scale = Constant(column, hash(("normalize", scale.identity, x.shape[1])))
    return _make("l2_normalize", (x,), x.shape, scale=scale, eps=float(eps))


def _mish(x: Value) -> Value:
    return _make("activation", (x,), x.shape, function="mish", a=0.0, b=0.0)


def quantization(weight: Any, scale: Any, mode: Any) -> tuple[Any, Any, float] | None:
    """Integer weights ``[out, in, kernel_h, kernel_w]`` as stored, their scales and the input's; None for float layers.

    ``weight`` is the float array of the layer, ``scale`` and ``mode`` are the checkpoint's. Raises DataError.
    """
    if scale is None or mode is None or int(mode.array.reshape(-1)[0]) == 0:
        return None
    kind, values = int(mode.array.reshape(-1)[0]), [float(one) for one in scale.array.reshape(-1)]
    parameters = parameters_of(values, kind)
    done = quantize_weights(weight, parameters.layer_range(weight), parameters.bits, parameters.per_channel, "")
    return done.weight, done.scale, done.quant_scale


LAYERS: dict[str, Callable[..., Any]] = {
    "torch_mlu.conv2d.default": conv2d,
    "torch_mlu.conv1d.default": conv1d,
    "torch_mlu.conv_transpose2d.default": _transposed,
    "torch_mlu.linear.default": linear,
    "torch_mlu.mish.default": _mish,
    "torch_mlu.normalize.default": _normalize,
    **DETECTIONS,
    "aten.convolution.default": _convolution,
    "aten._convolution.default": lambda *given: _convolution(*given[:9]),
    "aten.linear.default": linear,
    "aten.addmm.default": _addmm,
    "aten.mm.default": _mm,
    "aten.native_batch_norm.default": _batch_norm,
    "aten._native_batch_norm_legit_no_training.default": _batch_norm,
    "aten.max_pool2d_with_indices.default": _max_pool,
    "aten.avg_pool2d.default": _average_pool,
    "aten._adaptive_avg_pool2d.default": _adaptive_average,
    "aten.upsample_nearest2d.default": _nearest,
    "aten.upsample_nearest2d.vec": _nearest_vec,
    "aten.upsample_bilinear2d.default": _bilinear,
    "aten.upsample_bilinear2d.vec": _bilinear_vec,
    "aten._prelu_kernel.default": _prelu,
    "aten.prelu.default": _prelu,
}
