"""The quantization of one layer as the checkpoint holds it, and as the lowering wants it. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlu_agent.errors import DataError

from .ranges import LayerRange, Range, qmax_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .arrays import FloatArray

# quantized_mode: 1 int8, 2 int16 and the same per output channel; 0 is a layer in float.
MODE_BITS = {1: 8, 2: 16, 3: 8, 4: 16}


@dataclass(frozen=True)
class QuantParameters:
    """``input_scale`` and ``weight_scale`` (one, or one per output channel) are float32 values of ``qmax / absmax``.

    ``mean`` and ``std`` are per input channel on the scale 0..255 and belong to a first convolution that normalises:
    ``(x - mean) / std``.
    """

    input_scale: float
    weight_scale: tuple[float, ...]
    mode: int
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    @property
    def bits(self) -> int:
        return MODE_BITS[self.mode]

    @property
    def qmax(self) -> int:
        return qmax_of(self.bits)

    @property
    def per_channel(self) -> bool:
        return self.mode >= 3

    def layer_range(self, weight: FloatArray) -> LayerRange:
        """What ``lower`` needs to store exactly these scales; ``weight`` is ``[out, ...]``, unquantized.

        A scale that is the weights' own is taken from them in full precision, as the vendor's compiler does; another
        one (``data_scale``) is kept as given.
        """
        qmax = self.qmax
        absmax_x = qmax / self.input_scale
        given = np.array(self.weight_scale, np.float64)
        flat = np.abs(weight.astype(np.float64)).reshape(weight.shape[0], -1).max(axis=1)
        own = flat if self.per_channel else np.array([flat.max()])
        if given.size != own.size:
            raise DataError(f"{given.size} weight scales are given for {own.size} output channels")
        own[own == 0] = float(qmax)
        same = (qmax / own).astype(np.float32) == given.astype(np.float32)
        absmax_w = np.where(same, own, qmax / given)
        return LayerRange(-absmax_x, absmax_x, self.bits, self.per_channel, tuple(absmax_w.tolist()))


def scaled_range(seen: Range, weight: FloatArray, bits: int, data_scale: float) -> LayerRange:
    """The range of a layer whose weights, per output channel, have the vendor's ``data_scale``, as a checkpoint says.

    ``seen`` has the factor already.
    """
    qmax = qmax_of(bits)
    flat = weight.reshape(weight.shape[0], -1) * np.float32(data_scale)
    tops = np.maximum(flat.max(1), -flat.min(1)).astype(np.float64)
    tops[tops <= 0] = qmax
    scales = tuple(float(np.float32(qmax / top)) for top in tops)
    absmax = seen.absmax if seen.absmax > 0 else float(qmax)
    return QuantParameters(float(np.float32(qmax / absmax)), scales, 3 if bits == 8 else 4).layer_range(weight)


def parameters_of(
    scale: Sequence[float],
    mode: int,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    layer: str = "",
) -> QuantParameters:
    """The parameters of the vendor's operators: ``scale`` is input, weight, then any one per output channel.

    Raises DataError naming the layer where a scale is not a positive number.
    """
    if mode not in MODE_BITS:
        raise DataError(f"layer {layer}: quantized_mode is {mode}; 1 to 4 exist")
    weights = tuple(scale[2:] if mode >= 3 else scale[1:2])
    for what, values in (("input", tuple(scale[:1])), ("weight", weights), ("input_std", std or (1.0,))):
        if not values or not all(np.isfinite(value) and value > 0 for value in values):
            raise DataError(
                f"layer {layer}: the scale of its {what} is not a positive number; the checkpoint is damaged"
            )
    return QuantParameters(scale[0], weights, mode, mean, std)
