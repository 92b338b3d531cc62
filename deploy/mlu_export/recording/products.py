"""Products of two tensors that the network computes, and what attention is made of beside them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Callable

import numpy as np

from .values import Constant, UnsupportedError, Value, new_identity

if TYPE_CHECKING:
    from collections.abc import Mapping

Recorder = Callable[..., Any]
MOST_PRODUCTS = 65536  # of a sum


def products(table: Mapping[str, Recorder]) -> dict[str, Recorder]:
    """The recorders, made of those in ``table``."""
    constant_mm, constant_addmm = table["aten.mm.default"], table["aten.addmm.default"]

    def mm(x: Any, y: Any) -> Any:
        return _product(table, x, y) if _computed(x, y) else constant_mm(x, y)

    def addmm(bias: Any, x: Any, y: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
        if not _computed(x, y):
            return constant_addmm(bias, x, y, beta=beta, alpha=alpha)
        return _sum(table, bias, _product(table, x, y), beta, alpha)

    return {
        "aten.mm.default": mm,
        "aten.addmm.default": addmm,
        "aten.bmm.default": lambda x, y: _matmul(table, x, y),
        "aten.matmul.default": lambda x, y: _matmul(table, x, y),
        "aten.baddbmm.default": lambda bias, x, y, *, beta=1, alpha=1: _sum(
            table, bias, _matmul(table, x, y), beta, alpha
        ),
        "aten.scaled_dot_product_attention.default": lambda *given, **named: _attention(table, *given, **named),
        "aten.native_layer_norm.default": lambda x, shape, weight, bias, eps: (
            layer_norm(table, x, -len(shape), weight, bias, eps),
            None,
            None,
        ),
        "aten.layer_norm.default": lambda x, shape, weight=None, bias=None, eps=1e-5, *_: layer_norm(
            table, x, -len(shape), weight, bias, eps
        ),
    }


def _computed(x: Any, y: Any) -> bool:
    return isinstance(x, Value) and isinstance(y, Value)


def _product(table: Mapping[str, Recorder], x: Value, y: Value, scale: float = 1.0) -> Value:
    """Of the last two axes; those in front are matrices of their own, as torch broadcasts them."""
    if min(len(x.shape), len(y.shape)) < 2 or x.shape[-1] != y.shape[-2]:
        raise UnsupportedError(f"a product of tensors {x.shape} and {y.shape} has no operator; matrices that fit have")
    if x.shape[-1] > MOST_PRODUCTS:
        raise UnsupportedError(
            f"a product that adds up {x.shape[-1]} numbers has no operator; one of up to {MOST_PRODUCTS} has"
        )
    try:
        front = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    except ValueError:
        raise UnsupportedError(f"matrices {x.shape} and {y.shape} do not fit each other") from None
    x, y = (
        one if one.shape[:-2] == front else table["aten.expand.default"](one, (*front, *one.shape[-2:]))
        for one in (x, y)
    )
    shape = (*front, x.shape[-2], y.shape[-1])
    return Value(shape, x.half and y.half, "matmul", (x, y), {"scale": scale})


def _matmul(table: Mapping[str, Recorder], x: Any, y: Any) -> Value:
    """With a constant matrix it is a linear layer, from whichever side."""
    if _computed(x, y):
        return _product(table, x, y)
    left = isinstance(y, Value)
    value, weight = (y, x) if left else (x, y)
    array = weight.array
    while array.ndim > 2 and array.shape[0] == 1:
        array = array[0]
    if array.ndim != 2 or len(value.shape) < 2:
        raise UnsupportedError(
            f"a product of a tensor {value.shape} with a constant {weight.array.shape} has no operator"
        )
    order = (*range(len(value.shape) - 2), len(value.shape) - 1, len(value.shape) - 2)
    rows = table["aten.permute.default"](value, order) if left else value
    turned = Constant(np.ascontiguousarray(array if left else array.T), weight.identity if left else -weight.identity)
    made: Value = table["aten.linear.default"](rows, turned, None)
    return table["aten.permute.default"](made, order) if left else made


def _sum(table: Mapping[str, Recorder], bias: Any, product: Value, beta: Any, alpha: Any) -> Value:
    """``beta * bias + alpha * product``."""
    mul, add = table["aten.mul.Tensor"], table["aten.add.Tensor"]
    made: Value = product if alpha == 1 else mul(product, float(alpha))
    return made if beta == 0 else add(made, bias if beta == 1 else mul(bias, float(beta)))


def _attention(
    table: Mapping[str, Recorder], q: Any, k: Any, v: Any, mask: Any = None, dropout: float = 0.0, causal: bool = False,
    *, scale: float | None = None, enable_gqa: bool = False,
) -> Value:  # fmt: skip
    """``softmax(q k^T * scale + mask) v`` over the last two axes."""
    if dropout or enable_gqa:
        raise UnsupportedError(
            "attention with dropout, or with fewer heads of keys, has no operator; call model.eval()"
        )
    if not all(isinstance(one, Value) for one in (q, k, v)):
        raise UnsupportedError("attention over constant keys or values has no operator; write it with matmul")
    order = (*range(len(k.shape) - 2), len(k.shape) - 1, len(k.shape) - 2)
    turned = table["aten.permute.default"](k, order)
    score = _product(table, q, turned, float(scale or 1 / math.sqrt(q.shape[-1])))
    if causal:
        mask = Constant(np.tri(*score.shape[-2:], dtype=np.bool_), new_identity())
    if mask is not None:
        score = table["aten.add.Tensor"](score, _summand(mask))
    made: Value = _product(table, table["aten._softmax.default"](score, -1), v)
    return made


def _summand(mask: Any) -> Constant:
    if not isinstance(mask, Constant):
        raise UnsupportedError("a mask that the network computes has no operator; one that is known has")
    array = np.where(mask.array, 0.0, -math.inf) if mask.array.dtype == np.bool_ else mask.array
    return Constant(np.asarray(array, np.float32), hash(("mask", mask.identity)))


def layer_norm(table: Mapping[str, Recorder], x: Value, first: int, weight: Any, bias: Any, eps: float) -> Value:
    """Layer normalisation over the axes from ``first`` on."""
    first %= len(x.shape)
    if not first:
        raise UnsupportedError("layer normalisation over the pictures of a batch has no operator")
    if not eps > 0:
        raise UnsupportedError(f"layer normalisation with eps={eps} has no operator; a positive one has")
    attributes = {"first": first, "eps": float(eps), "gamma": None, "beta": None}
    result = Value(x.shape, x.half, "layer_norm", (x,), attributes)
    for operator, key, numbers in (("mul", "gamma", weight), ("add", "beta", bias)):
        own = isinstance(numbers, Constant) and numbers.array.shape == x.shape[first:]
        if own and (key == "gamma" or result.operation == "layer_norm"):
            result.attributes[key] = numbers
        elif numbers is not None:
            result = table[f"aten.{operator}.Tensor"](result, numbers)
    return result
