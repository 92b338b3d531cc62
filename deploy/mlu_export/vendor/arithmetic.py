"""What a convolution or linear layer computes in the simulator, in torch: native/ARITHMETIC.md sections 2 and 3.

Integers are summed in float64, which holds every sum that a network reaches exactly, so no order of additions matters.
Float layers are summed tap by tap, in the document's order. Results are float32, before the one rounding to the
output's dtype: whoever fuses a batch-norm applies it there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..quantize import qmax_of, quantize_weights

if TYPE_CHECKING:
    from .parameters import QuantParameters

Pair = tuple[int, ...]


def normalize(values: Any, mean: tuple[float, ...], std: tuple[float, ...]) -> Any:
    """``(x - mean) / std`` per channel of (N, C, H, W) in float32, rounded once to the dtype of ``values``."""
    dtype = values.dtype if values.dtype.is_floating_point else torch.float16
    shape = (1, -1, 1, 1)
    low, step = (torch.tensor(constants, dtype=torch.float32).reshape(shape) for constants in (mean, std))
    return ((values.float() - low) / step).to(dtype)


def quantize_input(values: Any, scale: float, qmax: int) -> Any:
    """float64 integers ``rint(clamp(float32(x) * float32(scale)))``, ties to even; a NaN becomes ``-qmax``."""
    scaled = values.float() * torch.tensor(scale, dtype=torch.float32)
    scaled = torch.where(scaled > -qmax, scaled, torch.tensor(float(-qmax)))
    scaled = torch.where(scaled < qmax, scaled, torch.tensor(float(qmax)))
    return torch.round(scaled).double()


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
    options = (stride, padding, dilation, groups)
    if parameters is None or is_depthwise(weight, groups):
        result = _float_sums(values.float(), weight.float(), *options)
    else:
        integers, scale = _integer_weights(weight, parameters, name)
        taken = quantize_input(values, parameters.input_scale, qmax_of(parameters.bits))
        result = _convolution(weight)(taken, integers, None, *options).float()
        result = result * _per_channel(scale, result)
    return result if bias is None else result + _per_channel(bias.float(), result)


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


def _convolution(weight: Any) -> Any:
    functional = torch.nn.functional
    return {3: functional.conv1d, 4: functional.conv2d, 5: functional.conv3d}[weight.dim()]


def _per_channel(constants: Any, like: Any) -> Any:
    return constants.reshape(1, -1, *[1] * (like.dim() - 2))


def _float_sums(values: Any, weight: Any, stride: Pair, padding: Pair, dilation: Pair, groups: int) -> Any:
    """``acc = acc + x * w`` over (taps, input channels of the group) in ascending order, two roundings each."""
    kernel = tuple(weight.shape[2:])
    pads = [side for axis in reversed(padding) for side in (axis, axis)]
    padded = torch.nn.functional.pad(values, pads)
    sizes = [
        (size - (taps - 1) * spread - 1) // step + 1
        for size, taps, spread, step in zip(padded.shape[2:], kernel, dilation, stride)
    ]
    sources = torch.arange(weight.shape[0]) // (weight.shape[0] // groups) * weight.shape[1]
    total = torch.zeros((values.shape[0], weight.shape[0], *sizes))
    for number, tap in enumerate(np.ndindex(kernel)):
        window = (Ellipsis,) + tuple(  # noqa: RUF005 - the comprehension reads better apart
            slice(at * spread, at * spread + (size - 1) * step + 1, step)
            for at, spread, size, step in zip(tap, dilation, sizes, stride)
        )
        for channel in range(weight.shape[1]):
            taken = padded[:, sources + channel][window]
            total = total + taken * _per_channel(weight[:, channel].reshape(weight.shape[0], -1)[:, number], total)
    return total
