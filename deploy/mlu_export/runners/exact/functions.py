"""The simulator's functions of one value in torch (native/ARITHMETIC.md sections 1 and 4), one float32 rounding a step.

Every helper takes and gives float32 tensors of any shape.
"""

from __future__ import annotations

import functools
from typing import Any, Callable

import torch

from ..reference.functions import ERROR_FROM_TWO, ERROR_TO_TWO, ERROR_WITHIN

NAN = float("nan")
EXP = (1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
LOG = (
    -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1, 2.0000714765e-1,
    -2.4999993993e-1, 3.3333331174e-1,
)  # fmt: skip
SLOPED = 9  # prelu: the only function with constants


def constant(value: float) -> Any:
    """A float32 of no axes: torch would compute with a Python number in the same way, but not in every operator."""
    return torch.tensor(value, dtype=torch.float32)


def choose(condition: Any, yes: Any, no: Any) -> Any:
    """``condition ? yes : no``, numbers or tensors."""
    parts = [part if isinstance(part, torch.Tensor) else constant(part) for part in (yes, no)]
    return torch.where(condition, *parts)


def stored(values: Any, dtype: Any) -> Any:
    """One rounding to the dtype of a tensor; every NaN is the canonical one."""
    rounded = values.to(dtype)
    return torch.where(torch.isnan(rounded), torch.tensor(NAN, dtype=dtype), rounded)


def copied(values: Any, dtype: Any) -> Any:
    """A copy keeps every bit; a change of dtype rounds once."""
    return values if values.dtype == dtype else stored(values.float(), dtype)


def square_root(x: Any) -> Any:
    """Correctly rounded: a root of 53 bits rounded to 24 is."""
    return x.double().sqrt().float()


def exponential(x: Any) -> Any:
    """The one exp of the simulator."""
    n, part = _reduced(x)
    bits = (part + 1).view(torch.int32) + n.to(torch.int32) * (1 << 23)
    return bits.view(torch.float32)


def expm1(x: Any) -> Any:
    """``exp(x) - 1``, exact near zero."""
    n, part = _reduced(x)
    return torch.where(n == 0, part, exponential(x) - 1)


def logarithm(x: Any) -> Any:
    """The one log of the simulator, of positive normal numbers."""
    bits = x.contiguous().view(torch.int32)
    n = ((bits >> 23) - 126).float()
    r = ((bits & 0x7FFFFF) | 0x3F000000).view(torch.float32)
    low = r < constant(0.707106781186547524)
    n = torch.where(low, n - 1, n)
    r = torch.where(low, (r + r) - 1, r - 1)
    z = r * r
    p = torch.full_like(r, 7.0376836292e-2)
    for coefficient in LOG:
        p = p * r + constant(coefficient)
    y = (p * r) * z
    y = y + n * constant(-2.12194440e-4)
    y = y - constant(0.5) * z
    return (r + y) + n * constant(0.693359375)


def _polynomial(z: Any, coefficients: tuple[float, ...]) -> Any:
    p = torch.full_like(z, coefficients[0])
    for coefficient in coefficients[1:]:
        p = p * z + constant(coefficient)
    return p


def _error_within(x: Any) -> Any:
    return x * _polynomial(x * x, ERROR_WITHIN)


def _error_beyond(a: Any) -> Any:
    """``1 - erf(a)`` for ``a`` of at least 1."""
    q = constant(1) / a
    z = q * q
    p = torch.where(a < 2, _polynomial(z, ERROR_TO_TWO), _polynomial(z, ERROR_FROM_TWO))
    return (exponential(-(a * a)) * q) * p


def _erf(x: Any) -> Any:
    a = x.abs()
    r = 1 - _error_beyond(a)
    return torch.where(a < 1, _error_within(x), torch.where(x > 0, r, -r))


def _gelu(x: Any) -> Any:
    z = x * constant(0.707106781186547524)
    a = z.abs()
    beyond = _error_beyond(a)
    twice = torch.where(a < 1, 1 + _error_within(z), torch.where(z > 0, 2 - beyond, beyond))
    return (x * constant(0.5)) * twice


def _gelu_tanh(x: Any) -> Any:
    cubic = constant(0.044715) * (x * x)
    return x * sigmoid((x * constant(1.59576912160573071)) * (1 + cubic))


def sigmoid(x: Any) -> Any:
    """``1 / (1 + exp(-x))``."""
    return constant(1) / (exponential(-x) + 1)


def activation(function: int, x: Any, a: float, b: float, slope: Any, dtype: Any) -> Any:
    """Function number ``function`` of FORMAT.md of a stored tensor, rounded once; of halves it is looked up."""
    if function == SLOPED:
        wide = x.float()
        return stored(choose(wide > 0, wide, wide * slope), dtype)
    if x.dtype == torch.float16:
        return _table(function, a, b, dtype)[x.contiguous().view(torch.int16).to(torch.int64) & 0xFFFF]
    return stored(_FUNCTIONS[function](x.float(), constant(a), constant(b)), dtype)


@functools.lru_cache(maxsize=64)
def _table(function: int, a: float, b: float, dtype: Any) -> Any:
    """The function of all 65,536 halves, by their bits."""
    halves = torch.arange(1 << 16).to(torch.int16).view(torch.float16)
    return stored(_FUNCTIONS[function](halves.float(), constant(a), constant(b)), dtype)


def _reduced(x: Any) -> tuple[Any, Any]:
    """``n`` and ``part`` with ``exp(x) = (part + 1) * 2^n``."""
    x = choose(x > -86, x, -86.0)
    x = choose(x < 88, x, 88.0)
    n = torch.round(x * constant(1.44269504088896341))
    r = x - n * constant(0.693359375)
    r = r - n * constant(-2.12194440e-4)
    p = torch.full_like(r, 1.9875691500e-4)
    for coefficient in EXP:
        p = p * r + constant(coefficient)
    return n, p * (r * r) + r


def _relu6(x: Any) -> Any:
    v = choose(x > 0, x, 0.0)
    return choose(v < 6, v, 6.0)


def _tanh(x: Any) -> Any:
    t = expm1(x * 2)
    return t / (t + 2)


def _mish(x: Any) -> Any:
    e = exponential(x)
    t = e * (e + 2)
    return torch.where(x > 20, x, x * (t / (t + 2)))


def _softplus(x: Any) -> Any:
    e = exponential(x)
    u = e + 1
    return torch.where(x > 20, x, torch.where(u == 1, e, logarithm(u) * (e / (u - 1))))


def _clip(x: Any, low: Any, high: Any) -> Any:
    v = torch.where(x > low, x, low)
    return torch.where(v < high, v, high)


_FUNCTIONS: dict[int, Callable[[Any, Any, Any], Any]] = {
    1: lambda x, _a, _b: choose(x > 0, x, 0.0),
    2: lambda x, a, _b: torch.where(x > 0, x, x * a),
    3: lambda x, _a, _b: sigmoid(x),
    4: lambda x, _a, _b: x * sigmoid(x),
    5: lambda x, _a, _b: (x * _relu6(x + 3)) / constant(6),
    6: lambda x, _a, _b: _mish(x),
    7: lambda x, _a, _b: _relu6(x),
    8: lambda x, _a, _b: _tanh(x),
    10: lambda x, _a, _b: _relu6(x + 3) / constant(6),
    11: lambda x, _a, _b: exponential(x),
    12: lambda x, _a, _b: square_root(x),
    13: lambda x, _a, _b: _softplus(x),
    14: lambda x, a, _b: torch.where(x > 0, x, a * expm1(x)),
    15: _clip,
    16: lambda x, _a, _b: _erf(x),
    17: lambda x, _a, _b: _gelu(x),
    18: lambda x, _a, _b: _gelu_tanh(x),
}
