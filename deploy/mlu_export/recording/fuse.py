"""Functions that are written out as arithmetic, recognised: x * sigmoid(x) is SiLU, and so on.

Only for networks as a whole: layer by layer, a script may ask for the parts.
"""

from __future__ import annotations

import math
from typing import Any

from . import fuse_norms
from .values import Value


def fused(result: Any, name: str) -> Any:
    """What a recorder gave, under the name of its place; a product that is an activation becomes one."""
    if isinstance(result, (list, tuple)):
        return type(result)(fused(one, name) for one in result)
    if not isinstance(result, Value):
        return result
    result = _activation(result) or result
    unnamed = [result]
    while unnamed:
        value = unnamed.pop()
        if value.operation not in ("", "input") and not value.name:
            value.name = name
            unnamed.extend(value.inputs)
    return result


def _activation(product: Value) -> Value | None:
    if product.operation == "affine":
        return _scaled(product) or fuse_norms.with_line(product)
    if product.operation == "binary" and product.attributes["kind"] == "div":
        return _normalized(*product.inputs) or fuse_norms.layer_norm(*product.inputs)
    if product.operation != "binary" or product.attributes["kind"] != "mul":
        return None
    for x, gate in (product.inputs, product.inputs[::-1]):
        function = _gate(x, gate)
        if function:
            return _made(function, x)
        if _numbers(x, 0.5, 0.0) and _is_share(gate, x.inputs[0]):
            return _made("gelu", x.inputs[0])
        if _is_share(gate, x, 0.5, 0.5):
            return _made("gelu", x)
    return None


def _normalized(x: Value, root: Value) -> Value | None:
    """``x / max(sqrt(sum of x * x over the channels), eps)``."""
    if root.operation == "expand":
        root = root.inputs[0]
    eps = 0.0
    if _is(root, "clip"):
        root, eps = root.inputs[0], root.attributes["a"]
    total = root.inputs[0] if _is(root, "sqrt") else None
    if eps <= 0 or len(x.shape) != 4 or total is None or total.operation != "reduce":
        return None
    squares = total.inputs[0]
    if total.attributes != {"kind": "sum", "axes": (1,)} or squares.inputs != (x, x):
        return None
    if squares.operation != "binary" or squares.attributes["kind"] != "mul":
        return None
    return Value(x.shape, x.half, "l2_normalize", (x,), {"scale": None, "eps": eps})


def _gate(x: Value, gate: Value) -> str | None:
    """The activation that ``x * gate`` is."""
    if _is(gate, "sigmoid") and gate.inputs[0] is x:
        return "silu"
    if _is(gate, "hardsigmoid") and gate.inputs[0] is x:
        return "hardswish"
    if _is(gate, "tanh") and _is(gate.inputs[0], "softplus") and gate.inputs[0].inputs[0] is x:
        return "mish"
    if _is_sixth(gate) and _is_shifted(gate.inputs[0], x):
        return "hardswish"
    return None


def _scaled(value: Value) -> Value | None:
    """``relu6(x + 3) / 6`` is hardsigmoid, times ``x`` hardswish; ``x * (1 + erf(x / sqrt(2))) / 2`` is gelu."""
    if _numbers(value, 0.5, 0.0):
        product = value.inputs[0]
        pairs = (product.inputs, product.inputs[::-1]) if _is_product(product) else ()
        return next((_made("gelu", x) for x, gate in pairs if _is_share(gate, x)), None)
    if not _is_sixth(value):
        return None
    inner = value.inputs[0]
    if _is_shifted(inner, inner.inputs[0].inputs[0] if inner.inputs and inner.inputs[0].inputs else None):
        return _made("hardsigmoid", inner.inputs[0].inputs[0])
    if _is_product(inner):
        for x, gate in (inner.inputs, inner.inputs[::-1]):
            if _is_shifted(gate, x):
                return _made("hardswish", x)
    return None


def _is_product(value: Value) -> bool:
    return value.operation == "binary" and value.attributes["kind"] == "mul"


def _is_share(value: Value, x: Value, alpha: float = 1.0, beta: float = 1.0) -> bool:
    """``erf(x / sqrt(2)) * alpha + beta``, in one step or in two."""
    if not _numbers(value, alpha, beta):
        if not _numbers(value, 1.0, beta) or not _numbers(value.inputs[0], alpha, 0.0):
            return False
        value = value.inputs[0]
    erf = value.inputs[0]
    return _is(erf, "erf") and _numbers(erf.inputs[0], math.sqrt(0.5), 0.0) and erf.inputs[0].inputs[0] is x


def _made(function: str, x: Value) -> Value:
    return Value(x.shape, x.half, "activation", (x,), {"function": function, "a": 0.0, "b": 0.0})


def _is(value: Value, function: str) -> bool:
    return value.operation == "activation" and value.attributes["function"] == function


def _is_shifted(value: Value, x: Value | None) -> bool:
    """``relu6(x + 3)``."""
    return (
        x is not None and _is(value, "relu6") and _numbers(value.inputs[0], 1.0, 3.0) and value.inputs[0].inputs[0] is x
    )


def _is_sixth(value: Value) -> bool:
    return _numbers(value, 1 / 6, 0.0)


def _numbers(value: Value, alpha: float, beta: float) -> bool:
    """Whether a value is an affine function of another with these two numbers."""
    if value.operation != "affine":
        return False
    wanted = zip((value.attributes["alpha"].array, value.attributes["beta"].array), (alpha, beta))
    return all(bool((abs(array - number) <= 1e-6 * max(1.0, math.fabs(number))).all()) for array, number in wanted)
