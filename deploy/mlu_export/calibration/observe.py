"""Observers: what calibration remembers of a layer's input, and the range that it makes of it.

``minmax``   the smallest and largest value seen, as the vendor's tool does. Never clips what calibration saw.
``mse``      the symmetric range whose quantization error, over a histogram of all magnitudes seen, is least. Clips rare
             large values, so that the common small ones keep finer steps.
``error2.5`` the same with the error to the power 2.5, which clips less.
``percentile`` the range that holds so many percent of all magnitudes seen. Clips the rest, whatever it costs.
``auto``     one of those, chosen by ``choose`` on pictures that did not calibrate.
``heads``    starts like ``mse`` but with the third power of the error, which clips less; then ``refine`` moves each
             range where the detections change least. Layers of 16 bits have steps to spare and take all that was seen.

What is remembered of several pictures is exact and knows no order: smallest and largest values, and whole numbers.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..values.ranges import Range, qmax_of

if TYPE_CHECKING:
    from ..values.arrays import FloatArray

OBSERVERS = ("auto", "mse", "error2.5", "minmax", "percentile", "heads")
USUAL_PERCENTILE = 99.99
BINS = 4096
SAMPLE = 1 << 17  # values of a tensor that the histogram takes, evenly spread; minimum and maximum take all
CANDIDATES = 200  # tried between a tenth of the largest magnitude and all of it
LEAST = 0.1
LEAST_LIMIT = 2.0**-100  # its bins' width is a number of float32, and so is its reciprocal
POWERS = {"mse": 2, "error2.5": 2.5, "heads": 3}


class LayerObserver:
    """Minimum and maximum of all that ``see`` was given, and a histogram of the magnitudes of evenly spread samples.

    The histogram has ``BINS`` equal bins from 0 to ``limit``, a power of two, each with its upper edge and without its
    lower one (zeros are in the first). A larger value doubles the limit and folds neighbouring bins together, which is
    exact, so one pass over the pictures is enough and histograms of different pictures can be added.
    """

    def __init__(self) -> None:
        self.low = np.inf
        self.high = -np.inf
        self.limit = 0.0
        self.counts: npt.NDArray[np.int64] = np.zeros(BINS, np.int64)

    def see(self, values: FloatArray) -> None:
        """Takes one tensor of any shape; values that are not finite end in ``low`` and ``high``."""
        low, high = float(values.min()), float(values.max())
        self.low, self.high = min(self.low, low), max(self.high, high)
        top = max(high, -low)
        if not np.isfinite(top):
            self.low = self.high = np.nan
            return
        if top > self.limit:
            self._grow(top)
        flat = values.ravel()
        sample = flat[:: (flat.size // SAMPLE) | 1]  # an odd step walks through all columns and channels
        if self.limit == 0:  # zeros alone so far
            self.counts[0] += sample.size
        else:
            bins = np.ceil(np.abs(sample) * np.float32(BINS / self.limit)).astype(np.int32)  # the product is exact
            self.counts += np.bincount(np.maximum(bins - 1, 0), minlength=BINS)

    @property
    def extremes(self) -> tuple[float, float]:
        """The smallest and largest value; 0 where nothing was seen, NaN where one of them was not finite."""
        return (self.low, self.high) if self.low <= self.high or math.isnan(self.low) else (0.0, 0.0)

    def merge(self, other: LayerObserver) -> None:
        """As if this one had seen what the other has, too."""
        if math.isnan(self.low) or math.isnan(other.low):
            self.low = self.high = math.nan
            return
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        if other.limit > self.limit:
            self._grow(other.limit)
        counts, limit = other.counts, other.limit
        while 0 < limit < self.limit:
            counts, limit = _fold(counts), limit * 2
        self.counts = self.counts + counts

    def _grow(self, top: float) -> None:
        fraction, exponent = math.frexp(top)
        wanted = max(LEAST_LIMIT, math.ldexp(1.0, exponent - (fraction == 0.5)))  # the first power of two >= top
        while 0 < self.limit < wanted:
            self.counts = _fold(self.counts)
            self.limit *= 2
        self.limit = max(self.limit, wanted)

    def finish(self, kind: str, bits: int, percent: float = USUAL_PERCENTILE) -> Range:
        """The range that this layer is to be quantized with; ``percent`` is for ``percentile``."""
        if kind == "minmax" or self.limit == 0 or (kind == "heads" and bits == 16):
            return Range(self.low, self.high)
        best = self.percentile(percent) if kind == "percentile" else self._least_error(bits, POWERS[kind])
        return Range(max(self.low, -best), min(self.high, best))

    def percentile(self, percent: float) -> float:
        """The magnitude that ``percent`` of all samples do not exceed: the upper edge of a bin."""
        sums = np.cumsum(self.counts)
        index = int(np.searchsorted(sums, sums[-1] * (percent / 100.0)))
        return min((index + 1) * self.limit / BINS, max(self.high, -self.low))

    def _least_error(self, bits: int, power: float) -> float:
        """The absmax with the least sum of errors to that power, magnitudes taken at the middle of their bins."""
        qmax = qmax_of(bits)
        largest = max(self.high, -self.low)
        used = np.flatnonzero(self.counts)
        centres = (used + 0.5) * (self.limit / BINS)
        weights = self.counts[used].astype(np.float64)
        tried = largest * np.linspace(LEAST, 1.0, CANDIDATES)
        errors = []
        for absmax in tried:
            codes = np.minimum(np.rint(centres * (qmax / absmax)), qmax)
            errors.append(float(weights @ np.abs(centres - codes * (absmax / qmax)) ** power))
        return float(tried[int(np.argmin(errors))])


def _fold(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The same counts in bins of twice the width."""
    return np.concatenate([counts.reshape(BINS // 2, 2).sum(axis=1), np.zeros(BINS // 2, np.int64)])
