"""``mlu-export compile``: a quantized checkpoint in, model, side-car and manifest out, with the checkpoint's scales."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mlu_agent.config.toml_text import dump
from mlu_agent.errors import DataError

from ..formats.recipe import Recipe, Settings
from ..quantizer.backend import compile_for_device
from ..support.files import check_folder, sha256_hex, write_all
from .build import Prepared, render
from .read import read_network
from .settings import choose_settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ..values.graph import ImportedModel
    from ..values.pixels import Preprocessing
    from ..values.quantizer_parameters import QuantParameters
    from ..values.ranges import Range
    from .read import Read
    from .request import CompileRequest, VendorSdk, Wanted


def compile_files(request: CompileRequest) -> list[Path]:
    """Compiles and writes; returns the paths. Raises UserError and DataError; then nothing is written."""
    check_folder(request.output)
    contents = compile_model(request)
    write_all(request.output, contents)
    return [request.output / name for name in contents]


def compile_model(request: CompileRequest) -> dict[str, bytes]:
    """The bytes of NAME.cambricon, NAME.cambricon_twins and NAME.toml by name. Raises UserError and DataError."""
    prepared = prepare_checkpoint(request.wanted)
    contents = render(prepared.model, prepared.recipe)
    made = {name: data for name, data in contents.items() if not name.endswith(".recipe.toml")}
    return made if request.device is None else {**made, **_device_files(request.device, prepared, made)}


def _device_files(sdk: VendorSdk, prepared: Prepared, made: Mapping[str, bytes]) -> dict[str, bytes]:
    """The vendor's file, its side-car, and the manifest that names both files."""
    settings = prepared.recipe.settings
    name = f"{settings.name}.device.cambricon"
    data, twins = compile_for_device(prepared.model, settings, prepared.read.source.weights, sdk.python)
    manifest = f"{settings.name}.toml"
    entry = "\n" + dump({"device": {"model": name, "sha256": sha256_hex(data)}})
    return {name: data, f"{name}_twins": twins, manifest: made[manifest] + entry.encode("utf-8")}


def prepare_checkpoint(wanted: Wanted) -> Prepared:
    """The imported network and a recipe whose ranges are the checkpoint's scales. Raises UserError and DataError."""
    read = read_network(wanted)
    if read.model.quantized is None:
        raise DataError(
            f"{read.source.name} has float weights and no scales: make the checkpoint with `mlu-export quantize`, or "
            "use `mlu-export build`, which calibrates and compiles in one go"
        )
    return Prepared(read, read.model, checkpoint_recipe(wanted, read))


def checkpoint_recipe(wanted: Wanted, read: Read) -> Recipe:
    """What a request makes of a checkpoint, whose scales are the ranges. Raises UserError and DataError."""
    model, source = read.model, read.source
    assert model.quantized is not None
    settings = checkpoint_settings(choose_settings(wanted, read), model, model.quantized)
    settings = replace(settings, preprocessing=_normalisation(settings.preprocessing, model.quantized))
    ranges = checkpoint_ranges(model, model.quantized)
    described = f"the scales of {source.name}"
    return Recipe(settings, source.name, source.sha256, source.cfg_sha256, described, ranges)


def _normalisation(preprocessing: Preprocessing, quantized: Mapping[str, QuantParameters]) -> Preprocessing:
    """Mean and std of a first convolution that normalises: here a layer before it does, or the host (``--input``)."""
    for parameters in quantized.values():
        if parameters.mean is not None and parameters.std is not None:
            mean, std = (np.resize(np.array(values), 3).tolist() for values in (parameters.mean, parameters.std))
            return replace(preprocessing, mean=(mean[0], mean[1], mean[2]), std=(std[0], std[1], std[2]))
    return preprocessing


def checkpoint_ranges(model: ImportedModel, quantized: Mapping[str, QuantParameters]) -> dict[str, Range]:
    """The range, bits and weight magnitudes of each layer with scales; depthwise ones stay in float all the same.

    Raises DataError where the checkpoint's scales do not fit the network.
    """
    layers = {conv.name: conv for conv in model.graph.convolutions()}
    foreign = sorted(set(quantized) - set(layers))
    if foreign:
        raise DataError(f"the checkpoint quantizes {foreign[0]!r:.60}, which is no layer of this network")
    ranges: dict[str, Range] = {}
    for name, parameters in quantized.items():
        if layers[name].is_depthwise:
            continue
        try:
            ranges[name] = parameters.layer_range(layers[name].weight)
        except DataError as error:
            raise DataError(f"layer {name}: {error}; the checkpoint belongs to another network") from error
    return ranges


def checkpoint_settings(settings: Settings, model: ImportedModel, quantized: Mapping[str, QuantParameters]) -> Settings:
    """Bits and granularity of most layers, with the others as rules: layers without scales stay in float."""
    layers = [conv.name for conv in model.graph.convolutions() if not conv.is_depthwise]
    kinds = Counter((quantized[name].bits, quantized[name].per_channel) for name in layers if name in quantized)
    if not kinds:
        raise DataError("the checkpoint has scales of depthwise layers only, which are not quantized")
    bits, per_channel = kinds.most_common(1)[0][0]
    if any(other[0] != bits for other in kinds):
        bits = 8  # the rule there is says which layers have 16
    return replace(
        settings,
        bits=bits,
        per_channel=per_channel,
        keep_int16=tuple(name for name in layers if bits == 8 and name in quantized and quantized[name].bits == 16),
        keep_float=tuple(name for name in layers if name not in quantized),
    )
