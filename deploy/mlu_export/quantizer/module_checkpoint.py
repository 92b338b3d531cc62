"""Checkpoints of a torch module of the user: the vendor's quantizer swaps layers, calibration tells their ranges."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from ..formats.checkpoint import Checkpoint, checkpoint_bytes
from ..formats.state_dict import StateDict
from .calibration import first_layer
from .dynamic import quantize_dynamic_mlu, quantized_layers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..values.graph import ImportedModel
    from ..values.quantizer_parameters import QuantParameters
    from ..values.ranges import Range
    from .scheme import Scheme

ENTRIES = (
    "scale", "quantized_mode", "quantized_by_channel", "scale_weight_per_channel", "input_mean", "input_std",
    "use_symmetry",
)  # fmt: skip


def split_state(state: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, QuantParameters]]:
    """The float part of a state dict of torch tensors, and the quantization of each layer by its path, if any.

    Raises DataError for scales that cannot be.
    """
    suffix = ".quantized_mode"
    layers = [key[: -len(suffix)] for key in state if key.endswith(suffix) and f"{key[: -len(suffix)]}.scale" in state]
    taken = {f"{layer}.{entry}" for layer in layers for entry in ENTRIES}
    arrays = OrderedDict((key, value.detach().cpu().numpy()) for key, value in state.items() if key in taken)
    found = {}
    for layer in layers:
        outputs = int(state[f"{layer}.weight"].shape[0]) if f"{layer}.weight" in state else 0
        parameters = StateDict(Checkpoint(arrays)).quantization(layer, layer, outputs)
        if parameters is not None:
            found[layer] = parameters
    return {key: value for key, value in state.items() if key not in taken}, found


def module_checkpoint(
    module: Any, model: ImportedModel, ranges: Mapping[str, Range], bits: int, scheme: Scheme
) -> tuple[bytes, tuple[str, ...]]:
    """The checkpoint's bytes, and the paths of layers whose scale is 1 because nobody saw their input.

    A layer that the network uses several times has the widest of their ranges. Layers kept in float have no scales.
    """
    uses: dict[str, list[Any]] = {}
    for conv in model.graph.convolutions():
        uses.setdefault((model.keys or {}).get(conv.name, ""), []).append(conv)
    unseen = []
    with first_layer(scheme):
        swapped = quantize_dynamic_mlu(module, vars(scheme), f"int{bits}", gen_quant=True)
        for path, layer in quantized_layers(swapped):
            nodes = uses.get(path, [])
            seen = [ranges[node.name] for node in nodes if node.name in ranges]
            if nodes and all(node.bits == 0 and not node.is_depthwise for node in nodes):
                layer.quant = False
                continue
            layer.bits = layer.observer.bits = max((node.bits or bits for node in nodes), default=bits)
            if seen:
                layer.observer.low, layer.observer.high = min(r.low for r in seen), max(r.high for r in seen)
            else:
                unseen.append(path)
        return checkpoint_bytes(swapped.state_dict()), tuple(unseen)
