"""How each recorded operation becomes operators of the model file (FORMAT.md section 2)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Callable

import numpy as np

from ..values import network as net
from ..values.graph import BatchNorm
from ..values.network import float_word
from .layers import quantization
from .layout import SPATIAL_AXIS, around, is_spatial, merged_axes, pixel_sources, plain_dims
from .matrices import affine_last, layer_norm, matmul, softmax
from .values import UnsupportedError, Value

if TYPE_CHECKING:
    from .state import State

BINARIES = {"add": net.ADD, "mul": net.MUL, "sub": net.SUB, "div": net.DIV, "max": net.MAX, "min": net.MIN}


def _nhwc(value: Value) -> tuple[int, int, int, int]:
    n, channels, height, width = value.shape
    return n, height, width, channels


def _same_place(state: State, value: Value, *others: Value) -> tuple[str, list[int], net.Dims]:
    """The layout in which all operands lie alike, their tensors, and the dims of the result."""
    operands = (*value.inputs, *others)
    spatial = all(is_spatial(one.shape) for one in (value, *operands))
    layout = "nhwc" if spatial and any(state.layout_of(one) == "nhwc" for one in operands) else "plain"
    dims = _nhwc(value) if layout == "nhwc" else plain_dims(value.shape)
    numbers = [state.place(one, layout) for one in operands]
    if layout == "plain":
        numbers = [state.as_dims(n, plain_dims(one.shape), one.half) for n, one in zip(numbers, operands)]
    return layout, numbers, dims


def _elementwise(state: State, value: Value, opcode: int, attributes: Any = (), name: str = "") -> None:
    layout, numbers, dims = _same_place(state, value)
    state.put(value, layout, state.emit(opcode, numbers, dims, value.half, attributes, name=name))


def _on_channels(state: State, value: Value) -> tuple[str, int, net.Dims]:
    """The input with its channels in the last place."""
    source = value.inputs[0]
    if is_spatial(value.shape):
        return "nhwc", state.place(source, "nhwc"), _nhwc(value)
    dims = (value.shape[0], 1, 1, value.shape[1]) if len(value.shape) == 2 else plain_dims(value.shape)
    return "plain", state.as_dims(state.place(source, "plain"), dims, source.half), dims


def _conv(state: State, value: Value) -> None:
    state.put(value, "nhwc", _emit_conv(state, value, None))


def _emit_conv(state: State, conv: Value, norm: Value | None) -> int:
    a = conv.attributes
    array = np.asarray(a["weight"].array, np.float32)
    source = state.place(conv.inputs[0], "nhwc")
    target = conv if norm is None else norm
    return _weighted(state, net.CONV, source, _nhwc(target), target.half, array, a, a["pad"], norm)


def _weighted(
    state: State, opcode: int, source: int, dims: net.Dims, half: bool, array: Any, a: dict[str, Any], pad: Any,
    norm: Value | None,
) -> int:  # fmt: skip
    depthwise = a["groups"] > 1 and array.shape[1] == 1
    done = None if depthwise or opcode == net.DECONV else quantization(array, a.get("scale"), a.get("mode"))
    if done is None:
        stored, scale, quant_scale = array.transpose(0, 2, 3, 1), net.ABSENT, 0.0
    else:
        stored, scales, quant_scale = done
        scale = state.constant(scales)
    alpha = beta = net.ABSENT
    if norm is not None:
        alpha, beta = (state.constant(one) for one in affine_of(norm))
    words = (*array.shape[2:], *a["stride"], *pad, *a["dilation"], a["groups"], float_word(quant_scale))
    constants = (state.constant(stored), scale, state.optional(a["bias"]), alpha, beta)
    return state.emit(opcode, (source,), dims, half, words, constants, "deconv" if opcode == net.DECONV else "conv")


def _deconv(state: State, value: Value) -> None:
    a = value.attributes
    weight = np.asarray(a["weight"].array, np.float32)  # [in, out / groups, kh, kw] -> [out, in / groups, kh, kw]
    groups, inputs = a["groups"], weight.shape[0]
    parts = weight.reshape(groups, inputs // groups, *weight.shape[1:]).transpose(0, 2, 1, 3, 4)
    array = parts.reshape(-1, inputs // groups, *weight.shape[2:])
    source = state.place(value.inputs[0], "nhwc")
    state.put(value, "nhwc", _weighted(state, net.DECONV, source, _nhwc(value), value.half, array, a, a["pad"], None))


def _linear(state: State, value: Value) -> None:
    a = value.attributes
    rows = value.shape[0], math.prod(value.shape[1:-1])
    array = np.asarray(a["weight"].array, np.float32)[:, :, None, None]
    source = value.inputs[0]
    number = state.as_dims(state.place(source, "plain"), (1, *rows, source.shape[-1]), source.half)
    unit = {**a, "stride": (1, 1), "dilation": (1, 1), "groups": 1}
    dims = (1, *rows, value.shape[-1])  # one picture of a graph, whatever its first axis holds
    made = _weighted(state, net.CONV, number, dims, value.half, array, unit, (0, 0), None)
    state.put(value, "plain", state.as_dims(made, plain_dims(value.shape), value.half))


def affine_of(norm: Value) -> tuple[Any, Any]:
    """Factor and summand of each channel of a batch-norm."""
    a = norm.attributes
    mean = a["mean"].array.astype(np.float32)
    gamma = np.ones_like(mean) if a["gamma"] is None else a["gamma"].array.astype(np.float32)
    beta = np.zeros_like(mean) if a["beta"] is None else a["beta"].array.astype(np.float32)
    return BatchNorm(gamma, beta, mean, a["variance"].array.astype(np.float32), a["eps"]).affine()


def _batch_norm(state: State, value: Value) -> None:
    source = value.inputs[0]
    if source.operation == "conv" and (id(source), "nhwc") not in state.places and source.array is None:
        state.label = source.name or value.name
        state.put(value, "nhwc", _emit_conv(state, source, value))
        return
    layout, number, dims = _on_channels(state, value)
    constants = [state.constant(one) for one in affine_of(value)]
    state.put(value, layout, state.emit(net.AFFINE, (number,), dims, value.half, (), constants, "batch_norm"))


def _everywhere(state: State, value: Value, alpha: Any, beta: Any) -> None:
    """An own factor and summand for every element: the whole picture lies on the channels for the while."""
    layout = state.layout_of(value.inputs[0]) if is_spatial(value.shape) else "plain"
    order = (1, 2, 0) if layout == "nhwc" else tuple(range(alpha.ndim))
    constants = [state.constant(one.transpose(order).reshape(-1)) for one in (alpha, beta)]
    flat = (value.shape[0], 1, 1, alpha.size)
    number = state.as_dims(state.place(value.inputs[0], layout), flat, value.half)
    made = state.emit(net.AFFINE, (number,), flat, value.half, (), constants, "affine")
    dims = _nhwc(value) if layout == "nhwc" else plain_dims(value.shape)
    state.put(value, layout, state.as_dims(made, dims, value.half))


def _expand(state: State, value: Value) -> None:
    """Axes of size one repeated: with such an axis as the width, that is a nearest enlargement."""
    source = value.inputs[0]
    layout = state.layout_of(source) if is_spatial(source.shape) and is_spatial(value.shape) else "plain"
    order = (0, 2, 3, 1) if layout == "nhwc" else range(len(value.shape))
    sizes = [source.shape[axis] for axis in order]
    number = state.place(source, layout)
    for place, axis in enumerate(order):
        if source.shape[axis] == value.shape[axis]:
            continue
        before, behind, count = math.prod(sizes[:place]), math.prod(sizes[place + 1 :]), value.shape[axis]
        number = state.as_dims(number, (before, 1, 1, behind), value.half)
        number = state.emit(
            net.UPSAMPLE_NEAREST, (number,), (before, 1, count, behind), value.half, (1, count), name="expand"
        )
        sizes[place] = count
    dims = _nhwc(value) if layout == "nhwc" else plain_dims(value.shape)
    state.put(value, layout, state.as_dims(number, dims, value.half))


def _affine(state: State, value: Value) -> None:
    alpha, beta = value.attributes["alpha"].array, value.attributes["beta"].array
    if alpha.ndim > 1 and affine_last(state, value, alpha, beta):
        return
    if alpha.ndim > 1:
        _everywhere(state, value, alpha, beta)
        return
    if alpha.size and (alpha == alpha[0]).all() and (beta == beta[0]).all():
        layout, numbers, dims = _same_place(state, value)  # one number: any order of axes will do
        number, (alpha, beta) = numbers[0], (np.full(dims[3], one[0], np.float32) for one in (alpha, beta))
    else:
        layout, number, dims = _on_channels(state, value)
    constants = [state.constant(one) for one in (alpha, beta)]
    state.put(value, layout, state.emit(net.AFFINE, (number,), dims, value.half, (), constants, "affine"))


def _prelu(state: State, value: Value) -> None:
    layout, number, dims = _on_channels(state, value)
    slope = value.attributes["slope"]
    if slope is None or not hasattr(slope, "array"):
        raise UnsupportedError("a PReLU whose slope the network computes has no operator")
    words = (net.FUNCTIONS["prelu"], float_word(0.0), float_word(0.0))
    constants = (state.constant(slope.array.reshape(-1)),)
    state.put(value, layout, state.emit(net.ACTIVATION, (number,), dims, value.half, words, constants, "prelu"))


def _activation(state: State, value: Value) -> None:
    a = value.attributes
    words = (net.FUNCTIONS[a["function"]], float_word(a["a"]), float_word(a["b"]))
    _elementwise(state, value, net.ACTIVATION, words, a["function"])


def _binary(state: State, value: Value) -> None:
    kind = value.attributes["kind"]
    if any(one.shape != value.shape for one in value.inputs):
        numbers = [state.place(one, "nhwc") for one in value.inputs]
        state.put(value, "nhwc", state.emit(BINARIES[kind], numbers, _nhwc(value), value.half, name=kind))
        return
    _elementwise(state, value, BINARIES[kind], name=kind)


def _spatial(opcode: int, name: str, words: Callable[[dict[str, Any]], Any]) -> Callable[[State, Value], None]:
    def lower(state: State, value: Value) -> None:
        source = state.place(value.inputs[0], "nhwc")
        made = state.emit(opcode, (source,), _nhwc(value), value.half, words(value.attributes), name=name)
        state.put(value, "nhwc", made)

    return lower


def _reduce(state: State, value: Value) -> None:
    source, axes = value.inputs[0], value.attributes["axes"]
    kind = net.REDUCTIONS[value.attributes["kind"]]
    if is_spatial(source.shape):
        mask = sum(1 << SPATIAL_AXIS[axis] for axis in axes)
        number, dims, layout = state.place(source, "nhwc"), _nhwc(value), "nhwc"
    elif axes == tuple(range(axes[0], axes[-1] + 1)):
        before, behind = math.prod(source.shape[: axes[0]]), math.prod(source.shape[axes[-1] + 1 :])
        middle = math.prod(source.shape[axes[0] : axes[-1] + 1])
        number = state.as_dims(state.place(source, "plain"), (before, middle, behind, 1), source.half)
        dims, layout, mask = (before, 1, behind, 1), "plain", 1 << 1
    else:
        raise UnsupportedError(
            f"a reduction of a tensor {source.shape} over axes {axes} has no operator; reduce in steps"
        )
    state.put(value, layout, state.emit(net.REDUCE, (number,), dims, value.half, (kind, mask), name="reduce"))


def _reshape(state: State, value: Value) -> None:
    source = value.inputs[0]
    number = state.place(source, "plain")
    state.put(value, "plain", state.as_dims(number, plain_dims(value.shape), value.half))


def _from_nhwc(axes: tuple[int, ...]) -> tuple[int, ...]:
    """The same order of axes, counted in the file's layout."""
    return tuple(SPATIAL_AXIS[axis] for axis in axes)


def _permuted_in_steps(state: State, value: Value, sizes: list[int], order: list[int]) -> int:
    """More than four separate axes: one after the other is brought forward to its place."""
    number = state.place(value.inputs[0], "plain")
    now = list(range(len(sizes)))
    for place, axis in enumerate(order):
        found = now.index(axis)
        if found == place:
            continue
        parts = (now[:place], now[place:found], now[found : found + 1], now[found + 1 :])
        dims = tuple(math.prod(sizes[one] for one in part) for part in parts)
        number = state.permuted(state.as_dims(number, dims, value.half), (0, 2, 1, 3), value.half)  # type: ignore[arg-type]
        now.insert(place, now.pop(found))
    return state.as_dims(number, plain_dims(value.shape), value.half)


def _permute(state: State, value: Value) -> None:
    source, axes = value.inputs[0], value.attributes["axes"]
    if is_spatial(source.shape) and state.layout_of(source) == "nhwc":
        state.put(value, "plain", state.permuted(state.place(source, "nhwc"), _from_nhwc(axes), value.half))
        return
    if axes == (0, 3, 1, 2):  # channels last, brought to where torch has them: that is how the file has them
        state.put(value, "nhwc", state.as_dims(state.place(source, "plain"), _nhwc(value), value.half))
        return
    sizes, order = merged_axes(source.shape, axes)
    if len(sizes) > 4:
        state.put(value, "plain", _permuted_in_steps(state, value, sizes, order))
        return
    rest = 4 - len(sizes)
    if is_spatial(source.shape) and all(size > 1 for size in source.shape):
        number = state.place(source, "plain")
        number = state.as_dims(number, plain_dims(source.shape), value.half)
        made = state.permuted(number, axes, value.half)
    else:
        dims = (*([1] * rest), *sizes)
        turned = (*range(rest), *(rest + axis for axis in order))
        made = state.permuted(state.as_dims(state.place(source, "plain"), dims, value.half), turned, value.half)  # type: ignore[arg-type]
    state.put(value, "plain", state.as_dims(made, plain_dims(value.shape), value.half))


def _slice(state: State, value: Value) -> None:
    source, a = value.inputs[0], value.attributes
    if is_spatial(source.shape) and state.layout_of(source) == "nhwc":
        number, axis, dims, layout = state.place(source, "nhwc"), SPATIAL_AXIS[a["dim"]], _nhwc(value), "nhwc"
    else:
        parts = around(source.shape, a["dim"])
        number = state.as_dims(state.place(source, "plain"), parts, source.half)
        axis, dims, layout = 1, (parts[0], value.shape[a["dim"]], parts[2], 1), "plain"
    begin = [a["begin"] if place == axis else 0 for place in range(4)]
    step = [a["step"] if place == axis else 1 for place in range(4)]
    made = state.emit(net.SLICE, (number,), dims, value.half, (*begin, *step), name="slice")
    state.put(value, layout, made)


def _cat(state: State, value: Value) -> None:
    dim = value.attributes["dim"]
    if is_spatial(value.shape) and dim and any(state.layout_of(one) == "nhwc" for one in value.inputs):
        numbers = [state.place(one, "nhwc") for one in value.inputs]
        made = state.emit(net.CONCAT, numbers, _nhwc(value), value.half, (SPATIAL_AXIS[dim],), name="concat")
        state.put(value, "nhwc", made)
        return
    numbers = [state.as_dims(state.place(one, "plain"), around(one.shape, dim), one.half) for one in value.inputs]
    made = state.emit(net.CONCAT, numbers, around(value.shape, dim), value.half, (1,), name="concat")
    state.put(value, "plain", made)


def _cast(state: State, value: Value) -> None:
    _elementwise(state, value, net.CAST, name="cast")


def _normalize_input(state: State, value: Value) -> None:
    channels = value.shape[1]
    pixels = state.pixels is not None and value.inputs[0] in state.inputs
    sources = pixel_sources(state.pixels or "", channels) if pixels else tuple(range(channels))
    constants = [
        state.constant(np.broadcast_to(value.attributes[key].array.reshape(-1), (channels,))) for key in ("mean", "std")
    ]
    number = state.place(value.inputs[0], "nhwc")
    made = state.emit(net.NORMALIZE, (number,), _nhwc(value), value.half, sources, constants, "normalize")
    state.put(value, "nhwc", made)


def _l2_normalize(state: State, value: Value) -> None:
    number = state.place(value.inputs[0], "nhwc")
    scale, eps = value.attributes["scale"], float_word(value.attributes["eps"])
    constants = (state.optional(scale),)
    made = state.emit(net.L2_NORMALIZE, (number,), _nhwc(value), value.half, (eps,), constants, "normalize")
    state.put(value, "nhwc", made)


def _detection(state: State, value: Value) -> None:
    a = value.attributes
    heads = [state.place(one, "nhwc") for one in value.inputs]
    floats = [a["scale"]] * len(heads) + ([] if a["beta"] is None else [a["beta"]])
    words = (
        net.DETECTIONS[a["kind"]], a["classes"], a["each"], a["height"], a["width"], float_word(a["confidence"]),
        float_word(a["iou"]), a["most"], *(float_word(one) for one in floats),
    )  # fmt: skip
    constants = (state.constant(np.array(a["anchors"], np.float32)),)
    made = state.emit(net.DETECTION_OUTPUT, heads, _nhwc(value), True, words, constants, "detection_output")
    state.put(value, "nhwc", made)


def _window(a: dict[str, Any]) -> tuple[int, ...]:
    return (*a["kernel"], *a["stride"], *a["pad"])


OPERATIONS: dict[str, Callable[[State, Value], None]] = {
    "conv": _conv,
    "deconv": _deconv,
    "linear": _linear,
    "batch_norm": _batch_norm,
    "affine": _affine,
    "expand": _expand,
    "prelu": _prelu,
    "activation": _activation,
    "binary": _binary,
    "softmax": softmax,
    "reduce": _reduce,
    "reshape": _reshape,
    "permute": _permute,
    "slice": _slice,
    "cat": _cat,
    "cast": _cast,
    "normalize_input": _normalize_input,
    "l2_normalize": _l2_normalize,
    "layer_norm": layer_norm,
    "matmul": matmul,
    "detection": _detection,
    "max_pool": _spatial(net.MAX_POOL, "max_pool", _window),
    "average_pool": _spatial(net.AVERAGE_POOL, "average_pool", lambda a: (*_window(a), int(a["count"]))),
    "nearest": _spatial(net.UPSAMPLE_NEAREST, "upsample", lambda a: a["scale"]),
    "bilinear": _spatial(net.RESIZE_BILINEAR, "resize", lambda a: (int(a["align"]),)),
    "pad": _spatial(net.PAD, "pad", lambda a: (a["top"], a["left"], a["bottom"], a["right"], float_word(a["value"]))),
}
