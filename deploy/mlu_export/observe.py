"""Observers: what calibration remembers of a layer's input, and the range that it makes of it.

``minmax``   the smallest and largest value seen, as the vendor's tool does. Never clips what calibration saw.
``mse``      the symmetric range whose quantization error, over a histogram of all magnitudes seen, is least. Clips rare
             large values, so that the common small ones keep finer steps.
``heads``    starts like ``mse`` but with the third power of the error, which clips less; then ``refine`` moves each
             range where the detections change least.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .quantize import Range, qmax_of

if TYPE_CHECKING:
    from .graph import FloatArray

OBSERVERS = ("heads", "mse", "minmax")
BINS = 4096
SAMPLE = 1 << 17  # values of a tensor that the histogram takes, evenly spread; minimum and maximum take all
CANDIDATES = 200  # tried between a tenth of the largest magnitude and all of it
LEAST = 0.1
POWERS = {"mse": 2, "heads": 3}


class LayerObserver:
    """Minimum and maximum of all that ``see`` was given, and a histogram of the magnitudes of evenly spread samples.

    The histogram has ``BINS`` equal bins from 0 to ``limit``, a power of two; a larger value doubles the limit and
    folds neighbouring bins together, so one pass over the pictures is enough.
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
        if self.limit > 0:
            flat = values.ravel()
            sample = flat[:: (flat.size // SAMPLE) | 1]  # an odd step walks through all columns and channels
            bins = (np.abs(sample) * np.float32(BINS / self.limit)).astype(np.int32)
            self.counts += np.bincount(np.minimum(bins, BINS - 1), minlength=BINS)

    def _grow(self, top: float) -> None:
        wanted = float(2.0 ** np.ceil(np.log2(top)))
        while 0 < self.limit < wanted:
            folded = self.counts.reshape(BINS // 2, 2).sum(axis=1)
            self.counts = np.concatenate([folded, np.zeros(BINS // 2, np.int64)])
            self.limit *= 2
        self.limit = max(self.limit, wanted)

    def finish(self, kind: str, bits: int) -> Range:
        """The range that this layer is to be quantized with."""
        if kind == "minmax" or self.limit == 0:
            return Range(self.low, self.high)
        best = self._least_error(bits, POWERS[kind])
        return Range(max(self.low, -best), min(self.high, best))

    def _least_error(self, bits: int, power: int) -> float:
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
