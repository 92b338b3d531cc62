"""Checkpoints out of calibration: ranges become the scales that ``quantize_dynamic_mlu`` would write of them."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import torch

from ..calibrate import float_input, float_picture, read_picture
from ..float_runner import FloatRunner
from ..quantize import Range
from ..shards import Team
from .checkpoint import checkpoint_bytes
from .graph_module import graph_module
from .observers import MinMaxObserver
from .quantize import MLUConv2d, quantize_dynamic_mlu

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from mlu_agent.bundle import InputSpec

    from ..graph import FloatArray, Graph, ImportedModel
    from ..manifest import Preprocessing
    from .scheme import Scheme


def observe_layers(
    model: ImportedModel, preprocessing: Preprocessing, paths: list[Path], names: Collection[str], scheme: Scheme,
    team: Team | None = None,
) -> dict[str, Range]:  # fmt: skip
    """Ranges of the inputs of the layers named, by the vendor's rules: one forward call per picture, in order."""
    observers = {name: MinMaxObserver(8, scheme) for name in names}
    spec = float_input(model.graph, preprocessing)
    work = partial(_extremes, model.graph, spec, tuple(names))
    for found in (team or Team(1)).map(work, paths, "observing"):
        for name, observer in observers.items():
            observer(torch.tensor(found[name], dtype=torch.float32))  # a tensor's extremes stand for all of it
    return {name: Range(float(seen.low or 0), float(seen.high or 0)) for name, seen in observers.items()}


def _extremes(
    graph: Graph, spec: InputSpec, names: Collection[str], paths: Sequence[Path]
) -> Iterator[dict[str, tuple[float, float]]]:
    """Smallest and largest value at each layer's input, picture by picture."""
    runner = FloatRunner(graph, names)
    for path in paths:
        found: dict[str, tuple[float, float]] = {}
        runner.run(float_picture(read_picture(path), spec)[0], partial(_note, found))
        yield found


def _note(found: dict[str, tuple[float, float]], name: str, values: FloatArray) -> None:
    found[name] = (float(values.min()), float(values.max()))


def checkpoint_of(
    model: ImportedModel, family: str, ranges: Mapping[str, Range], bits: int, scheme: Scheme
) -> tuple[bytes, tuple[str, ...]] | None:
    """The checkpoint's bytes, and the names of layers whose scale is 1 because nobody saw their input.

    None for a network without a layout. Layers with rules of their own (``Conv.bits``) have their bits; those in float
    have no scales. Raises QuantizeError where the first convolution cannot normalise.
    """
    module = graph_module(model, family)
    if module is None:
        return None
    with _first_layer(scheme):
        quantize_dynamic_mlu(module, vars(scheme), f"int{bits}", inplace=True, gen_quant=True)
        unseen = []
        for conv in model.graph.convolutions():
            layer = module.get_submodule(module.places[conv.name].conv)
            if conv.bits == 0 and not conv.is_depthwise:
                layer.quant = False
                continue
            layer.bits = layer.observer.bits = conv.bits or bits
            if conv.name in ranges:
                layer.observer.low, layer.observer.high = ranges[conv.name].low, ranges[conv.name].high
            else:
                unseen.append(conv.name)
        return checkpoint_bytes(module.state_dict()), tuple(unseen)


@contextmanager
def _first_layer(scheme: Scheme) -> Iterator[None]:
    """The vendor folds normalisation into the first convolution of a process; here it is that of the network. The
    quantizer's warnings are silent: what they say was asked for, or is said in other words."""
    before = MLUConv2d.is_first_layer
    MLUConv2d.is_first_layer = scheme.firstconv
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        MLUConv2d.is_first_layer = before
