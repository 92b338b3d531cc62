"""What a convolution or linear layer with a checkpoint's parameters computes in the simulator, in torch.

Results are float32, before the one rounding to the output's dtype: whoever fuses a batch-norm applies it there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..runners.exact.sums import float_sums, integer_sums, padded, per_channel, quantize_input
from ..values.ranges import qmax_of, quantize_weights

if TYPE_CHECKING:
    from ..values.quantizer_parameters import QuantParameters

Pair = tuple[int, ...]


def normalize(values: Any, mean: tuple[float, ...], std: tuple[float, ...]) -> Any:
    """``(x - mean) / std`` per channel of (N, C, H, W) in float32, rounded once to the dtype of ``values``."""
    dtype = values.dtype if values.dtype.is_floating_point else torch.float16
    shape = (1, -1, 1, 1)
    low, step = (torch.tensor(constants, dtype=torch.float32).reshape(shape) for constants in (mean, std))
    return ((values.float() - low) / step).to(dtype)


def convolve(
    values: Any,
    weight: Any,
    bias: Any,
    parameters: QuantParameters | None,
    *,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    name: str = "",
) -> Any:
    """A convolution of (N, C, ...) with as many spatial axes as ``weight`` [out, in / groups, ...] has, in float32.

    Depthwise weights and layers without parameters stay in float, as the vendor's compiler keeps them.
    """
    options = (stride, dilation, groups)
    if parameters is None or is_depthwise(weight, groups):
        result = float_sums(padded(values.float(), padding, padding), weight.float(), *options)
    else:
        integers, scale = _integer_weights(weight, parameters, name)
        taken = quantize_input(values, parameters.input_scale, qmax_of(parameters.bits))
        result = integer_sums(padded(taken, padding, padding), integers, *options).float()
        result = result * per_channel(scale, result)
    return result if bias is None else result + per_channel(bias.float(), result)


def linear(values: Any, weight: Any, bias: Any, parameters: QuantParameters | None, name: str = "") -> Any:
    """A linear layer over the last axis: a 1x1 convolution, in float32."""
    flat = values.reshape(-1, values.shape[-1], 1, 1)
    unit: dict[str, Any] = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
    result = convolve(flat, weight[:, :, None, None], bias, parameters, **unit, name=name)
    return result.reshape(*values.shape[:-1], weight.shape[0])


def is_depthwise(weight: Any, groups: int) -> bool:
    """One input channel per group."""
    return bool(groups > 1 and weight.shape[1] == 1)


def _integer_weights(weight: Any, parameters: QuantParameters, name: str) -> tuple[Any, Any]:
    """float64 integers in the weights' shape, and float32 scale[out], as the model file will hold them."""
    array = weight.detach().float().numpy()
    flat = array.reshape(array.shape[0], -1, 1, 1)
    done = quantize_weights(flat, parameters.layer_range(array), parameters.bits, parameters.per_channel, name)
    integers = done.weight.reshape(array.shape).astype(np.float64)  # [out, 1, 1, in * taps]: the order is kept
    return torch.from_numpy(integers), torch.from_numpy(done.scale)
