"""Convolutions as sums (native/ARITHMETIC.md sections 2 and 3), of tensors (N, C, ...) that have their padding already.

Integers are summed in float64, which holds every sum that a network reaches exactly, so no order of additions matters.
Floats are summed tap by tap, in the document's order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

Sizes = tuple[int, ...]


def quantize_input(values: Any, scale: float, qmax: int) -> Any:
    """float64 integers ``rint(clamp(float32(x) * float32(scale)))``, ties to even; a NaN becomes ``-qmax``."""
    scaled = values.float() * torch.tensor(scale, dtype=torch.float32)
    scaled = torch.where(scaled > -qmax, scaled, torch.tensor(float(-qmax)))
    scaled = torch.where(scaled < qmax, scaled, torch.tensor(float(qmax)))
    return torch.round(scaled).double()


def padded(values: Any, before: Sizes, after: Sizes) -> Any:
    """Zeros around the spatial axes; negative sizes cut."""
    pads = [side for pair in zip(reversed(before), reversed(after)) for side in pair]
    return torch.nn.functional.pad(values, pads) if any(pads) else values


def integer_sums(values: Any, weight: Any, stride: Sizes, dilation: Sizes, groups: int) -> Any:
    """Exact sums of float64 integers, as float64; ``weight`` is [out, in / groups, ...], float64 integers too."""
    functional = torch.nn.functional
    convolution = {3: functional.conv1d, 4: functional.conv2d, 5: functional.conv3d}[weight.dim()]
    sums = convolution(values, weight, None, stride, 0, dilation, groups)
    return sums + 0.0  # an integer has no negative zero, though a single product of floats may be one


def float_sums(values: Any, weight: Any, stride: Sizes, dilation: Sizes, groups: int) -> Any:
    """``acc = acc + x * w`` over (taps, input channels of the group) in ascending order, two roundings each."""
    kernel = tuple(weight.shape[2:])
    sizes = [
        (size - (taps - 1) * spread - 1) // step + 1
        for size, taps, spread, step in zip(values.shape[2:], kernel, dilation, stride)
    ]
    sources = torch.arange(weight.shape[0]) // (weight.shape[0] // groups) * weight.shape[1]
    total = torch.zeros((values.shape[0], weight.shape[0], *sizes))
    for number, tap in enumerate(np.ndindex(kernel)):
        window = (Ellipsis,) + tuple(  # noqa: RUF005 - the comprehension reads better apart
            slice(at * spread, at * spread + (size - 1) * step + 1, step)
            for at, spread, size, step in zip(tap, dilation, sizes, stride)
        )
        for channel in range(weight.shape[1]):
            taken = values[:, sources + channel][window]
            total = total + taken * per_channel(weight[:, channel].reshape(weight.shape[0], -1)[:, number], total)
    return total


def per_channel(constants: Any, like: Any) -> Any:
    """[C] as a tensor that broadcasts over (N, C, ...)."""
    return constants.reshape(1, -1, *[1] * (like.dim() - 2))
