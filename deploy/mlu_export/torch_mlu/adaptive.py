"""``adaptive_quantize`` and ``dequantize``, as far as inference goes: layers are swapped, and swapped back."""

from __future__ import annotations

from typing import Any

import torch

from mlu_agent.errors import UserError

from ..quantizer.dynamic import quantize_dynamic_mlu
from ..quantizer.modules import MLUConv1d, MLUConv2d, MLUConv3d, MLULayer, MLULinear
from .settings import SETTINGS

DTYPES = {8: "int8", 16: "int16"}
FLOAT_BITS = 31  # the vendor's number for layers that stay in float
PLAIN = {
    MLUConv1d: torch.nn.Conv1d,
    MLUConv2d: torch.nn.Conv2d,
    MLUConv3d: torch.nn.Conv3d,
    MLULinear: torch.nn.Linear,
}


def adaptive_quantize(model: Any, steps_per_epoch: int = 1, bitwidth: int = 8, inplace: bool = False, **_: Any) -> Any:
    """A copy of ``model`` (itself with ``inplace``) whose layers observe ``steps_per_epoch`` calls on the CPU.

    The vendor's gathers statistics while training, gradients included; here only what goes in at inference is seen.
    """
    if bitwidth == FLOAT_BITS:
        return model
    if bitwidth not in DTYPES:
        raise UserError(f"adaptive_quantize(bitwidth={bitwidth!r}): give 8, 16 or 31 (float)")
    SETTINGS.warn(
        "adaptive_quantize gathers no statistics of training here: layers observe the forward calls on the CPU, and "
        "run with what they saw. For a trained model quantize_dynamic_mlu says the same more clearly"
    )
    spec = {"iteration": max(1, int(steps_per_epoch)), "firstconv": False}
    was_training = getattr(model, "training", False)
    made = quantize_dynamic_mlu(model, spec, dtype=DTYPES[bitwidth], inplace=inplace, gen_quant=True)
    return made.train(was_training)


def dequantize(model: Any, inplace: bool = True, **_: Any) -> Any:
    """Puts float layers back where quantized ones are; they share the weights. Returns the model."""
    del inplace
    for name, child in list(model.named_children()):
        if isinstance(child, MLULayer):
            model._modules[name] = _plain(child)  # noqa: SLF001 - also where names are no identifiers
        else:
            dequantize(child)
    return model


def _plain(layer: MLULayer) -> Any:
    kind: Any = PLAIN[type(layer)]
    has_bias = layer.bias is not None
    if isinstance(layer, MLULinear):
        made = kind(layer.in_features, layer.out_features, bias=has_bias)
    else:
        one: Any = layer
        made = kind(
            one.in_channels,
            one.out_channels,
            one.kernel_size,
            one.stride,
            one.padding,
            one.dilation,
            one.groups,
            has_bias,
        )
    made.weight = layer.weight
    if has_bias:
        made.bias = layer.bias
    return made.train(layer.training)
