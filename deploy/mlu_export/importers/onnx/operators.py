"""ONNX operators on tensors that the network computes -> recorded values, through the recorder table of torch's."""

from __future__ import annotations

import math
from typing import Any, Callable

import numpy as np

from mlu_agent.errors import DataError

from ...recording.record import RECORDERS, make, reshape
from ...recording.values import UnsupportedError, Value
from .call import Call
from .einsum import einsum
from .fold import axes_of, reshaped, slice_numbers, split_sizes
from .layers import LAYERS

Operator = Callable[[Call], Any]

HINTS = {
    "NonMaxSuppression": "end the network before it with --outputs: with --decode the agent does it",
    "TopK": "end the network before it with --outputs and choose on the host",
    "ArgMax": "end the network before it with --outputs and choose on the host",
    "QuantizeLinear": "give the float network: quantization is done here",
    "DequantizeLinear": "give the float network: quantization is done here",
    "If": "export with fixed sizes, or simplify the file first, so that no branch is left",
    "Loop": "export with fixed sizes, or simplify the file first, so that no loop is left",
    "GRU": "recurrent layers are not on the device",
    "LSTM": "recurrent layers are not on the device",
}
USUAL_HINT = "replace it with supported ones, or end the network before it with --outputs and compute it on the host"
LIST_LIMIT = 64  # pieces that a gather may be made of


def _pointwise(recorder: str) -> Operator:
    return lambda call: RECORDERS[recorder](call.value())


def _binary(kind: str) -> Operator:
    recorder = RECORDERS[
        {"max": "aten.maximum.default", "min": "aten.minimum.default"}.get(kind, f"aten.{kind}.Tensor")
    ]

    def run(call: Call) -> Any:
        least = 1 if call.operator in ("Max", "Min", "Sum", "Mean") else 2
        if len(call.inputs) < least or any(one is None for one in call.inputs):
            raise DataError(f"{call.place}: an input is missing")
        operands = [one if isinstance(one, Value) else call.constant(one) for one in call.inputs]
        result = operands[0]
        for one in operands[1:]:
            result = recorder(result, one)
        return result

    return run


def _mean(call: Call) -> Any:
    return RECORDERS["aten.mul.Tensor"](_binary("add")(call), 1.0 / len(call.inputs))


def _leaky(call: Call) -> Any:
    return RECORDERS["aten.leaky_relu.default"](call.value(), call.real("alpha", 0.01))


def _elu(call: Call) -> Any:
    return RECORDERS["aten.elu.default"](call.value(), call.real("alpha", 1.0))


def _gelu(call: Call) -> Any:
    return RECORDERS["aten.gelu.default"](call.value(), approximate=call.text("approximate", "none"))


def _hard_sigmoid(call: Call) -> Any:
    alpha, beta = call.real("alpha", 0.2), call.real("beta", 0.5)
    if abs(alpha - 1 / 6) < 1e-6 and beta == 0.5:
        return RECORDERS["aten.hardsigmoid.default"](call.value())
    line = RECORDERS["aten.add.Tensor"](RECORDERS["aten.mul.Tensor"](call.value(), alpha), beta)
    return RECORDERS["aten.clamp.default"](line, 0.0, 1.0)


def _clip(call: Call) -> Any:
    return RECORDERS["aten.clamp.default"](call.value(), call.number(1), call.number(2))


def _reduce(kind: str) -> Operator:
    recorder = {"mean": "aten.mean.dim", "sum": "aten.sum.dim_IntList", "max": "aten.amax.default"}[kind]

    def run(call: Call) -> Any:
        axes = axes_of(call)
        if not axes and call.integer("noop_with_empty_axes", 0):
            return call.value()
        return RECORDERS[recorder](call.value(), axes or None, bool(call.integer("keepdims", 1)))

    return run


def _length(call: Call) -> Any:
    """ReduceL2."""
    return RECORDERS["aten.linalg_vector_norm.default"](
        call.value(), 2, axes_of(call) or None, bool(call.integer("keepdims", 1))
    )


def _global(kind: str) -> Operator:
    def run(call: Call) -> Any:
        x = call.value()
        recorder = "aten.mean.dim" if kind == "mean" else "aten.amax.default"
        return RECORDERS[recorder](x, list(range(2, len(x.shape))), True)

    return run


def _softmax(call: Call) -> Any:
    x = call.value()
    if call.opset >= 13:
        return RECORDERS["aten._softmax.default"](x, call.integer("axis", -1))
    axis = call.integer("axis", 1) % len(x.shape)
    if math.prod(x.shape[axis + 1 :]) == 1:
        return RECORDERS["aten._softmax.default"](x, axis)
    flat = reshape(x, (math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))  # all axes from this one on are one
    return reshape(RECORDERS["aten._softmax.default"](flat, 1), x.shape)


def _normalized(call: Call) -> Any:
    x, axis = call.value(), call.integer("axis", -1)
    if call.integer("p", 2) != 2 or len(x.shape) != 4 or axis % 4 != 1:
        raise UnsupportedError("only p = 2 over the channels has an operator")
    return make("l2_normalize", (x,), x.shape, scale=None, eps=1e-12)


# ---- shapes ----


def _reshape(call: Call) -> Any:
    return reshape(call.value(), reshaped(call, call.value().shape))


def _flatten(call: Call) -> Any:
    x, axis = call.value(), call.integer("axis", 1)
    axis = axis % len(x.shape) if axis < 0 else axis
    return reshape(x, (math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))


def _transpose(call: Call) -> Any:
    order = call.integers("perm") or list(range(len(call.value().shape)))[::-1]
    if sorted(order) != list(range(len(call.value().shape))):
        raise DataError(f"{call.place}: perm = {order!s:.60} is not an order of its axes")
    return RECORDERS["aten.permute.default"](call.value(), order)


def _squeeze(call: Call) -> Any:
    return RECORDERS["aten.squeeze.dims"](call.value(), axes_of(call))


def _unsqueeze(call: Call) -> Any:
    x, axes = call.value(), axes_of(call) or []
    rank = len(x.shape) + len(axes)
    shape = list(x.shape)
    for axis in sorted(axis % rank for axis in axes):
        shape.insert(axis, 1)
    return reshape(x, shape)


def _expand(call: Call) -> Any:
    x = call.value()
    return RECORDERS["aten.expand.default"](x, np.broadcast_shapes(x.shape, tuple(call.numbers(1) or ())))


def _concat(call: Call) -> Any:
    parts = [one if isinstance(one, Value) or one is None else call.constant(one) for one in call.inputs]
    return RECORDERS["aten.cat.default"](parts, call.integer("axis", 0))


def _split(call: Call) -> Any:
    x, axis = call.value(), call.integer("axis", 0)
    axis %= len(x.shape)
    return RECORDERS["aten.split_with_sizes.default"](x, split_sizes(call, x.shape[axis]), axis)


def _slice(call: Call) -> Any:
    x = call.value()
    for start, end, axis, step in zip(*slice_numbers(call, len(x.shape))):
        if step < 0:
            raise UnsupportedError("a slice that runs backwards has no operator")
        x = RECORDERS["aten.slice.Tensor"](x, axis, start, end, step)
    return x


def _gather(call: Call) -> Any:
    x, index = call.value(), call.known(1)
    if index is None or index.dtype.kind not in "iu" or index.ndim > 1 or index.size > LIST_LIMIT or not index.size:
        raise UnsupportedError(f"only up to {LIST_LIMIT} known places along one axis can be taken")
    axis = call.integer("axis", 0) % len(x.shape)
    places = [int(one) for one in index.reshape(-1)]
    if any(not -x.shape[axis] <= one < x.shape[axis] for one in places):
        raise DataError(f"{call.place}: place {places!s:.40} of an axis of {x.shape[axis]}")
    if index.ndim == 0:
        return RECORDERS["aten.select.int"](x, axis, places[0])
    taken = [one % x.shape[axis] for one in places]
    return RECORDERS["aten.cat.default"]([_run(x, axis, *ends) for ends in _runs(taken)], axis)


def _runs(places: list[int]) -> list[tuple[int, int]]:
    """Neighbours taken together: first and last place of each run."""
    runs: list[tuple[int, int]] = []
    for place in places:
        if runs and runs[-1][1] + 1 == place:
            runs[-1] = (runs[-1][0], place)
        else:
            runs.append((place, place))
    return runs


def _run(x: Value, axis: int, first: int, last: int) -> Any:
    return RECORDERS["aten.slice.Tensor"](x, axis, first, last + 1)


def _depth_to_space(call: Call) -> Any:
    x, size = call.value(), call.integer("blocksize", 1, 1, 1 << 10)
    n, channels, height, width = x.shape
    first, inner = (size, size), channels // (size * size)
    if call.text("mode", "DCR") == "DCR":
        split = reshape(x, (n, *first, inner, height, width))
        turned = RECORDERS["aten.permute.default"](split, (0, 3, 4, 1, 5, 2))
    else:
        split = reshape(x, (n, inner, *first, height, width))
        turned = RECORDERS["aten.permute.default"](split, (0, 1, 4, 2, 5, 3))
    return reshape(turned, (n, inner, height * size, width * size))


def _space_to_depth(call: Call) -> Any:
    x, size = call.value(), call.integer("blocksize", 1, 1, 1 << 10)
    n, channels, height, width = x.shape
    split = reshape(x, (n, channels, height // size, size, width // size, size))
    turned = RECORDERS["aten.permute.default"](split, (0, 3, 5, 1, 2, 4))
    return reshape(turned, (n, channels * size * size, height // size, width // size))


def _cast(call: Call) -> Any:
    if call.integer("to", 1) not in (1, 10, 11, 16):
        raise UnsupportedError("a tensor that the network computes cannot become whole numbers on the device")
    return call.value()


def _is_nan(call: Call) -> Any:
    """Of a softmax, which exporters ask after masking: a mask here is finite, so that no row is without a number."""
    if call.value().operation != "softmax":
        raise UnsupportedError("only of a softmax it is known")
    return np.zeros(call.value().shape, np.bool_)


def _where(call: Call) -> Any:
    """By a condition that is known and the same everywhere."""
    condition = call.known(0)
    if condition is None or condition.dtype != np.bool_ or condition.all() != condition.any():
        raise UnsupportedError("only a condition that is known, and the same everywhere, has an operator")
    chosen = call.operand(1 if condition.all() else 2)
    shapes = [one.shape for one in call.inputs if one is not None]
    if not isinstance(chosen, Value):
        return np.broadcast_to(np.asarray(chosen), np.broadcast_shapes(*shapes))
    return RECORDERS["aten.expand.default"](chosen, np.broadcast_shapes(*shapes))


def _same(call: Call) -> Any:
    return call.value()


POINTWISE = (
    "Relu", "Sigmoid", "Tanh", "HardSwish", "Mish", "Exp", "Sqrt", "Softplus", "Neg", "Abs", "Reciprocal", "Erf",
)  # fmt: skip

OPERATORS: dict[str, Operator] = {
    **{name: _pointwise(f"aten.{name.lower()}.default") for name in POINTWISE},
    "LeakyRelu": _leaky, "Elu": _elu, "Gelu": _gelu, "HardSigmoid": _hard_sigmoid, "Clip": _clip,
    "Add": _binary("add"), "Sub": _binary("sub"), "Mul": _binary("mul"), "Div": _binary("div"), "Pow": _binary("pow"),
    "Max": _binary("max"), "Min": _binary("min"), "Sum": _binary("add"), "Mean": _mean,
    "ReduceMean": _reduce("mean"), "ReduceSum": _reduce("sum"), "ReduceMax": _reduce("max"), "ReduceL2": _length,
    "GlobalAveragePool": _global("mean"), "GlobalMaxPool": _global("max"),
    "Softmax": _softmax, "LpNormalization": _normalized,
    "Reshape": _reshape, "Flatten": _flatten, "Transpose": _transpose, "Squeeze": _squeeze, "Unsqueeze": _unsqueeze,
    "Expand": _expand, "Concat": _concat, "Split": _split, "Slice": _slice, "Gather": _gather,
    "DepthToSpace": _depth_to_space, "SpaceToDepth": _space_to_depth,
    "Cast": _cast, "IsNaN": _is_nan, "Einsum": einsum, "Where": _where, "Identity": _same, "Dropout": _same,
    **LAYERS,
}  # fmt: skip
