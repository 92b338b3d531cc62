"""Symmetric quantization of weights and the scales of quantized layers (native/ARITHMETIC.md sections 2 and 3)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mlu_agent.errors import DataError

if TYPE_CHECKING:
    from .arrays import FloatArray

# int8 sums of longer kernels could leave 32 bits: floor((2^31 - 1) / 127^2)
MAX_INT8_KERNEL = 133_143


@dataclass(frozen=True)
class Range:
    """Smallest and largest value that calibration saw at a layer's input."""

    low: float
    high: float

    @property
    def absmax(self) -> float:
        return max(self.high, -self.low)


@dataclass(frozen=True)
class LayerRange(Range):
    """A range with rules of its own, which come before those of the network: bits, granularity, and the magnitudes
    that the weights are quantized with (one, or one per output channel; None: their own)."""

    bits: int = 8
    per_channel: bool = True
    weight_absmax: tuple[float, ...] | None = None


def storable(seen: Range, bits: int) -> Range:
    """The range as a checkpoint can tell it: its scale is a float32, and so the magnitude is what that scale says.

    What is built from calibration and what is compiled from the checkpoint of the same calibration are then equal.
    """
    qmax = qmax_of(bits)
    if not (seen.absmax > 0 and np.isfinite(seen.absmax)):
        return seen
    with np.errstate(over="ignore"):
        scale = float(np.float32(qmax / seen.absmax))
    if not 0 < scale < np.inf:
        return seen  # refused later, in a sentence that names the layer
    top = qmax / scale
    if seen.high >= -seen.low:
        return replace(seen, low=max(seen.low, -top), high=top)
    return replace(seen, low=-top, high=min(seen.high, top))


@dataclass(frozen=True)
class QuantizedWeights:
    """Integer weights ``[out, kernel_h, kernel_w, in / groups]``, ``scale`` float32[out] and the activation's scale."""

    weight: npt.NDArray[Any]
    scale: FloatArray
    quant_scale: float


def qmax_of(bits: int) -> int:
    """The largest code of symmetric quantization: 127 of 8 bits, 32767 of 16."""
    return (1 << (bits - 1)) - 1


def quantize_weights(weight: FloatArray, observed: Range, bits: int, per_channel: bool, name: str) -> QuantizedWeights:
    """Quantizes ``[out, in, kernel_h, kernel_w]``: ``q = clamp(rint(w * (qmax / absmax)))`` in float64, ties to even.

    ``scale[o] = float32(absmax_x * absmax_w[o] / qmax^2)``; an absmax of zero means a scale of one. Raises DataError
    where int8 sums could overflow or a scale leaves float32. A ``LayerRange`` overrides ``bits`` and ``per_channel``.
    """
    given = None
    if isinstance(observed, LayerRange):
        bits, per_channel, given = observed.bits, observed.per_channel, observed.weight_absmax
    qmax = qmax_of(bits)
    volume = int(np.prod(weight.shape[1:]))
    if bits == 8 and volume > MAX_INT8_KERNEL:
        raise DataError(
            f"layer {name}: a kernel of {volume} values exceeds {MAX_INT8_KERNEL}, int8 sums could overflow; use int16"
        )
    absmax_w = _absmax(weight, per_channel, qmax) if given is None else np.resize(np.array(given), weight.shape[0])
    values = np.rint(weight.astype(np.float64) * (qmax / absmax_w)[:, None, None, None])
    dtype = np.int8 if bits == 8 else np.dtype("<i2")
    integers = np.clip(values, -qmax, qmax).astype(dtype).transpose(0, 2, 3, 1)
    absmax_x = observed.absmax if observed.absmax > 0 else float(qmax)
    with np.errstate(over="ignore"):  # what leaves float32 is refused below, in a sentence
        scale = (absmax_x * absmax_w / (qmax * qmax)).astype(np.float32)
        quant_scale = float(np.float32(qmax / absmax_x))
    if not (np.isfinite(scale).all() and (scale > 0).all() and np.isfinite(quant_scale) and quant_scale > 0):
        raise DataError(f"layer {name}: inputs up to {absmax_x:g} cannot be quantized: its scale leaves float32")
    return QuantizedWeights(np.ascontiguousarray(integers), scale, quant_scale)


def _absmax(weight: FloatArray, per_channel: bool, qmax: int) -> npt.NDArray[np.float64]:
    flat: npt.NDArray[np.float64] = np.abs(weight.astype(np.float64)).reshape(weight.shape[0], -1).max(axis=1)
    if not per_channel:
        flat = np.full_like(flat, flat.max())
    flat[flat == 0] = float(qmax)
    return flat
