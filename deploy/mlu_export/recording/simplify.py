"""Chains of per-channel factors and summands become one, and part of what is before them: one rounding.

That is a convolution; of a linear layer its bias, of a product of two tensors its factor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

import numpy as np

from .operations import affine_of
from .values import Constant, Value, new_identity, ordered

if TYPE_CHECKING:
    from collections.abc import Sequence

Floats = Any


def simplify(outputs: Sequence[Value]) -> None:
    """Rewrites the values that ``outputs`` are made of; what they compute stays, but for a float's rounding."""
    values = ordered(outputs)
    users: dict[int, int] = {}
    for value in values:
        for one in value.inputs:
            users[id(one)] = users.get(id(one), 0) + 1
    final = {id(output) for output in outputs}

    def is_between(value: Value) -> bool:
        """Whether nothing but the next operation reads it."""
        return users.get(id(value)) == 1 and id(value) not in final

    for value in values:
        if value.operation == "affine" and is_between(value.inputs[0]):
            _into_product(value)
        if value.operation == "matmul":
            _factors_of(value, is_between)
    for value in values:
        line = _line(value)
        if line is None or not is_between(value.inputs[0]):
            continue
        source = value.inputs[0]
        before = _line(source)
        if before is not None:
            _write(value, before[0] * line[0], before[1] * line[0] + line[1], source.inputs)
            source = source.inputs[0]
        if value.operation == "affine" and source.operation == "conv" and is_between(source):
            _norm(value)


def _into_product(value: Value) -> None:
    """A factor of a product of two tensors, a summand of a linear layer without a bias."""
    source, factor = value.inputs[0], _factor(value)
    if source.operation == "matmul" and factor is not None:
        value.operation, value.inputs, value.attributes = "matmul", source.inputs, _scaled(source, factor)
    elif source.operation == "linear" and source.attributes["bias"] is None:
        alpha, beta = (value.attributes[key].array for key in ("alpha", "beta"))
        rows = beta.reshape(-1, beta.shape[-1])
        last = beta.ndim > 1 or len(value.shape) == 2
        if last and (alpha == 1).all() and (rows == rows[0]).all():
            value.operation, value.inputs = "linear", source.inputs
            value.attributes = {**source.attributes, "bias": _constant(rows[0])}


def _factors_of(product: Value, is_between: Callable[[Value], bool]) -> None:
    """Factors of what a product multiplies become its own, from behind a turn too."""
    for place, one in enumerate(product.inputs):
        turned = one.operation == "permute" and one.array is None and is_between(one)
        line = one.inputs[0] if turned else one
        factor = _factor(line) if is_between(line) else None
        if factor is None:
            continue
        product.attributes = _scaled(product, factor)
        if turned:
            one.inputs = line.inputs
        else:
            product.inputs = (*product.inputs[:place], line.inputs[0], *product.inputs[place + 1 :])


def _factor(value: Value) -> float | None:
    """The one positive number that a value is another times."""
    if value.array is not None or value.operation != "affine":
        return None
    alpha, beta = (value.attributes[key].array for key in ("alpha", "beta"))
    one = float(alpha.flat[0])
    return one if one > 0 and (alpha == alpha.flat[0]).all() and not beta.any() else None


def _scaled(product: Value, factor: float) -> dict[str, Any]:
    return {"scale": float(np.float32(product.attributes["scale"] * factor))}


def _line(value: Value) -> tuple[Floats, Floats] | None:
    """Factor and summand per channel, float64, of a value that is no more than that."""
    if len(value.shape) != 4 or value.operation not in ("affine", "batch_norm"):
        return None
    if value.operation == "batch_norm":
        parts = affine_of(value)
    else:
        parts = (value.attributes["alpha"].array, value.attributes["beta"].array)
    if parts[0].ndim != 1:
        return None
    return parts[0].astype(np.float64), parts[1].astype(np.float64)


def _write(value: Value, alpha: Floats, beta: Floats, inputs: tuple[Value, ...]) -> None:
    value.operation, value.inputs = "affine", inputs
    value.attributes = {"alpha": _constant(alpha), "beta": _constant(beta)}


def _norm(value: Value) -> None:
    """The same as a batch-norm, which lowering makes with its convolution."""
    alpha, beta = (value.attributes[key] for key in ("alpha", "beta"))
    zeros, ones = _constant(np.zeros(alpha.array.size)), _constant(np.ones(alpha.array.size))
    value.operation = "batch_norm"
    value.attributes = {"gamma": alpha, "beta": beta, "mean": zeros, "variance": ones, "eps": 0.0}


def _constant(array: Floats) -> Constant:
    return Constant(np.ascontiguousarray(array, np.float32), new_identity())
