"""Operators that the device has not, written as several that it has: norms, variances, inverses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

from .values import UnsupportedError, Value

if TYPE_CHECKING:
    from collections.abc import Mapping

Recorder = Callable[..., Any]


def composed(table: Mapping[str, Recorder]) -> dict[str, Recorder]:
    """The recorders, made of those in ``table``."""
    return {
        "aten.linalg_vector_norm.default": lambda *given, **named: _norm(table, *given, **named),
        "aten.var_mean.correction": lambda *given, **named: _var_mean(table, *given, **named),
        "aten.var.correction": lambda *given, **named: _var_mean(table, *given, **named)[0],
        "aten.rsqrt.default": lambda x: table["aten.div.Tensor"](1.0, table["aten.sqrt.default"](x)),
        "aten.reciprocal.default": lambda x: table["aten.div.Tensor"](1.0, x),
        "aten.abs.default": lambda x: table["aten.maximum.default"](x, table["aten.neg.default"](x)),
        "aten._native_batch_norm_legit.no_stats": lambda *given: _instance_norm(table, *given),
        "aten.native_group_norm.default": lambda *given: _group_norm(table, *given),
    }


def _norm(
    table: Mapping[str, Recorder], x: Value, power: Any = 2, dims: Any = None, keepdim: bool = False, **_: Any
) -> Value:
    if power != 2:
        raise UnsupportedError(f"a norm of power {power} has no operator; 2 has")
    made: Value = table["aten.sqrt.default"](
        table["aten.sum.dim_IntList"](table["aten.mul.Tensor"](x, x), dims, keepdim)
    )
    return made


def _var_mean(
    table: Mapping[str, Recorder], x: Value, dims: Any = None, *, correction: Any = 1, keepdim: bool = False
) -> tuple[Value, Value]:
    if correction != 0:
        raise UnsupportedError("a variance with a correction has no operator; correction=0 has")
    mean = table["aten.mean.dim"](x, dims, True)
    centred = table["aten.sub.Tensor"](x, mean)
    variance = table["aten.mean.dim"](table["aten.mul.Tensor"](centred, centred), dims, keepdim)
    return variance, mean if keepdim else table["aten.mean.dim"](x, dims, False)


def _instance_norm(
    table: Mapping[str, Recorder], x: Value, weight: Any, bias: Any, _training: bool, _momentum: float, eps: float
) -> tuple[Any, ...]:
    """Instance normalisation as torch records it: the statistics are those of the picture itself."""
    if x.shape[0] != 1 or len(x.shape) < 3:
        raise UnsupportedError(f"batch-norm by a batch's own statistics of a tensor {x.shape} has no operator")
    return _per_channel(table, _unit(table, x, list(range(2, len(x.shape))), eps), weight, bias), None, None


def _group_norm(
    table: Mapping[str, Recorder],
    x: Value,
    weight: Any,
    bias: Any,
    _n: int,
    _c: int,
    _size: int,
    groups: int,
    eps: float,
) -> tuple[Any, ...]:
    parted = table["aten.reshape.default"](x, (x.shape[0], groups, -1))
    unit = table["aten.reshape.default"](_unit(table, parted, [2], eps), x.shape)
    return _per_channel(table, unit, weight, bias), None, None


def _per_channel(table: Mapping[str, Recorder], x: Value, weight: Any, bias: Any) -> Value:
    shape = (1, -1, *[1] * (len(x.shape) - 2))
    for operator, numbers in (("mul", weight), ("add", bias)):
        if numbers is not None:
            column = type(numbers)(numbers.array.reshape(shape), numbers.identity)
            x = table[f"aten.{operator}.Tensor"](x, column)
    return x


def _unit(table: Mapping[str, Recorder], x: Value, dims: list[int], eps: float) -> Value:
    """Mean zero and variance one over some axes."""
    variance, mean = _var_mean(table, x, dims, correction=0, keepdim=True)
    root = table["aten.sqrt.default"](table["aten.add.Tensor"](variance, float(eps)))
    made: Value = table["aten.div.Tensor"](table["aten.sub.Tensor"](x, mean), root)
    return made
