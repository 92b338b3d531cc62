"""Comparisons and choices, written with operators that the device has: a truth value is 1 or 0 in a tensor of floats.

They are exact. ``x > c`` is the positive part of ``x - c``, enlarged and cut off at 1: the difference of two numbers of
one format is not zero unless they are equal. ``where(mask, a, b)`` is the larger of ``min(a, t)`` and ``min(b, -t)``
with an infinite ``t`` that is positive where the mask is true.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Callable

import numpy as np

from .values import Constant, UnsupportedError, Value

if TYPE_CHECKING:
    from collections.abc import Mapping

Recorder = Callable[..., Any]
HUGE, LARGE = 2.0**126, 2.0**24  # together they lift the least difference there is above 1
TENSORS = ("Tensor", "Scalar")


def comparisons(table: Mapping[str, Recorder]) -> dict[str, Recorder]:
    """The recorders, made of those in ``table``."""
    made = _Comparisons(table)
    pairs: dict[str, Recorder] = {
        "gt": made.greater,
        "lt": made.less,
        "ge": lambda x, y: made.negation(made.less(x, y)),
        "le": lambda x, y: made.negation(made.greater(x, y)),
        "ne": made.unequal,
        "eq": lambda x, y: made.negation(made.unequal(x, y)),
    }
    both = {"logical_and.default": "and", "bitwise_and.Tensor": "and", "logical_or.default": "or"}
    both.update({"bitwise_or.Tensor": "or", "logical_xor.default": "xor", "bitwise_xor.Tensor": "xor"})
    sums = ("aten.sum.default", "aten.sum.dim_IntList")
    return {
        **{name: _counting(table[name]) for name in sums},
        **{f"aten.{name}.{kind}": recorder for name, recorder in pairs.items() for kind in TENSORS},
        **{f"aten.{name}": getattr(made, f"either_{kind}") for name, kind in both.items()},
        **{f"aten.{name}.default": made.negation for name in ("logical_not", "bitwise_not")},
        **{f"aten.where.{kind}": made.where for kind in ("self", "Scalar", "ScalarSelf", "ScalarOther")},
        **{
            f"aten.masked_fill{end}.{kind}": lambda x, mask, number: made.where(mask, number, x)
            for end in ("", "_")
            for kind in TENSORS
        },
    }


def _counting(total: Recorder) -> Recorder:
    """A sum that counts, in full precision, where it is one of truth values."""

    def recorder(x: Value, *given: Any, **named: Any) -> Value:
        if not x.logical:
            return total(x, *given, **named)  # type: ignore[no-any-return]
        if math.prod(x.shape) > LARGE:
            raise UnsupportedError(f"a count of {math.prod(x.shape)} truth values has no operator; at most {LARGE:g}")
        made: Value = total(Value(x.shape, False, "cast", (x,)), *given, **named)
        made.counts = True
        return made

    return recorder


class _Comparisons:
    def __init__(self, table: Mapping[str, Recorder]) -> None:
        self._clamp, self._max, self._min = (table[f"aten.{name}.default"] for name in ("clamp", "maximum", "minimum"))
        self._mul, self._add, self._sub = (table[f"aten.{name}.Tensor"] for name in ("mul", "add", "sub"))

    # ---- comparisons ----

    def greater(self, x: Any, y: Any) -> Value:
        """1 where ``x > y``."""
        if isinstance(x, Value) and _is_number(y):
            number = _number(y, x.half)
            return self._step(self._sub(self._clamp(x, number, None), number))
        if isinstance(y, Value) and _is_number(x):
            number = _number(x, y.half)
            return self._step(self._sub(number, self._clamp(y, None, number)))
        return self._step(self._sub(x, y))

    def less(self, x: Any, y: Any) -> Value:
        return self.greater(y, x)

    def unequal(self, x: Any, y: Any) -> Value:
        return self.either_or(self.greater(x, y), self.less(x, y))

    def _step(self, difference: Value) -> Value:
        """1 for what is positive, 0 for the rest."""
        part = self._clamp(difference, 0.0, 1.0)
        for factor in (HUGE, LARGE):
            part = self._clamp(self._mul(part, factor), 0.0, 1.0)
        return _truth(part)

    # ---- truth values ----

    def negation(self, mask: Value) -> Value:
        return _truth(self._sub(1.0, _mask(mask)))

    def either_and(self, first: Any, second: Any) -> Value:
        return _truth(self._mul(*self._masks(first, second)))

    def either_or(self, first: Any, second: Any) -> Value:
        return _truth(self._max(*self._masks(first, second)))

    def either_xor(self, first: Any, second: Any) -> Value:
        one, other = self._masks(first, second)
        return _truth(self._sub(self._max(one, other), self._mul(one, other)))

    def _masks(self, first: Any, second: Any) -> tuple[Any, Any]:
        like = first if isinstance(first, Value) else second
        return self._as_mask(first, like), self._as_mask(second, like)

    def _as_mask(self, mask: Any, like: Value) -> Value:
        """Truth values that are known beforehand are laid onto zeros."""
        if isinstance(mask, Value):
            return _mask(mask)
        if not isinstance(mask, Constant) or mask.array.dtype != bool:
            raise UnsupportedError("a choice by something else than truth values has no operator; compare first")
        numbers = Constant(mask.array.astype(np.float32), mask.identity)
        return _truth(self._add(self._clamp(like, 0.0, 0.0), numbers))

    # ---- choices ----

    def where(self, mask: Any, a: Any, b: Any) -> Value:
        """``a`` where the mask is true, else ``b``."""
        like = next((one for one in (mask, a, b) if isinstance(one, Value)), None)
        if like is None:
            raise UnsupportedError("a choice between constants has no operator; make it once, on the host")
        sign = self._infinite(self._as_mask(mask, like))
        a, b = (_choice(one) for one in (a, b))
        if b in (-math.inf, math.inf):
            return self.where(self.negation(self._as_mask(mask, like)), b, a)
        if a == -math.inf:
            return self._of_format(self._min(self._on(b, sign), self._mul(sign, -1.0)), b)
        if a == math.inf:
            return self._of_format(self._max(self._on(b, sign), sign), b)
        chosen = self._min(self._on(a, sign), sign)
        other = self._min(self._on(b, sign), self._mul(sign, -1.0))
        return self._of_format(self._max(chosen, other), *(one for one in (a, b) if isinstance(one, Value)))

    def _infinite(self, mask: Value) -> Value:
        """Infinity where the mask is true, minus infinity elsewhere."""
        signed = self._clamp(self._sub(self._mul(mask, 2.0), 1.0), -1.0, 1.0)
        made: Value = self._mul(self._clamp(self._mul(signed, HUGE), -HUGE, HUGE), LARGE)
        return made

    def _on(self, one: Any, like: Value) -> Value:
        """A number, or constant numbers, as a tensor."""
        if isinstance(one, Value):
            return one
        if isinstance(one, float):
            return self._clamp(like, one, one)  # type: ignore[no-any-return]
        return self._add(self._clamp(like, 0.0, 0.0), one)  # type: ignore[no-any-return]

    @staticmethod
    def _of_format(made: Value, *like: Any) -> Value:
        """Half only if all that is chosen from is, as torch has it."""
        halves = [one.half for one in like if isinstance(one, Value)]
        if not halves or made.half == all(halves):
            return made
        return Value(made.shape, all(halves), "cast", (made,))


def _truth(value: Value) -> Value:
    value.logical = True
    return value


def _mask(value: Value) -> Value:
    if not value.logical:
        raise UnsupportedError("a logical operator takes truth values; compare first, as in x > 0")
    return value


def _is_number(one: Any) -> bool:
    return not isinstance(one, Value) and (not isinstance(one, Constant) or one.array.size == 1)


def _number(one: Any, half: bool) -> float:
    """As torch compares: in the tensor's own format."""
    given = float(one.array.reshape(-1)[0]) if isinstance(one, Constant) else float(one)
    number = float(np.float16(given)) if half else float(np.float32(given))
    if not math.isfinite(number):
        raise UnsupportedError(f"a comparison with {given} has no operator; finite numbers have")
    return number


def _choice(one: Any) -> Any:
    """A number as a float; everything else as it is. Raises UnsupportedError for what cannot be chosen exactly."""
    if isinstance(one, Constant) and one.array.size == 1:
        one = float(one.array.reshape(-1)[0])
    if isinstance(one, Value):
        if one.logical:
            raise UnsupportedError("a choice between truth values has no operator; combine them with & and |")
        return one
    if not isinstance(one, Constant):
        one = float(one)
        if math.isnan(one):
            raise UnsupportedError("a choice of NaN has no operator; choose a number")
        return one
    if not np.isfinite(one.array).all():
        raise UnsupportedError("a choice of constants that are not all finite has no operator; a number has")
    return one
