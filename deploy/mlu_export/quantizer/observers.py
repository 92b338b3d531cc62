"""What calibration remembers of a layer's input, by the vendor's rules; and the scales made of it.

The vendor's range is one minimum and one maximum of the whole tensor, times ``data_scale``. With ``use_avg`` they are
averages over the forward calls in which the first call counts twice: ``(2 x1 + x2 + ... + xn) / (n + 1)``.
``percentile`` and ``mse`` are ours.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import torch

from ..calibration.observe import LayerObserver
from ..values.ranges import qmax_of

if TYPE_CHECKING:
    from .scheme import Scheme

FULL = "[warning] It seems that evaluation reaches maxium img_num or iteration is in network. Quantization still works."
UNOBSERVED = "Must run observer before calling calculate_qparams. Returning default scale 1"


class MinMaxObserver(torch.nn.Module):  # type: ignore[misc]
    """Observes up to ``scheme.iteration`` tensors. It has no parameters: a state dict shows it in its metadata only."""

    def __init__(self, bits: int, scheme: Scheme) -> None:
        super().__init__()
        self.bits = bits
        self.scheme = scheme
        self.calls = 0  # observed, at most scheme.iteration
        self.ignored = 0  # came after those
        self.low: float | None = None
        self.high: float | None = None

    def forward(self, values: Any, *_others: Any) -> None:
        """Takes one tensor of any shape; beyond the wanted number of calls it says so once and takes no more."""
        if self.calls >= self.scheme.iteration:
            if not self.ignored:  # the vendor repeats it at each call and layer, which hides everything else
                print(FULL)
            self.ignored += 1
            return
        self.calls += 1
        self._observe(values.detach())

    def _observe(self, values: Any) -> None:
        low = values.min().item() * self.scheme.data_scale
        high = values.max().item() * self.scheme.data_scale
        if self.low is None or self.high is None:
            self.low, self.high = low, high
        elif self.scheme.use_avg:
            weight = float(self.calls)
            self.low = (self.low * weight + low) / (weight + 1)
            self.high = (self.high * weight + high) / (weight + 1)
        elif not (math.isnan(self.low) or math.isnan(self.high)):  # a NaN stays
            self.low = low if math.isnan(low) else min(self.low, low)
            self.high = high if math.isnan(high) else max(self.high, high)

    def scale(self, layer: str = "") -> float:
        """``qmax / absmax``; 1 with a warning where nothing or something not finite was seen, 1 for all zeros."""
        return scale_of(self.low, self.high, self.bits, layer)

    def extra_repr(self) -> str:
        return f"min_val={self.low}, max_val={self.high}"


class HistogramObserver(MinMaxObserver):
    """Also keeps a histogram of magnitudes, and makes a clipped range of it: ``percentile`` or least ``mse``."""

    def __init__(self, bits: int, scheme: Scheme) -> None:
        super().__init__(bits, scheme)
        self.histogram = LayerObserver()

    def _observe(self, values: Any) -> None:
        super()._observe(values)
        self.histogram.see(values.float().numpy())

    def scale(self, layer: str = "") -> float:
        if self.low is None or self.high is None or not self.histogram.counts.any():
            return super().scale(layer)
        if self.scheme.method == "mse":
            top = self.histogram.finish("mse", self.bits).absmax
        else:
            top = self.histogram.percentile(self.scheme.percentile)
        top *= self.scheme.data_scale
        return scale_of(max(self.low, -top), min(self.high, top), self.bits, layer)


def make_observer(bits: int, scheme: Scheme) -> MinMaxObserver:
    """The observer of ``scheme.method``."""
    return MinMaxObserver(bits, scheme) if scheme.method == "minmax" else HistogramObserver(bits, scheme)


def scale_of(low: float | None, high: float | None, bits: int, layer: str = "") -> float:
    """The scale of a range in float64: ``qmax / max(high, -low)``, and 1 for what has no scale (with a warning)."""
    if low is None or high is None:
        warnings.warn(f"{_where(layer)}{UNOBSERVED}", stacklevel=2)
        return 1.0
    if not (math.isfinite(low) and math.isfinite(high)):
        warnings.warn(
            f"{_where(layer)}Your network weight or input have nan value, which can't be quantized. Its scale is 1",
            stacklevel=2,
        )
        return 1.0
    absmax = max(high, -low)
    return qmax_of(bits) / absmax if absmax > 0 else 1.0


def weight_scale(weight: Any, bits: int, layer: str = "") -> float:
    """``qmax / absmax`` over the whole tensor."""
    return scale_of(weight.detach().min().item(), weight.detach().max().item(), bits, layer)


def weight_scales(weight: Any, bits: int, data_scale: float, layer: str = "") -> list[float]:
    """One scale per output channel; the vendor multiplies by ``data_scale`` here too, though not for whole tensors."""
    flat = weight.detach().flatten(1)
    lows, highs = ((values * data_scale).tolist() for values in (flat.min(1)[0], flat.max(1)[0]))
    return [scale_of(low, high, bits, layer) for low, high in zip(lows, highs)]


def _where(layer: str) -> str:
    return f"layer {layer}: " if layer else ""
