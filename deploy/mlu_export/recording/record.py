"""torch's operators -> recorded values. An operator that is not here runs on the CPU, or is refused in a traced model.

Each recorder takes the operator's arguments with recorded values in place of tensors of the device that are results,
and Constant in place of the others (weights).
"""

from __future__ import annotations

import math
from typing import Any, Callable

import numpy as np

from .comparisons import comparisons
from .composed import composed
from .layers import LAYERS
from .products import products
from .shapes import as_values, shuffles
from .values import Array, Constant, Shape, UnsupportedError, Value

Recorder = Callable[..., Any]
MAX_PARTS = 64  # of a concatenation
MAX_SPREAD = 1 << 26  # elements that may have constants of their own
LEAST_MASK = -30000.0  # what a mask's minus infinity becomes: a float16 holds it, and its exponent is zero


def make(operation: str, inputs: tuple[Value, ...], shape: tuple[int, ...], **attributes: Any) -> Value:
    """A result with the dtype of its first input."""
    return Value(tuple(int(size) for size in shape), inputs[0].half, operation, inputs, attributes)


def _activation(function: str, a: float = 0.0, b: float = 0.0) -> Recorder:
    def recorder(x: Value, *_: Any, **__: Any) -> Value:
        return make("activation", (x,), x.shape, function=function, a=a, b=b)

    return recorder


def _leaky(x: Value, slope: float = 0.01) -> Value:
    return make("activation", (x,), x.shape, function="leaky_relu", a=float(slope), b=0.0)


def _elu(x: Value, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Value:
    if scale != 1.0 or input_scale != 1.0:
        raise UnsupportedError("selu and celu have no operator; use elu or relu")
    return make("activation", (x,), x.shape, function="elu", a=float(alpha), b=0.0)


def _gelu(x: Value, *, approximate: str = "none") -> Value:
    return _activation("gelu_tanh" if approximate == "tanh" else "gelu")(x)  # type: ignore[no-any-return]


def _clamp(x: Value, low: Any = None, high: Any = None) -> Value:
    low = -math.inf if low is None else float(low)
    high = math.inf if high is None else float(high)
    if (low, high) == (0.0, math.inf):
        return make("activation", (x,), x.shape, function="relu", a=0.0, b=0.0)
    if (low, high) == (0.0, 6.0):
        return make("activation", (x,), x.shape, function="relu6", a=0.0, b=0.0)
    limit = float(np.finfo(np.float32).max)
    return make("activation", (x,), x.shape, function="clip", a=max(low, -limit), b=min(high, limit))


def _hardtanh(x: Value, low: float = -1.0, high: float = 1.0) -> Value:
    return _clamp(x, low, high)


def _softplus(x: Value, beta: float = 1.0, threshold: float = 20.0) -> Value:
    if beta != 1 or threshold != 20:
        raise UnsupportedError("softplus with other than beta 1 and threshold 20 has no operator; use the default ones")
    return make("activation", (x,), x.shape, function="softplus", a=0.0, b=0.0)


def _binary(kind: str) -> Recorder:
    def recorder(x: Any, y: Any, *, alpha: Any = 1) -> Value:
        if alpha != 1:
            raise UnsupportedError(f"{kind} with alpha={alpha} has no operator; multiply first")
        if isinstance(x, Value) and isinstance(y, Value):
            return _two(kind, x, y)
        return _with_constant(kind, x, y) if isinstance(x, Value) else _reversed(kind, y, x)

    return recorder


def _two(kind: str, x: Value, y: Value) -> Value:
    if kind == "pow":
        raise UnsupportedError("a power that the network computes has no operator; powers 0.5, 1 and 2 have")
    if x.shape != y.shape and kind in ("add", "mul", "max", "min") and _is_per_channel(x.shape, y.shape):
        x, y = y, x
    if x.shape != y.shape and not _is_per_channel(y.shape, x.shape):
        try:
            common = np.broadcast_shapes(x.shape, y.shape)
        except ValueError:
            raise UnsupportedError(f"{kind} of shapes {x.shape} and {y.shape}: they do not fit each other") from None
        x, y = _expand(x, common), _expand(y, common)
    half = x.half and y.half
    return Value(x.shape, half, "binary", (x, y), {"kind": kind})


def _is_per_channel(small: Shape, large: Shape) -> bool:
    return len(small) == len(large) == 4 and small == (*large[:2], 1, 1)


def _with_constant(kind: str, x: Value, y: Any) -> Value:
    values, identity = _numbers(y)
    one = np.float32(1)
    if kind in ("max", "min"):
        if values.size != 1:
            raise UnsupportedError(f"{kind} with a constant tensor has no operator; use a number")
        number = values.item()
        return _clamp(x, *((number, None) if kind == "max" else (None, number)))
    if kind == "pow":
        return _power(x, values.item() if values.size == 1 else math.nan)
    if kind == "add":
        values = np.where(np.isneginf(values), np.float32(LEAST_MASK), values)
    with np.errstate(divide="ignore", over="ignore"):
        parts = {"add": (one, values), "sub": (one, -values), "mul": (values, 0), "div": (one / values, 0)}[kind]
    return _affine(x, parts, identity, kind)


def _reversed(kind: str, x: Value, constant: Any) -> Value:
    """``constant kind x``."""
    values, identity = _numbers(constant)
    if kind in ("add", "mul", "max", "min"):
        return _with_constant(kind, x, constant)
    if kind == "sub":
        return _affine(x, (np.float32(-1), values), identity, "rsub")
    if kind == "div":
        return _two("div", _affine(x, (np.float32(0), values), identity, "constant"), x)
    raise UnsupportedError(f"{kind} of a constant and a tensor has no operator; compute it on the host")


def _power(x: Value, exponent: float) -> Value:
    if exponent == 2:
        return _two("mul", x, x)
    if exponent == 0.5:
        return make("activation", (x,), x.shape, function="sqrt", a=0.0, b=0.0)
    if exponent == 1:
        return x
    raise UnsupportedError(f"a power of {exponent:g} has no operator; powers 0.5, 1 and 2 have")


def _numbers(constant: Any) -> tuple[Array, Any]:
    if isinstance(constant, Constant):
        return np.asarray(constant.array, np.float32), constant.identity
    return np.float32(constant).reshape(()), float(constant)


def _affine(x: Value, parts: tuple[Any, Any], identity: Any, kind: str) -> Value:
    """``x * alpha + beta`` with one number, or one per channel."""
    arrays = [np.asarray(part, np.float32) for part in parts]
    channels = x.shape[1] if len(x.shape) > 1 else 1
    if any(array.size != 1 and not _lies_on_channels(array.shape, x.shape) for array in arrays):
        x, arrays = _spread(x, arrays, kind)
    else:
        arrays = [np.broadcast_to(array.reshape(-1), (channels,)) for array in arrays]
    if not all(np.isfinite(array).all() for array in arrays):
        raise UnsupportedError(f"{kind} with a constant that is not finite has no operator")
    alpha, beta = (Constant(np.ascontiguousarray(array), hash((kind, identity))) for array in arrays)
    return make("affine", (x,), x.shape, alpha=alpha, beta=beta)


def _spread(x: Value, arrays: list[Array], kind: str) -> tuple[Value, list[Array]]:
    """The tensor and the constants as large as they are together, the constants without the batch."""
    try:
        common = np.broadcast_shapes(x.shape, *(array.shape for array in arrays))
        inner = [array.reshape(array.shape[1:]) if array.ndim == len(common) else array for array in arrays]
    except ValueError:
        raise UnsupportedError(
            f"{kind} of a tensor {x.shape} and a constant {max(array.shape for array in arrays)} has no operator: they "
            "do not fit each other, or the constant has an own value for each picture"
        ) from None
    if math.prod(common) > MAX_SPREAD:
        raise UnsupportedError(f"{kind} of a tensor {x.shape} and a constant makes {common}, more than a device holds")
    return _expand(x, common), [np.broadcast_to(array, common[1:]) for array in inner]


def _lies_on_channels(small: Shape, large: Shape) -> bool:
    """One value per channel, by torch's broadcasting."""
    padded = (1,) * (len(large) - len(small)) + tuple(small)
    return len(large) in (2, 4) and padded == tuple(size if axis == 1 else 1 for axis, size in enumerate(large))


def _rsub(x: Value, y: Any, alpha: Any = 1) -> Value:
    return _binary("sub")(y, x, alpha=alpha)  # type: ignore[no-any-return]


def _softmax(x: Value, dim: int, *_: Any) -> Value:
    return make("softmax", (x,), x.shape, dim=dim % len(x.shape))


def _reduce(kind: str) -> Recorder:
    def recorder(x: Value, dims: Any = None, keepdim: bool = False, **_: Any) -> Value:
        rank = len(x.shape)
        given = [dims] if isinstance(dims, int) else list(dims or range(rank))
        axes = tuple(sorted(axis % rank for axis in given))
        kept = tuple(1 if axis in axes else size for axis, size in enumerate(x.shape))
        reduced = make("reduce", (x,), kept, kind=kind, axes=axes)
        if keepdim:
            return reduced
        return reshape(reduced, tuple(size for axis, size in enumerate(x.shape) if axis not in axes))

    return recorder


def reshape(x: Value, shape: Any) -> Value:
    """torch's reshape: the elements in their order; one size may be -1."""
    sizes = [int(size) for size in shape]
    total = math.prod(x.shape)
    if -1 in sizes:
        sizes[sizes.index(-1)] = total // max(1, -math.prod(sizes))
    if math.prod(sizes) != total:
        raise UnsupportedError(f"a tensor {x.shape} cannot be viewed as {tuple(shape)}")
    return make("reshape", (x,), tuple(sizes))


def _permute(x: Value, axes: Any) -> Value:
    order = tuple(axis % len(x.shape) for axis in axes)
    return make("permute", (x,), tuple(x.shape[axis] for axis in order), axes=order)


def _transpose(x: Value, first: int, second: int) -> Value:
    order = list(range(len(x.shape)))
    order[first], order[second] = order[second], order[first]
    return _permute(x, order)


def _t(x: Value) -> Value:
    return _transpose(x, 0, 1) if len(x.shape) == 2 else x


def _unsqueeze(x: Value, dim: int) -> Value:
    dim %= len(x.shape) + 1
    return reshape(x, (*x.shape[:dim], 1, *x.shape[dim:]))


def _squeeze(x: Value, dims: Any = None) -> Value:
    rank = len(x.shape)
    given = range(rank) if dims is None else [axis % rank for axis in ([dims] if isinstance(dims, int) else dims)]
    return reshape(x, [size for axis, size in enumerate(x.shape) if axis not in given or size != 1])


def _slice(x: Value, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Value:
    dim %= len(x.shape)
    begin, stop, step = slice(start, end, step).indices(x.shape[dim])
    count = max(0, -(-(stop - begin) // step))
    if not count:
        raise UnsupportedError(f"an empty slice of a tensor {x.shape} has no operator")
    if (begin, count, step) == (0, x.shape[dim], 1):
        return x
    shape = (*x.shape[:dim], count, *x.shape[dim + 1 :])
    return make("slice", (x,), shape, dim=dim, begin=begin, step=step)


def _select(x: Value, dim: int, index: int) -> Value:
    dim %= len(x.shape)
    index %= x.shape[dim]
    taken = _slice(x, dim, index, index + 1)
    return reshape(taken, (*x.shape[:dim], *x.shape[dim + 1 :]))


def _split(x: Value, sizes: Any, dim: int = 0) -> list[Value]:
    total = x.shape[dim]
    if isinstance(sizes, int):
        sizes = [min(sizes, total - start) for start in range(0, total, sizes)]
    starts = np.cumsum([0, *sizes]).tolist()
    return [_slice(x, dim, start, start + size) for start, size in zip(starts, sizes)]


def _unbind(x: Value, dim: int = 0) -> list[Value]:
    return [_select(x, dim, index) for index in range(x.shape[dim])]


def _cat(tensors: Any, dim: int = 0) -> Value:
    if len(tensors) > MAX_PARTS:
        raise UnsupportedError(f"a concatenation of {len(tensors)} tensors has no operator; one of {MAX_PARTS} has")
    tensors = as_values(RECORDERS, tensors)
    first = tensors[0]
    dim %= len(first.shape)
    others = {(*one.shape[:dim], *one.shape[dim + 1 :]) for one in tensors if len(one.shape) == len(first.shape)}
    if len(others) != 1 or any(len(one.shape) != len(first.shape) for one in tensors):
        shapes = ", ".join(str(one.shape) for one in tensors[:4])
        raise UnsupportedError(f"tensors {shapes} cannot be concatenated along axis {dim}: they do not fit each other")
    shape = (*first.shape[:dim], sum(one.shape[dim] for one in tensors), *first.shape[dim + 1 :])
    return first if len(tensors) == 1 else make("cat", tuple(tensors), shape, dim=dim)


def _stack(tensors: Any, dim: int = 0) -> Value:
    tensors = as_values(RECORDERS, tensors)
    dim %= len(tensors[0].shape) + 1
    return _cat([_unsqueeze(one, dim) for one in tensors], dim)


def _same(x: Value, *_: Any, **__: Any) -> Value:
    return x


def _pad(x: Value, pads: Any, value: float = 0.0) -> Value:
    if len(x.shape) != 4 or any(pads[4:]) or any(pad < 0 for pad in pads):
        raise UnsupportedError(f"padding of {list(pads)} on a tensor {x.shape} has no operator; height and width have")
    left, right, top, bottom = (*(int(pad) for pad in pads), 0, 0, 0, 0)[:4]
    n, c, height, width = x.shape
    shape = (n, c, height + top + bottom, width + left + right)
    return make("pad", (x,), shape, top=top, left=left, bottom=bottom, right=right, value=float(value))


def _expand(x: Value, sizes: Any, *_: Any, **__: Any) -> Value:
    rank = max(len(sizes), len(x.shape))
    own = (1,) * (rank - len(x.shape)) + tuple(x.shape)
    given = (-1,) * (rank - len(sizes)) + tuple(int(size) for size in sizes)
    wanted = tuple(have if size == -1 else size for have, size in zip(own, given))
    if any(have not in (1, size) for have, size in zip(own, wanted)):
        raise UnsupportedError(f"a tensor {x.shape} cannot be expanded to {tuple(sizes)}")
    if own != x.shape:
        x = reshape(x, own)
    return x if wanted == own else make("expand", (x,), wanted)


_SUFFIXES = ("Tensor", "Scalar", "default", "Tensor_Scalar")
_FUNCTIONS = ("relu", "sigmoid", "silu", "hardswish", "mish", "tanh", "hardsigmoid", "exp", "sqrt", "relu6", "erf")


def _named(recorders: dict[str, Recorder]) -> dict[str, Recorder]:
    """By the names of all overloads that torch may call."""
    return {f"aten.{name}.{suffix}": one for name, one in recorders.items() for suffix in _SUFFIXES}


# Operators with an in-place twin of the same meaning, the trailing underscore left out.
_POINTWISE: dict[str, Recorder] = {
    **{name: _activation(name) for name in _FUNCTIONS},
    "leaky_relu": _leaky,
    "elu": _elu,
    "gelu": _gelu,
    "clamp": _clamp,
    "clamp_min": _clamp,
    "clamp_max": lambda x, high: _clamp(x, None, high),
    "hardtanh": _hardtanh,
    "softplus": _softplus,
    "add": _binary("add"),
    "sub": _binary("sub"),
    "mul": _binary("mul"),
    "div": _binary("div"),
    "pow": _binary("pow"),
}  # fmt: skip

RECORDERS: dict[str, Recorder] = {
    **_named(_POINTWISE),
    **_named({f"{name}_": recorder for name, recorder in _POINTWISE.items()}),
    "aten.pow.Tensor_Scalar": _binary("pow"),
    "aten.maximum.default": _binary("max"),
    "aten.minimum.default": _binary("min"),
    "aten.max.other": _binary("max"),
    "aten.min.other": _binary("min"),
    "aten.rsub.Scalar": _rsub,
    "aten.rsub.Tensor": _rsub,
    "aten.neg.default": lambda x: _with_constant("mul", x, -1.0),
    "aten.square.default": lambda x: _two("mul", x, x),
    "aten._softmax.default": _softmax,
    "aten._safe_softmax.default": _softmax,
    "aten.mean.dim": _reduce("mean"),
    "aten.mean.default": _reduce("mean"),
    "aten.sum.dim_IntList": _reduce("sum"),
    "aten.sum.default": _reduce("sum"),
    "aten.amax.default": _reduce("max"),
    "aten.view.default": reshape,
    "aten._unsafe_view.default": reshape,
    "aten._reshape_alias.default": lambda x, shape, _strides: reshape(x, shape),
    "aten.reshape.default": reshape,
    "aten.permute.default": _permute,
    "aten.transpose.int": _transpose,
    "aten.t.default": _t,
    "aten.unsqueeze.default": _unsqueeze,
    "aten.squeeze.default": _squeeze,
    "aten.squeeze.dim": _squeeze,
    "aten.squeeze.dims": _squeeze,
    "aten.slice.Tensor": _slice,
    "aten.select.int": _select,
    "aten.split.Tensor": _split,
    "aten.split_with_sizes.default": _split,
    "aten.unbind.int": _unbind,
    "aten.cat.default": _cat,
    "aten.stack.default": _stack,
    "aten.constant_pad_nd.default": _pad,
    "aten.expand.default": _expand,
    **{f"aten.{name}.default": _same for name in ("clone", "detach", "alias", "contiguous", "lift_fresh")},
    **LAYERS,
}  # fmt: skip
RECORDERS.update(composed(RECORDERS))
RECORDERS.update(products(RECORDERS))
RECORDERS.update(shuffles(RECORDERS))
RECORDERS.update(comparisons(RECORDERS))
