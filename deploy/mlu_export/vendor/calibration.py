"""Checkpoints out of calibration: ranges become the scales that ``quantize_dynamic_mlu`` would write of them."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from ..calibrate import float_input, float_picture, read_picture
from ..float_runner import FloatRunner
from ..progress import show_progress
from ..quantize import Range
from .checkpoint import checkpoint_bytes
from .graph_module import graph_module
from .observers import MinMaxObserver
from .quantize import MLUConv2d, quantize_dynamic_mlu

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from ..graph import ImportedModel
    from ..manifest import Preprocessing
    from .scheme import Scheme


def observe_layers(
    model: ImportedModel, preprocessing: Preprocessing, paths: list[Path], names: Collection[str], scheme: Scheme
) -> dict[str, Range]:
    """Ranges of the inputs of the layers named, by the vendor's rules: one forward call per picture."""
    observers = {name: MinMaxObserver(8, scheme) for name in names}
    runner = FloatRunner(model.graph, observers)
    spec = float_input(model.graph, preprocessing)

    def see(name: str, values: Any) -> None:
        observers[name](torch.from_numpy(values))

    for path in show_progress(paths, "observing"):
        runner.run(float_picture(read_picture(path), spec)[0], see)
    return {name: Range(float(seen.low or 0), float(seen.high or 0)) for name, seen in observers.items()}


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
