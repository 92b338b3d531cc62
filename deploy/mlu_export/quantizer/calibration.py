"""Checkpoints out of calibration: ranges become the scales that ``quantize_dynamic_mlu`` would write of them."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..formats.checkpoint import checkpoint_bytes
from ..formats.pictures import float_input, float_picture, read_picture
from ..runners.float_graph import FloatRunner
from ..shards.team import Team
from ..values.ranges import Range
from .dynamic import MLUConv2d
from .observers import MinMaxObserver

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from mlu_agent.model.bundle import InputSpec

    from ..values.arrays import FloatArray
    from ..values.graph import Conv, Graph, ImportedModel
    from ..values.pixels import Preprocessing
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
    model: ImportedModel, state: Mapping[str, FloatArray], ranges: Mapping[str, Range], bits: int, scheme: Scheme
) -> tuple[bytes, tuple[str, ...]]:
    """The checkpoint's bytes, and the names of layers whose scale is 1 because nobody saw their input.

    ``state`` is the float state dict, whose keys ``model.keys`` gives by layer. Layers with rules of their own
    (``Conv.bits``) have their bits; those in float no scales. QuantizeError if the first convolution cannot normalise.
    """
    layers = {(model.keys or {})[conv.name]: conv for conv in model.graph.convolutions()}
    made: OrderedDict[str, Any] = OrderedDict()
    unseen: list[str] = []
    with first_layer(scheme):
        for key, values in state.items():
            home, _, name = key.rpartition(".")
            if home not in layers:
                made[key] = torch.from_numpy(np.array(values))
            elif name == "weight":  # its bias, if it has one, comes along
                made.update(_layer_state(layers[home], home, ranges, bits, scheme, unseen))
    made._metadata = _metadata(state, layers)  # type: ignore[attr-defined]  # noqa: SLF001 - where torch looks for it
    return checkpoint_bytes(made), tuple(unseen)


def _layer_state(
    conv: Conv, key: str, ranges: Mapping[str, Range], bits: int, scheme: Scheme, unseen: list[str]
) -> dict[str, Any]:
    """What the vendor's layer puts into a state dict, in its order, after it has seen a range."""
    out, per_group, *kernel = conv.weight.shape
    source = torch.nn.utils.skip_init(
        torch.nn.Conv2d, per_group * conv.groups, out, kernel, groups=conv.groups, bias=conv.bias is not None
    )
    source.weight = _fixed(conv.weight)
    if conv.bias is not None:
        source.bias = _fixed(conv.bias)
    layer = MLUConv2d.from_float(source, scheme, conv.bits or bits)
    if conv.bits == 0 and not conv.is_depthwise:
        layer.quant = False
    elif conv.name in ranges:
        layer.observer.low, layer.observer.high = ranges[conv.name].low, ranges[conv.name].high
    else:
        unseen.append(conv.name)
    made: OrderedDict[str, Any] = OrderedDict()
    layer._save_to_state_dict(made, f"{key}.", keep_vars=True)  # noqa: SLF001 - as torch asks each layer
    return made


def _metadata(state: Mapping[str, FloatArray], layers: Mapping[str, Conv]) -> OrderedDict[str, dict[str, int]]:
    """Module versions as torch notes them, those of the layers' observers too."""
    found = OrderedDict([("", {"version": 1})])
    for key in state:
        parts = key.split(".")[:-1]
        for length in range(1, len(parts) + 1):
            found.setdefault(".".join(parts[:length]), {"version": 1})
        home = ".".join(parts)
        if home in layers:
            found.setdefault(f"{home}.observer", {"version": 1})
        elif f"{home}.running_mean" in state:
            found[home] = {"version": 2}
    return found


def _fixed(values: Any) -> Any:
    return torch.nn.Parameter(torch.from_numpy(np.array(values, np.float32)), requires_grad=False)


@contextmanager
def first_layer(scheme: Scheme) -> Iterator[None]:
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
