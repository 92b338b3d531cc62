"""Logits and thresholds: what decoding compares before it computes anything."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
# The comparison of logits only has to lose nothing: what it lets through is compared again as a confidence.
MARGIN = 1e-3


def sigmoid(x: Floats) -> Floats:
    """1 / (1 + exp(-x)), elementwise; the overflow of exp gives the right 0."""
    result: Floats = np.float32(1) / (np.float32(1) + np.exp(-x))
    return result


def logit(probability: float) -> float:
    """The logit whose sigmoid is ``probability``; for 1 the least that a float32 sigmoid may round to 1."""
    if probability <= 0:
        return -math.inf
    if probability >= 1:
        return 16.0  # from here on a float32 sigmoid may round to 1
    return math.log(probability / (1 - probability))


def may_pass(values: NDArray[Any], threshold: float) -> NDArray[np.bool_]:
    """Where float16 or float32 ``values``, of any shape, are at least ``threshold``, or NaN (which is counted later);
    float16 may let through a step below it."""
    if values.dtype == np.float32:
        passed: NDArray[np.bool_] = np.less(np.ascontiguousarray(values), np.float32(threshold))
        return np.logical_not(passed, out=passed)
    # Bits of a float16 order as unsigned integers, backwards for negative numbers; above 0xfc00 are the negative NaNs.
    bits = np.ascontiguousarray(values).view(np.uint16)
    limit = _half_below(threshold)
    passed = bits > np.uint16(0xFC00)
    if limit >= 0x8000:
        passed |= bits <= limit
    else:
        passed |= (bits >= limit) & (bits < np.uint16(0x8000))
    return passed


@lru_cache(maxsize=64)
def _half_below(threshold: float) -> np.uint16:
    """Bits of the largest float16 below ``threshold``, or of the one before that."""
    limit: np.uint16 = np.nextafter(np.float16(max(-60000.0, min(60000.0, threshold))), np.float16(-np.inf)).view(
        np.uint16
    )
    return limit
