"""How much of each layer's signal quantization leaves: signal-to-noise ratios against the float network.

For each quantized layer two figures in dB, over all pictures and values of its output (before the activation function):
``own`` with the float network's values at its input, so the noise is the layer's alone; ``network`` in the quantized
network, with the noise of all layers before it. A fall of 6 dB is one bit lost.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, Callable

import numpy as np

from ..runners.fake_quantization import FakeQuantRunner
from ..support.progress import count_progress
from ..values.graph import Conv, Graph

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ..shards.team import Team
    from ..values.arrays import FloatArray
    from ..values.ranges import Range

MAX_DB = 200.0  # said of no noise at all, so that every figure is a number


@dataclass(frozen=True)
class LayerNoise:
    """One layer: its bits, its two ratios in dB, and the part of its input values beyond the range, 0..1."""

    name: str
    bits: int
    own: float
    network: float
    clipped: float


class NoiseMeter:
    """Measures noise over pictures that a team shares; the figures do not depend on the team."""

    def __init__(
        self, graph: Graph, ranges: Mapping[str, Range], bits: int, per_channel: bool, pictures: FloatArray, team: Team
    ) -> None:
        """``pictures`` are normalised (N, H, W, C). Needs torch."""
        self.graph = graph
        self.bits = bits
        self._count = len(pictures)
        singles = [pictures[index : index + 1] for index in range(len(pictures))]
        self._shards = team.spread(partial(_Measuring, graph, ranges, bits, per_channel), singles)

    def layers(self) -> list[LayerNoise]:
        """Every quantized layer in execution order."""
        with count_progress(self._count, "measuring") as count:
            found = list(chain.from_iterable(self._shards.call("layers", on_result=count)))
        return [
            _layer_noise(conv, self.bits, [picture[conv.name] for picture in found]) for conv in self.graph.quantized()
        ]

    def outputs(self, rules: Mapping[str, int]) -> float:
        """The least signal-to-noise ratio of an output in dB, where the layers in ``rules`` have those bits."""
        with count_progress(self._count, "searching") as count:
            found = list(chain.from_iterable(self._shards.call("outputs", rules, on_result=count)))
        return min(
            _decibel(sum(signal for signal, _ in output), sum(noise for _, noise in output)) for output in zip(*found)
        )


@dataclass(frozen=True)
class _Powers:
    """Sums of squares of one layer over one picture, and its input values beyond the range."""

    signal: float
    own: float
    network: float
    beyond: int
    count: int


class _Measuring:
    """A shard of the pictures, and the float and the quantized network."""

    def __init__(
        self, graph: Graph, ranges: Mapping[str, Range], bits: int, per_channel: bool, pictures: Sequence[FloatArray]
    ) -> None:
        self._rules = (ranges, bits, per_channel)
        self._graph = graph
        self._pictures = pictures
        self._exact = FakeQuantRunner(graph, {}, bits, per_channel)  # without ranges every layer stays in float

    def layers(self) -> Iterator[dict[str, _Powers]]:
        quantized = FakeQuantRunner(self._graph, *self._rules)
        names = {conv.name for conv in self._graph.quantized()}
        for picture in self._pictures:
            found = {}
            plain, noisy = self._exact.start(picture), quantized.start(picture)
            for index, node in enumerate(self._graph.nodes):
                before = plain
                plain = self._exact.advance(plain, index, index + 1)
                noisy = quantized.advance(noisy, index, index + 1)
                if node.name in names:
                    alone = quantized.advance(before, index, index + 1)
                    taken = before[node.inputs[0]]
                    limit = quantized.ranges[node.name].absmax * (1 + 1e-6)
                    values = plain[node.name]
                    found[node.name] = _Powers(
                        _power(values),
                        _power(alone[node.name] - values),
                        _power(noisy[node.name] - values),
                        int((taken.abs() > limit).sum()),
                        taken.numel(),
                    )
            yield found

    def outputs(self, rules: Mapping[str, int]) -> Iterator[list[tuple[float, float]]]:
        """Signal and noise of every output, picture by picture."""
        quantized = FakeQuantRunner(with_bits(self._graph, rules), *self._rules)
        for picture in self._pictures:
            pairs = zip(self._exact.run(picture), quantized.run(picture))
            yield [
                (float((plain.astype(np.float64) ** 2).sum()), float(((noisy.astype(np.float64) - plain) ** 2).sum()))
                for plain, noisy in pairs
            ]


def with_bits(graph: Graph, rules: Mapping[str, int]) -> Graph:
    """The graph with other bits in the layers named."""
    nodes = [
        replace(node, bits=rules.get(node.name, node.bits)) if isinstance(node, Conv) else node for node in graph.nodes
    ]
    return replace(graph, nodes=tuple(nodes))


def _layer_noise(conv: Conv, bits: int, pictures: list[_Powers]) -> LayerNoise:
    signal = sum(powers.signal for powers in pictures)
    return LayerNoise(
        conv.name,
        conv.bits or bits,
        _decibel(signal, sum(powers.own for powers in pictures)),
        _decibel(signal, sum(powers.network for powers in pictures)),
        sum(powers.beyond for powers in pictures) / max(1, sum(powers.count for powers in pictures)),
    )


@dataclass(frozen=True)
class Proposal:
    """Layers to keep in int16, worst first; the network's outputs without and with that, in dB; what was asked."""

    layers: tuple[str, ...]
    before: float
    after: float
    target: float


def propose(meter: NoiseMeter, layers: list[LayerNoise], target: float) -> Proposal:
    """The fewest layers, taken in the order of their own noise, that lift every output to ``target`` dB in int16.

    All layers, if even they do not reach the target.
    """
    names = candidates(layers)
    figures: dict[int, float] = {}

    def reached(count: int) -> float:
        if count not in figures:
            figures[count] = meter.outputs(dict.fromkeys(names[:count], 16))
        return figures[count]

    count = fewest(len(names), lambda count: reached(count) >= target)
    return Proposal(tuple(names[:count]), reached(0), reached(count), target)


def candidates(layers: list[LayerNoise]) -> list[str]:
    """Layers that may get 16 bits, the noisiest first."""
    return [layer.name for layer in worst_layers(layers, len(layers)) if layer.bits != 16]


def fewest(most: int, is_enough: Callable[[int], bool]) -> int:
    """The least number that is enough, if more are never worse; ``most`` if no less is.

    0, 1, 2, 4 and so on are tried, then those between by bisection: where more may be worse by chance, a small number
    that is enough is found before a large one.
    """
    low, high = 0, 0
    while high < most and not is_enough(high):
        low, high = high + 1, min(most, max(1, 2 * high))
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle + 1, high)
    return low


def worst_layers(layers: list[LayerNoise], count: int = 5) -> list[LayerNoise]:
    """Those whose own noise is largest against their signal, worst first."""
    return sorted(layers, key=lambda layer: layer.own)[:count]


def _power(values: Any) -> float:
    return float((values.double() ** 2).sum())


def _decibel(signal: float, noise: float) -> float:
    if noise <= 0:
        return MAX_DB
    return max(-MAX_DB, min(MAX_DB, 10 * math.log10(signal / noise))) if signal > 0 else -MAX_DB
