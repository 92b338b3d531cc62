"""Where the numbers of a Darknet network come from: its own weight file, or a state dict of a PyTorch port."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from mlu_agent.errors import DataError

from ...values.graph import BatchNorm
from .weights import WeightStream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...formats.state_dict import StateDict
    from ...values.arrays import FloatArray
    from ...values.quantizer_parameters import QuantParameters

# Batch-norm as in the ports that the reference figures were taken with.
BN_EPS = 1e-5
# What a convolution and its batch-norm are called: by the vendor's port, and by the public one that it came from.
LAYOUTS = {
    "vendor": ("module_list.{0}.Conv2d", "module_list.{0}.BatchNorm2d"),
    "upstream": ("module_list.{0}.conv_{0}", "module_list.{0}.batch_norm_{0}"),
}
_GRIDS = re.compile(r"module_list\.\d+\.yolo_\d+\.(grid_[xy]|scaled_anchors|anchor_[wh]|anchors|anchor_grid)")
_LAYER = re.compile(r"module_list\.(\d+)\.(Conv2d|conv_\d+|BatchNorm2d|batch_norm_\d+)\.")


@dataclass(frozen=True)
class ConvValues:
    """One convolution: weights ``[out, in / groups, kernel, kernel]`` and its bias or batch-norm."""

    weight: FloatArray
    bias: FloatArray | None
    norm: BatchNorm | None


class Values(Protocol):
    """Hands out the convolutions in the order of the cfg."""

    def convolution(self, index: int, name: str, shape: tuple[int, int, int, int], normalize: bool) -> ConvValues:
        """The values of the convolution in section ``index``; raises DataError naming the layer that does not fit."""

    def finish(self) -> Sequence[str]:
        """Warnings about what was left over; raises DataError if that shows another network."""

    def quantized(self) -> dict[str, QuantParameters] | None:
        """The quantization of each layer by name, None for float weights."""


class StreamValues:
    """A ``.weights`` file: batch-norm beta, gamma, mean, variance (or the bias alone), then the weights."""

    def __init__(self, data: bytes) -> None:
        self._stream = WeightStream(data)

    def convolution(self, index: int, name: str, shape: tuple[int, int, int, int], normalize: bool) -> ConvValues:
        del index  # the file is one stream in the order of the cfg
        filters, take = shape[:1], self._stream.take
        bias = norm = None
        if normalize:
            beta, gamma, mean, variance = (
                take(shape[0], filters, name, f"batch-norm {what}") for what in ("beta", "gamma", "mean", "variance")
            )
            norm = _checked(BatchNorm(gamma, beta, mean, variance, BN_EPS), name)
        else:
            bias = take(shape[0], filters, name, "bias")
        return ConvValues(take(shape[0] * shape[1] * shape[2] * shape[3], shape, name, "weights"), bias, norm)

    def finish(self) -> Sequence[str]:
        self._stream.finish()
        return ()

    def quantized(self) -> None:
        return None


class StateValues:
    """A state dict in either key layout, float or quantized, with batch-norm or with it already folded in."""

    def __init__(self, state: StateDict) -> None:
        self._state = state
        self._layout = layout_of(state)
        self._quantized: dict[str, QuantParameters] = {}

    def convolution(self, index: int, name: str, shape: tuple[int, int, int, int], normalize: bool) -> ConvValues:
        key, norm_key = (template.format(index) for template in LAYOUTS[self._layout])
        weight = self._state.take(f"{key}.weight", shape)
        folded = normalize and f"{key}.bias" in self._state and f"{norm_key}.weight" not in self._state
        bias = norm = None
        if normalize and not folded:
            gamma, beta, mean, variance = (
                self._state.take(f"{norm_key}.{what}", shape[:1])
                for what in ("weight", "bias", "running_mean", "running_var")
            )
            norm = _checked(BatchNorm(gamma, beta, mean, variance, BN_EPS), name)
        else:
            bias = self._state.take(f"{key}.bias", shape[:1])
        parameters = self._state.quantization(key, name, shape[0])
        if parameters is not None:
            self._quantized[name] = parameters
        return ConvValues(weight, bias, norm)

    def finish(self) -> Sequence[str]:
        left = [key for key in self._state.unread() if not _GRIDS.fullmatch(key)]
        foreign = [key for key in left if _LAYER.match(key)]
        if foreign:
            raise DataError(
                f"{foreign[0]} belongs to no convolution of this network: the checkpoint is of another network or cfg"
            )
        return self._state.leftovers(left)

    def quantized(self) -> dict[str, QuantParameters] | None:
        return self._quantized or None


def layout_of(state: StateDict) -> str:
    """``vendor`` or ``upstream``; raises DataError where no key is of either."""
    for key in state:
        match = _LAYER.match(key)
        if match:
            return "vendor" if match.group(2) in ("Conv2d", "BatchNorm2d") else "upstream"
    raise DataError(
        f"its first key is {state.first!r:.60}, where a Darknet network's state dict has module_list.0.Conv2d.weight "
        "or module_list.0.conv_0.weight: it is of another network"
    )


def conv_key(index: int, layout: str = "vendor") -> str:
    """What a state dict calls the convolution of section ``index``."""
    return LAYOUTS[layout][0].format(index)


def _checked(norm: BatchNorm, name: str) -> BatchNorm:
    if (norm.variance < 0).any():
        raise DataError(f"layer {name}: a batch-norm variance is negative; the weights do not belong to this cfg")
    return norm
