"""Constant folding: ONNX operators on tensors that are known already (shapes, sizes, prior boxes), in numpy."""

from __future__ import annotations

import math
from typing import Any, Callable

import numpy as np

from mlu_agent.errors import DataError

from ...recording.values import UnsupportedError
from .call import Call, Tensor, bounded
from .fold_tails import TAIL_FOLDS

# TensorProto.DataType -> numpy; floats are computed in float32
DTYPES: dict[int, Any] = {
    1: np.float32, 2: np.uint8, 3: np.int8, 4: np.uint16, 5: np.int16, 6: np.int32, 7: np.int64, 9: np.bool_,
    10: np.float32, 11: np.float64, 12: np.uint32, 13: np.uint64, 16: np.float32,
}  # fmt: skip
Fold = Callable[[Call], Any]


def fold(call: Call) -> tuple[Tensor, ...]:
    """The outputs of a node whose inputs are all known. Raises UnsupportedError, DataError."""
    if call.operator not in FOLDS:
        raise UnsupportedError(
            "the operator is not known for constants; let the exporter fold constants, or simplify the file first"
        )
    with np.errstate(all="ignore"):
        made = FOLDS[call.operator](call)
    results = tuple(np.asarray(one) for one in (made if isinstance(made, (list, tuple)) else (made,)))
    for one in results:
        bounded(one.size)
    return results


def _operands(call: Call) -> list[Tensor]:
    """All inputs, of which none may be left out."""
    found = [call.known(index) for index in range(len(call.inputs))]
    if not found or any(one is None for one in found):
        raise DataError(f"{call.place}: an input is missing")
    return [one for one in found if one is not None]


def _of(call: Call, index: int = 0) -> Tensor:
    found = call.known(index)
    if found is None:
        raise DataError(f"{call.place}: its input {index} is missing")
    return found


def _pointwise(function: Callable[..., Any]) -> Fold:
    def run(call: Call) -> Any:
        operands = _operands(call)
        bounded(math.prod(np.broadcast_shapes(*(one.shape for one in operands))))
        return function(*operands)

    return run


def _many(function: Callable[..., Any]) -> Fold:
    """Of any number of operands, two at a time."""

    def pairwise(*operands: Tensor) -> Any:
        result = operands[0]
        for one in operands[1:]:
            result = function(result, one)
        return result

    return _pointwise(pairwise)


def _divide(a: Tensor, b: Tensor) -> Any:
    """Whole numbers are cut towards zero."""
    if a.dtype.kind in "iu":
        if (b == 0).any():
            raise ZeroDivisionError("division by zero")
        return (np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b))).astype(a.dtype)
    return a / b


def _cast(call: Call) -> Any:
    kind = call.integer("to", 1)
    if kind not in DTYPES:
        raise UnsupportedError(f"data type {kind} is not known")
    return np.asarray(_of(call)).astype(DTYPES[kind])


def _constant(call: Call) -> Any:
    for key in ("value", "value_float", "value_int", "value_floats", "value_ints"):
        if key in call.attributes:
            value = call.attributes[key]
            return value if isinstance(value, np.ndarray) else np.array(value, np.int64 if "int" in key else np.float32)
    raise UnsupportedError("a constant that holds no numbers is not known")


def _filled(call: Call) -> Any:
    shape = call.numbers(0) or []
    bounded(math.prod(shape))
    value = call.attributes.get("value", np.zeros(1, np.float32))
    return np.full(shape, np.asarray(value).reshape(-1)[0], np.asarray(value).dtype)


def _range(call: Call) -> Any:
    start, stop, step = (one.reshape(()) for one in _operands(call))
    if step == 0:
        raise ZeroDivisionError("a step of zero")
    bounded(abs(float(stop) - float(start)) / abs(float(step)))
    return np.arange(start.item(), stop.item(), step.item(), dtype=start.dtype)


def _expand(call: Call) -> Any:
    array, wanted = _of(call), call.numbers(1) or []
    shape = np.broadcast_shapes(array.shape, tuple(wanted))
    bounded(math.prod(shape))
    return np.array(np.broadcast_to(array, shape))


def _tile(call: Call) -> Any:
    array, repeats = _of(call), call.numbers(1) or []
    bounded(array.size * math.prod(repeats))
    return np.tile(array, repeats)


def _concat(call: Call) -> Any:
    operands = _operands(call)
    bounded(sum(one.size for one in operands))
    return np.concatenate(operands, call.integer("axis", 0))


def _gather(call: Call) -> Any:
    array, index = _of(call), _of(call, 1)
    axis = call.integer("axis", 0)
    bounded(array.size / max(1, array.shape[axis]) * index.size)
    return np.take(array, index.astype(np.int64), axis)


def _slice(call: Call) -> Any:
    array = _of(call)
    starts, ends, axes, steps = slice_numbers(call, array.ndim)
    places: list[Any] = [slice(None)] * array.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps):
        last = None if step < 0 and end < -array.shape[axis] else end
        places[axis] = slice(start, last, step)
    return array[tuple(places)]


def slice_numbers(call: Call, rank: int) -> tuple[list[int], list[int], list[int], list[int]]:
    """Starts, ends, axes (not negative) and steps of a Slice."""
    starts, ends = call.numbers(1) or [], call.numbers(2) or []
    axes = call.numbers(3) if call.operand(3) is not None else list(range(len(starts)))
    steps = call.numbers(4) if call.operand(4) is not None else [1] * len(starts)
    assert axes is not None
    assert steps is not None
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise ValueError("starts, ends, axes and steps do not belong together")
    if any(not -rank <= axis < rank for axis in axes):
        raise ValueError(f"axes {axes} of a tensor with {rank}")
    return starts, ends, [axis % rank for axis in axes], steps


def axes_of(call: Call, index: int = 1) -> list[int] | None:
    """The axes of a node: an attribute in older opsets, an input in newer ones; None: not given."""
    return call.integers("axes") if "axes" in call.attributes else call.numbers(index)


def _squeeze(call: Call) -> Any:
    axes = axes_of(call)
    return np.squeeze(_of(call), None if axes is None else tuple(axes))


def _unsqueeze(call: Call) -> Any:
    return np.expand_dims(_of(call), tuple(axes_of(call) or ()))


def reshaped(call: Call, shape: tuple[int, ...]) -> list[int]:
    """The sizes that a Reshape asks for, with its zeros (the size as it was) filled in."""
    wanted = call.numbers(1) or []
    if call.integer("allowzero", 0):
        return wanted
    return [shape[axis] if size == 0 else size for axis, size in enumerate(wanted)]


def _reshape(call: Call) -> Any:
    return _of(call).reshape(reshaped(call, _of(call).shape))


def _flatten(call: Call) -> Any:
    array, axis = _of(call), call.integer("axis", 1)
    return array.reshape(math.prod(array.shape[: axis % max(1, array.ndim)] if axis else ()), -1)


def _transpose(call: Call) -> Any:
    return np.ascontiguousarray(_of(call).transpose(call.integers("perm")))


def split_sizes(call: Call, size: int) -> list[int]:
    """The parts that a Split makes of an axis."""
    given = call.integers("split") or call.numbers(1)
    if given is None:
        count = call.integer("num_outputs", call.outputs, 1, 1 << 16)
        each = -(-size // count)
        given = [max(0, min(each, size - start * each)) for start in range(count)]
    if sum(given) != size or min(given, default=0) < 1:
        raise ValueError(f"parts {given} of an axis of {size}")
    return given


def _split(call: Call) -> Any:
    axis = call.integer("axis", 0)
    sizes = split_sizes(call, _of(call).shape[axis])
    return tuple(np.split(_of(call), np.cumsum(sizes)[:-1], axis))


def _reduced(function: Callable[..., Any]) -> Fold:
    def run(call: Call) -> Any:
        array, axes = _of(call), axes_of(call)
        gone = {axis % max(1, array.ndim) for axis in axes or range(array.ndim)}  # of an empty axis zeros are left
        bounded(math.prod(size for axis, size in enumerate(array.shape) if axis not in gone))
        return function(array, axis=tuple(axes) if axes else None, keepdims=bool(call.integer("keepdims", 1)))

    return run


def _matmul(call: Call) -> Any:
    a, b = _operands(call)
    rows, columns = (a.shape[-2] if a.ndim > 1 else 1), (b.shape[-1] if b.ndim > 1 else 1)
    products = math.prod(np.broadcast_shapes(a.shape[:-2], b.shape[:-2])) * rows * columns
    bounded(products * max(1, a.shape[-1]))  # of no numbers a product is as large
    return a @ b


def _clip(call: Call) -> Any:
    return np.clip(_of(call), call.known(1), call.known(2)) if len(call.inputs) > 1 else _of(call)


def _shape(call: Call) -> Any:
    shape = _of(call) if call.operator == "ShapeKnown" else np.array(_of(call).shape, np.int64)
    end = call.attributes.get("end")
    return shape[call.integer("start", 0) : end]


def _size(call: Call) -> Any:
    return np.int64(np.prod(_of(call)) if call.operator == "SizeKnown" else _of(call).size)


FOLDS: dict[str, Fold] = {
    "Constant": _constant, "ConstantOfShape": _filled, "Identity": _of, "Dropout": _of, "Cast": _cast, "Shape": _shape,
    "ShapeKnown": _shape, "Size": _size, "SizeKnown": _size, "Range": _range, "Expand": _expand, "Tile": _tile,
    "Concat": _concat, "Gather": _gather, "Slice": _slice, "Squeeze": _squeeze, "Unsqueeze": _unsqueeze,
    "Reshape": _reshape, "Flatten": _flatten, "Transpose": _transpose, "Split": _split, "MatMul": _matmul,
    "Clip": _clip, "Add": _pointwise(np.add), "Sub": _pointwise(np.subtract), "Mul": _pointwise(np.multiply),
    "Div": _pointwise(_divide), "Mod": _pointwise(np.mod),
    "Pow": _pointwise(lambda a, b: np.power(a, b).astype(a.dtype)),
    "Neg": _pointwise(np.negative), "Abs": _pointwise(np.abs), "Sqrt": _pointwise(np.sqrt), "Exp": _pointwise(np.exp),
    "Log": _pointwise(np.log), "Floor": _pointwise(np.floor), "Ceil": _pointwise(np.ceil), "Round": _pointwise(np.rint),
    "Reciprocal": _pointwise(np.reciprocal), "Equal": _pointwise(np.equal), "Less": _pointwise(np.less),
    "Greater": _pointwise(np.greater), "LessOrEqual": _pointwise(np.less_equal), "And": _pointwise(np.logical_and),
    "GreaterOrEqual": _pointwise(np.greater_equal), "Or": _pointwise(np.logical_or), "Not": _pointwise(np.logical_not),
    "Where": _pointwise(np.where), "Max": _many(np.maximum), "Min": _many(np.minimum), "Sum": _many(np.add),
    "ReduceProd": _reduced(np.prod), "ReduceSum": _reduced(np.sum), "ReduceMax": _reduced(np.max),
    "ReduceMin": _reduced(np.min), "ReduceMean": _reduced(np.mean), "Relu": _pointwise(lambda a: np.maximum(a, 0)),
    "Tanh": _pointwise(np.tanh), "Sin": _pointwise(np.sin), "Cos": _pointwise(np.cos),
    "Softplus": _pointwise(lambda a: np.logaddexp(a, 0)), **TAIL_FOLDS,
}  # fmt: skip
