"""``quantize_dynamic_mlu``: swaps the layers of a ``torch.nn.Module`` for the vendor's quantized ones."""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from ..values.quantizer_parameters import QuantParameters
from .mixed import read_mixed, scheme_of_mixed
from .modules import MLUConv1d, MLUConv2d, MLUConv3d, MLULayer, MLULinear
from .scheme import DTYPES, QuantizeError, Scheme, read_scheme

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "DEFAULT_MAPPING",
    "MLUConv1d",
    "MLUConv2d",
    "MLUConv3d",
    "MLULayer",
    "MLULinear",
    "QuantParameters",
    "QuantizeError",
    "Scheme",
    "quantize_dynamic_mlu",
    "quantized_layers",
]

# By exact type, or by the name that a class gives itself.
DEFAULT_MAPPING: dict[Any, type[MLULayer]] = {
    torch.nn.Conv1d: MLUConv1d,
    torch.nn.Conv2d: MLUConv2d,
    torch.nn.Conv3d: MLUConv3d,
    torch.nn.Linear: MLULinear,
    "Conv2d": MLUConv2d,
}


def quantize_dynamic_mlu(
    model: Any,
    qconfig_spec: Mapping[str, Any] | None = None,
    dtype: str | None = None,
    mapping: Mapping[Any, Any] | None = None,
    inplace: bool = False,
    gen_quant: bool = False,
    mixed_layer: Mapping[str, str] | None = None,
) -> Any:
    """A copy of ``model`` (or itself, with ``inplace``) with quantized layers in place of its convolutions and linears.

    With ``gen_quant`` the layers observe their inputs in the next forward calls, and ``state_dict()`` then holds the
    checkpoint; ``dtype`` is "int8" or "int16", and ``mixed_layer`` gives some layers another width, or "float16": one
    that is not quantized. Without it, they wait for ``load_state_dict`` of such a checkpoint, which tells the widths.
    The root module itself is never replaced. Raises QuantizeError (also a ValueError) for wrong arguments.
    """
    if not isinstance(model, torch.nn.Module):
        raise QuantizeError(f"quantize_dynamic_mlu needs a torch.nn.Module; it was given {type(model).__name__}")
    scheme, bits = _observation(qconfig_spec, dtype) if gen_quant else _run_only(qconfig_spec)
    swap = _Swap(DEFAULT_MAPPING if mapping is None else mapping, scheme, bits)
    swap.mixed = read_mixed(
        mixed_layer, [name for name, child in model.named_modules(remove_duplicate=False) if name and swap.kind(child)]
    )
    if not inplace:
        model = _copied(model)
    model.eval()
    unspent = MLUConv2d.is_first_layer
    if not swap.children(model):
        warnings.warn(
            "no Conv1d, Conv2d, Conv3d or Linear was found below the model: nothing was quantized. A model that is one "
            "layer itself must be put into a Sequential",
            stacklevel=2,
        )
    if scheme is not None and not unspent and isinstance(qconfig_spec, dict) and qconfig_spec.get("firstconv"):
        warnings.warn(
            "firstconv applies to the first convolution quantized in a process, and that was another one: this model "
            "expects normalised input. Set MLUConv2d.is_first_layer = True before, or quantize in a process of its own",
            stacklevel=2,
        )
    return model


def quantized_layers(model: Any) -> Iterator[tuple[str, MLULayer]]:
    """Name and layer of every swapped layer, in order."""
    for name, module in model.named_modules():
        if isinstance(module, MLULayer):
            yield name, module


def _observation(spec: Any, dtype: Any) -> tuple[Scheme, int]:
    if spec is None:
        return Scheme(), 8 if dtype is None else _bits(dtype)
    if not isinstance(spec, dict):
        raise QuantizeError(f"Unknown qconfig_spec: it is a {type(spec).__name__}; give a dict")
    return read_scheme(spec), _bits(dtype)


def _bits(dtype: Any) -> int:
    if dtype not in DTYPES:
        raise QuantizeError(f"Unknow dtype for quantization: {dtype!r}; give 'int8' or 'int16'")
    return DTYPES[dtype]


def _run_only(spec: Any) -> tuple[None, int]:
    if spec is not None and not isinstance(spec, dict):
        raise QuantizeError(f"Unknown qconfig_spec: it is a {type(spec).__name__}; give a dict")
    return None, 8


def _copied(model: Any) -> Any:
    try:
        return copy.deepcopy(model)
    except Exception as error:  # whatever a script's module does in its own copying
        print(f'Warning: Failed to deepcopy model ({error}), "inplace" is set to True by default.')
        return model


@dataclass
class _Swap:
    """What layers become; ``mixed`` has the bits of those with a width of their own, by path."""

    mapping: Mapping[Any, Any]
    scheme: Scheme | None
    bits: int
    mixed: dict[str, int] = field(default_factory=dict)

    def kind(self, layer: Any) -> Any:
        """The quantized twin of a layer's class, by type or by the name that the class gives itself."""
        if isinstance(layer, MLULayer):
            return None
        return self.mapping.get(type(layer)) or self.mapping.get(layer._get_name())  # noqa: SLF001 - its own name

    def paths(self, model: Any) -> list[str]:
        """Where the layers are that are replaced below ``model``."""
        named = model.named_modules(remove_duplicate=False)
        return [name for name, child in named if name and self.kind(child) is not None]

    def children(self, module: Any, prefix: str = "") -> int:
        """Replaces layers below ``module``, children before parents, in the order of registration; how many."""
        count = 0
        for name, child in list(module.named_children()):
            path = f"{prefix}{name}"
            count += self.children(child, f"{path}.")
            if self.kind(child) is not None:
                made = self._twin(child, path)
                made.training = child.training
                module._modules[name] = made  # noqa: SLF001 - also where names are no identifiers
                count += 1
        return count

    def _twin(self, layer: Any, path: str) -> Any:
        kind, bits = self.kind(layer), self.mixed.get(path)
        if self.scheme is None or bits is None:
            return kind.from_float(layer, self.scheme, self.bits)
        made = kind.from_float(layer, scheme_of_mixed(self.scheme), bits or self.bits)
        if not bits:
            made.stay_float()
        return made
