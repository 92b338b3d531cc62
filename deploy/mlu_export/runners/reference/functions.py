"""The simulator's functions of one value (native/ARITHMETIC.md sections 2 and 4), float32 operation by operation."""

from __future__ import annotations

from typing import Any, Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
f32 = np.float32


def quantized(x: Floats, quant_scale: float, qmax: int) -> npt.NDArray[np.float64]:
    """Integer codes of activations (section 2), as float64."""
    v = x * f32(quant_scale)
    v = np.where(v > f32(-qmax), v, f32(-qmax))
    v = np.where(v < f32(qmax), v, f32(qmax))
    return np.asarray(np.rint(v), np.float64)


def _reduced(x: Floats) -> tuple[Floats, Floats]:
    """``n`` and ``part`` with ``exp(x) = (part + 1) * 2^n``."""
    x = np.where(x > f32(-86), x, f32(-86))
    x = np.where(x < f32(88), x, f32(88))
    n = np.rint(x * f32(1.44269504088896341))
    r = x - n * f32(0.693359375)
    r = r - n * f32(-2.12194440e-4)
    p = np.full_like(r, f32(1.9875691500e-4))
    for coefficient in (1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1):
        p = p * r + f32(coefficient)
    return n, p * (r * r) + r


def exponential(x: Floats) -> Floats:
    """The one exp of the simulator."""
    n, part = _reduced(x)
    return np.asarray(np.ldexp(part + f32(1), n.astype(np.int32)), np.float32)


def expm1(x: Floats) -> Floats:
    """``exp(x) - 1``, exact near zero."""
    n, part = _reduced(x)
    return np.asarray(np.where(n == 0, part, exponential(x) - f32(1)), np.float32)


def logarithm(x: Floats) -> Floats:
    """The one log of the simulator, of positive normal numbers."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    n = ((bits >> 23).astype(np.int32) - 126).astype(np.float32)
    r = ((bits & np.uint32(0x7FFFFF)) | np.uint32(0x3F000000)).view(np.float32)
    low = r < f32(0.707106781186547524)
    n = np.where(low, n - f32(1), n)
    r = np.where(low, (r + r) - f32(1), r - f32(1))
    z = r * r
    p = np.full_like(r, f32(7.0376836292e-2))
    for coefficient in (
        -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1, 2.0000714765e-1,
        -2.4999993993e-1, 3.3333331174e-1,
    ):  # fmt: skip
        p = p * r + f32(coefficient)
    y = (p * r) * z
    y = y + n * f32(-2.12194440e-4)
    y = y - f32(0.5) * z
    return np.asarray((r + y) + n * f32(0.693359375), np.float32)


def _polynomial(z: Floats, coefficients: tuple[float, ...]) -> Floats:
    p = np.full_like(z, f32(coefficients[0]))
    for coefficient in coefficients[1:]:
        p = p * z + f32(coefficient)
    return p


ERROR_WITHIN = (
    7.853861353153693e-5, -8.010193625184903e-4, 5.188327685732524e-3, -2.685381193529856e-2, 1.128358514861418e-1,
    -3.761262582423300e-1, 1.128379165726710e0,
)  # fmt: skip
ERROR_TO_TWO = (
    2.326819970068386e-2, -1.387039388740657e-1, 3.687424674597105e-1, -5.824733027278666e-1, 6.210004621745983e-1,
    -4.944515323274145e-1, 3.404879937665872e-1, -2.741127028184656e-1, 5.638259427386472e-1,
)  # fmt: skip
ERROR_FROM_TWO = (
    -1.047766399936249e1, 1.297719955372516e1, -7.495518717768503e0, 2.921019019210786e0, -1.015265279202700e0,
    4.218463358204948e-1, -2.820767439740514e-1, 5.641895067754075e-1,
)  # fmt: skip


def _error_within(x: Floats) -> Floats:
    return np.asarray(x * _polynomial(x * x, ERROR_WITHIN), np.float32)


def _error_beyond(a: Floats) -> Floats:
    """``1 - erf(a)`` for ``a`` of at least 1."""
    q = f32(1) / a
    z = q * q
    p = np.where(a < f32(2), _polynomial(z, ERROR_TO_TWO), _polynomial(z, ERROR_FROM_TWO))
    return np.asarray((exponential(-(a * a)) * q) * p, np.float32)


def _erf(x: Floats) -> Floats:
    a = np.abs(x)
    r = f32(1) - _error_beyond(a)
    return np.where(a < f32(1), _error_within(x), np.where(x > f32(0), r, -r))


def _gelu(x: Floats) -> Floats:
    z = x * f32(0.707106781186547524)
    a = np.abs(z)
    beyond = _error_beyond(a)
    twice = np.where(a < f32(1), f32(1) + _error_within(z), np.where(z > f32(0), f32(2) - beyond, beyond))
    return np.asarray((x * f32(0.5)) * twice, np.float32)


def _gelu_tanh(x: Floats) -> Floats:
    cubic = f32(0.044715) * (x * x)
    return x * sigmoid((x * f32(1.59576912160573071)) * (f32(1) + cubic))


def sigmoid(x: Floats) -> Floats:
    """``1 / (1 + exp(-x))``."""
    return np.asarray(f32(1) / (f32(1) + exponential(-x)), np.float32)


def _relu6(x: Floats) -> Floats:
    v = np.where(x > 0, x, f32(0))
    return np.asarray(np.where(v < f32(6), v, f32(6)), np.float32)


def _tanh(x: Floats) -> Floats:
    t = expm1(x * f32(2))
    return np.asarray(t / (t + f32(2)), np.float32)


def _mish(x: Floats) -> Floats:
    e = exponential(x)
    t = e * (e + f32(2))
    return np.where(x > f32(20), x, x * (t / (t + f32(2))))


def _softplus(x: Floats) -> Floats:
    e = exponential(x)
    u = f32(1) + e
    return np.where(x > f32(20), x, np.where(u == f32(1), e, logarithm(u) * (e / (u - f32(1)))))


def _clip(x: Floats, low: Any, high: Any) -> Floats:
    v = np.where(x > low, x, low)
    return np.where(v < high, v, high)


def activation(function: int, x: Floats, a: float = 0.0, b: float = 0.0, slope: Floats | None = None) -> Floats:
    """Function number ``function`` of FORMAT.md, ``slope`` for prelu alone: float32[C] or [1]."""
    slopes = f32(0) if slope is None else slope
    functions: dict[int, Callable[[], Any]] = {
        1: lambda: np.where(x > 0, x, f32(0)),
        2: lambda: np.where(x > 0, x, x * f32(a)),
        3: lambda: sigmoid(x),
        4: lambda: x * sigmoid(x),
        5: lambda: (x * _relu6(x + f32(3))) / f32(6),
        6: lambda: _mish(x),
        7: lambda: _relu6(x),
        8: lambda: _tanh(x),
        9: lambda: np.where(x > 0, x, x * slopes),
        10: lambda: _relu6(x + f32(3)) / f32(6),
        11: lambda: exponential(x),
        12: lambda: np.sqrt(x),
        13: lambda: _softplus(x),
        14: lambda: np.where(x > 0, x, f32(a) * expm1(x)),
        15: lambda: _clip(x, f32(a), f32(b)),
        16: lambda: _erf(x),
        17: lambda: _gelu(x),
        18: lambda: _gelu_tanh(x),
    }
    return np.asarray(functions[function](), np.float32)
