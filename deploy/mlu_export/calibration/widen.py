"""Which layers to keep in 16 bits: those whose rounding moves the network's outputs most, for what they cost.

A few layers make most of the distance to the float network: one scale serves all channels of a layer's input, and where
one of them has rare huge values, the others are rounded coarsely. So the float network is run over some pictures with
one layer after the other quantized, and its outputs are compared with its own, as everywhere here: what that layer
alone does to them, as a part of what all do together. A picture's parts nearly add up to one, and each picture has the
same say, for otherwise a crowded one would decide alone. (Taking one layer out of the quantized network tells less: the
others' rounding then moves the distance as much, by chance.) What a layer costs are its multiplications, which take
twice as long. Of all sets of layers within a share of all multiplications the one that does most is taken.

The pictures that choose are three quarters of the folder; what is told of the gain comes from others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..formats.pictures import float_picture, read_picture
from ..runners.fake_quantization import FakeQuantRunner
from ..runners.float_graph import FloatRunner
from ..values.graph import products
from .distance import error_of
from .noise import with_bits
from .split import split

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from mlu_agent.model.bundle import InputSpec

    from ..shards.team import Team
    from ..values.graph import ImportedModel
    from ..values.ranges import Range

    Floats = npt.NDArray[np.float64]

MOST_PICTURES = 32  # that choose, and as many that tell
PIXELS = 12 * 640 * 640  # of all of them together: what the time depends on
SURE = 1.0  # standard deviations of a part
LEAST_PART = 0.005  # of the distance: what a layer has to do alone
UNITS = 1000  # that a budget is counted in
ROUNDING = 1e-6  # of a unit: what a sum of floats may be off
LEAST_GAIN = 0.02  # of the distance, of all layers together: what is less is chance


@dataclass(frozen=True)
class Precisions:
    """A quantized network, and what its layers' inputs look like as a whole: 16 bits have room for it."""

    model: ImportedModel
    ranges: Mapping[str, Range]
    seen: Mapping[str, Range]
    bits: int
    per_channel: bool


@dataclass(frozen=True)
class Widened:
    """The layers that come to 16 bits, in execution order, and what that costs and brings, in words."""

    layers: tuple[str, ...]
    told: str


def widen(network: Precisions, spec: InputSpec, paths: Sequence[Path], share: float, team: Team) -> Widened:
    """Layers with at most that ``share`` (0..1) of the network's multiplications, with the most gain for it.

    Layers that have a rule of their own keep it. Raises UserError for a picture that cannot be read.
    """
    fit, held = split(paths)
    costs = shares(network.model)
    names = [conv.name for conv in network.model.graph.quantized() if conv.bits is None]
    affordable = [name for name in names if costs[name] <= share]
    if not held or not affordable:
        why = "none is that small" if held else f"{len(fit)} pictures are too few to judge by"
        return Widened((), f"no layer in int16: {why}")
    runs = len(affordable) // 2 + 3
    distances = _measured(network, spec, _some(fit, spec), "one_by_one", affordable, team, runs)
    chosen = take(dict(zip(affordable, parts(distances))), costs, share)
    layers = tuple(name for name in names if name in chosen)
    pairs = _measured(network, spec, _some(held, spec), "without_and_with", layers, team, 3)
    return _told(layers, sum(costs[name] for name in layers), pairs)


def parts(distances: Floats) -> Floats:
    """Of distances (pictures, 1 + layers), of all layers quantized and of each alone: the part of it that a layer has,
    averaged over pictures; 0 where that is little or may be chance."""
    found = distances[:, 1:] / np.maximum(distances[:, :1], np.finfo(np.float64).tiny)
    means = found.mean(axis=0)
    chance = found.std(axis=0, ddof=1) / np.sqrt(len(found)) if len(found) > 1 else np.zeros(found.shape[1])
    return np.where((means >= LEAST_PART) & (means > SURE * chance), means, 0.0)


def take(gains: Mapping[str, float], costs: Mapping[str, float], share: float) -> list[str]:
    """Of all sets whose costs are at most ``share``, counted in its thousandths, the one that gains most together."""
    names = [name for name in gains if gains[name] > 0]
    units = [math.ceil(costs[name] / share * UNITS - ROUNDING) for name in names]
    best = np.zeros((len(names) + 1, UNITS + 1))  # of the first so many names within so many units
    for row, (name, unit) in enumerate(zip(names, units)):
        best[row + 1] = best[row]
        if unit <= UNITS:
            best[row + 1, unit:] = np.maximum(best[row, unit:], best[row, : UNITS + 1 - unit] + gains[name])
    found, room = [], UNITS
    for row in reversed(range(len(names))):
        if best[row + 1, room] > best[row, room]:
            found.append(names[row])
            room -= units[row]
    return found[::-1]


def shares(model: ImportedModel) -> dict[str, float]:
    """Each convolution's share of the network's multiplications."""
    counts = products(model.graph)
    return {name: count / sum(counts.values()) for name, count in counts.items()}


def _some(paths: Sequence[Path], spec: InputSpec) -> list[Path]:
    """Evenly spread ones, as many as the limits allow."""
    count = max(1, min(MOST_PICTURES, PIXELS // (spec.height * spec.width)))
    return list(paths[:: -(-len(paths) // count)])


def _told(layers: tuple[str, ...], cost: float, pairs: Floats) -> Widened:
    before, after = pairs.mean(axis=0)
    words = f"distance to float on {len(pairs)} pictures that no layer was chosen by: {before:.3g} -> {after:.3g}"
    if not layers or after > before * (1 - LEAST_GAIN):
        return Widened((), f"no layer in int16: {words} at best")
    kept = f"{len(layers)} layer{'s' * (len(layers) != 1)} with {cost * 100:.1f} % of the multiplications"
    return Widened(layers, f"int16 in {kept} ({', '.join(layers)}), {words}")


def _measured(
    network: Precisions, spec: InputSpec, paths: Sequence[Path], what: str, names: Sequence[str], team: Team, runs: int
) -> Floats:
    """A row for each picture."""
    work = partial(_rows, partial(_Judge, network, spec), what, list(names))
    return np.array(team.map(work, paths, "choosing layers", passes=runs))


def _rows(make: partial[_Judge], what: str, names: Sequence[str], paths: Sequence[Path]) -> Iterator[list[float]]:
    judge = make()
    for path in paths:
        yield getattr(judge, what)(path, names)


class _Judge:
    """The float network with any of its layers quantized."""

    def __init__(self, network: Precisions, spec: InputSpec) -> None:
        graph = network.model.graph
        free = {conv.name: 16 for conv in graph.quantized() if conv.bits is None}
        rules = (network.bits, network.per_channel)
        self._model, self._spec = network.model, spec
        self._exact = FloatRunner(graph)
        self._plain, self._one = (FakeQuantRunner(graph, {}, *rules) for _ in range(2))
        self._narrow, self._mixed = (FakeQuantRunner(graph, network.ranges, *rules) for _ in range(2))
        self._wide = FakeQuantRunner(with_bits(graph, free), {**network.ranges, **network.seen}, *rules)

    def one_by_one(self, path: Path, names: Collection[str]) -> list[float]:
        """The distance with all layers quantized, and with each of those alone."""
        picture, _ = float_picture(read_picture(path), self._spec)
        exact = error_of(self._model)(self._model, self._exact.torch, self._exact.run(picture))
        found = {}
        nodes = self._model.graph.nodes
        before = self._plain.start(picture)
        for index, node in enumerate(nodes):
            if node.name in names:
                self._one.adopt(node.name, self._narrow)
                found[node.name] = exact.of(self._one.outputs(self._one.advance(before, index, len(nodes))))
                self._one.adopt(node.name, self._plain)
            before = self._plain.advance(before, index, index + 1)
        return [exact.of(self._narrow.outputs_of(picture)), *(found[name] for name in names)]

    def without_and_with(self, path: Path, names: Collection[str]) -> list[float]:
        """The distance without and with those layers in 16 bits."""
        picture, _ = float_picture(read_picture(path), self._spec)
        exact = error_of(self._model)(self._model, self._exact.torch, self._exact.run(picture))
        for name in names:
            self._mixed.adopt(name, self._wide)
        return [exact.of(runner.outputs_of(picture)) for runner in (self._narrow, self._mixed)]
