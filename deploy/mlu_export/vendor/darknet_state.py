"""A Darknet network's state dict in the layout of the vendor's fork: ``module_list.{i}.Conv2d.*`` and
``.BatchNorm2d.*``, where ``i`` is the number of the cfg's section."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from mlu_agent.errors import DataError

from .parameters import parameters_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..importers.darknet_cfg import Section
    from .checkpoint import Checkpoint
    from .parameters import QuantParameters

NORM = ("bias", "weight", "running_mean", "running_var")


def darknet_stream(sections: Sequence[Section], checkpoint: Checkpoint) -> bytes:
    """The values in the order of a ``.weights`` file. Raises DataError for a checkpoint of another network."""
    parts = [struct.pack("<iiiq", 0, 2, 5, 0)]
    for index, section in enumerate(sections[1:]):
        if section.kind not in ("convolutional", "conv"):
            continue
        home = f"module_list.{index}."
        normalized = bool(section.integer("batch_normalize", 0, 0, 1))
        keys = [f"{home}BatchNorm2d.{key}" for key in NORM] if normalized else [f"{home}Conv2d.bias"]
        parts += [_values(checkpoint, key) for key in (*keys, f"{home}Conv2d.weight")]
    return b"".join(parts)


def darknet_parameters(checkpoint: Checkpoint) -> dict[str, QuantParameters] | None:
    """Quantization by the names of the graph's nodes; None for float weights."""
    found = {}
    for layer in checkpoint.quantized:
        _, index, *_ = layer.split(".")
        found[f"{index}_conv"] = layer_parameters(checkpoint, layer)
    return found or None


def layer_parameters(checkpoint: Checkpoint, layer: str) -> QuantParameters:
    """What the checkpoint holds for one layer. Raises DataError naming it."""
    held = {key: checkpoint.tensors.get(f"{layer}.{key}") for key in (
        "scale", "quantized_mode", "quantized_by_channel", "scale_weight_per_channel", "input_mean", "input_std",
    )}  # fmt: skip
    scale, mode = held["scale"], held["quantized_mode"]
    if scale is None or mode is None or mode.size != 1 or scale.size != 2:
        raise DataError(f"layer {layer}: its scale or quantized_mode is missing or of a wrong size")
    values, kind = _floats(scale), int(mode.ravel()[0])
    by_channel = held["quantized_by_channel"]
    if by_channel is not None and int(by_channel.ravel()[0]) and held["scale_weight_per_channel"] is not None:
        values, kind = (*values[:2], *_floats(held["scale_weight_per_channel"])), kind + 2
    mean, std = (None if held[key] is None else _floats(held[key]) for key in ("input_mean", "input_std"))
    return parameters_of(values, kind, mean, std, layer)


def _floats(values: Any) -> tuple[float, ...]:
    return tuple(float(value) for value in np.asarray(values, np.float32).ravel())


def _values(checkpoint: Checkpoint, key: str) -> bytes:
    if key not in checkpoint.tensors:
        raise DataError(f"the checkpoint has no {key}: it belongs to another network than the cfg")
    return np.ascontiguousarray(checkpoint.tensors[key], "<f4").tobytes()
