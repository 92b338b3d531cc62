"""How much of each layer's signal quantization leaves: signal-to-noise ratios against the float network.

For each quantized layer two figures in dB, over all pictures and values of its output (before the activation function):
``own`` with the float network's values at its input, so the noise is the layer's alone; ``network`` in the quantized
network, with the noise of all layers before it. A fall of 6 dB is one bit lost.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .fake_quant import FakeQuantRunner
from .graph import Conv, Graph
from .progress import show_progress

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .graph import FloatArray
    from .quantize import Range

MAX_DB = 200.0  # said of no noise at all, so that every figure is a number


@dataclass(frozen=True)
class LayerNoise:
    """One layer: its bits, its two ratios in dB, and the part of its input values beyond the range, 0..1."""

    name: str
    bits: int
    own: float
    network: float
    clipped: float


class _Sums:
    """Sums of squares of one layer."""

    def __init__(self) -> None:
        self.signal = self.own = self.network = 0.0
        self.beyond = self.count = 0


def measure_noise(
    graph: Graph, ranges: Mapping[str, Range], bits: int, per_channel: bool, pictures: FloatArray
) -> list[LayerNoise]:
    """Every quantized layer in execution order, for normalised ``pictures`` (N, H, W, C). Needs torch."""
    exact = FakeQuantRunner(graph, {}, bits, per_channel)  # without ranges every layer stays in float
    quantized = FakeQuantRunner(graph, ranges, bits, per_channel)
    sums = {conv.name: _Sums() for conv in graph.quantized()}
    for index in show_progress(range(len(pictures)), "measuring"):
        _measure_picture(graph, exact, quantized, pictures[index : index + 1], sums)
    return [
        LayerNoise(
            conv.name,
            conv.bits or bits,
            _decibel(sums[conv.name].signal, sums[conv.name].own),
            _decibel(sums[conv.name].signal, sums[conv.name].network),
            sums[conv.name].beyond / max(1, sums[conv.name].count),
        )
        for conv in graph.quantized()
    ]


def _measure_picture(
    graph: Graph, exact: FakeQuantRunner, quantized: FakeQuantRunner, picture: FloatArray, sums: dict[str, _Sums]
) -> None:
    plain, noisy = exact.start(picture), quantized.start(picture)
    for index, node in enumerate(graph.nodes):
        before = plain
        plain, noisy = exact.advance(plain, index, index + 1), quantized.advance(noisy, index, index + 1)
        if isinstance(node, Conv) and node.name in sums:
            alone = quantized.advance(before, index, index + 1)[node.name]
            into, values = sums[node.name], plain[node.name]
            into.signal += _power(values)
            into.own += _power(alone - values)
            into.network += _power(noisy[node.name] - values)
            taken = before[node.inputs[0]]
            into.beyond += int((taken.abs() > quantized.ranges[node.name].absmax * (1 + 1e-6)).sum())
            into.count += taken.numel()


@dataclass(frozen=True)
class Proposal:
    """Layers to keep in int16, worst first; the network's outputs without and with that, in dB; what was asked."""

    layers: tuple[str, ...]
    before: float
    after: float
    target: float


def propose(
    graph: Graph, ranges: Mapping[str, Range], bits: int, per_channel: bool, pictures: FloatArray, target: float
) -> Proposal:
    """The fewest layers, taken in the order of their own noise, that lift every output to ``target`` dB in int16.

    Bisection over their number, as each more lets less noise in. All layers, if even they do not reach the target.
    """
    layers = measure_noise(graph, ranges, bits, per_channel, pictures)
    names = [layer.name for layer in worst_layers(layers, len(layers)) if layer.bits != 16]
    figures: dict[int, float] = {}

    def reached(count: int) -> float:
        if count not in figures:
            rules = dict.fromkeys(names[:count], 16)
            nodes = [
                replace(node, bits=rules.get(node.name, node.bits)) if isinstance(node, Conv) else node
                for node in graph.nodes
            ]
            figures[count] = output_noise(replace(graph, nodes=tuple(nodes)), ranges, bits, per_channel, pictures)
        return figures[count]

    low, high = 0, len(names)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) >= target else (middle + 1, high)
    return Proposal(tuple(names[:low]), reached(0), reached(low), target)


def output_noise(
    graph: Graph, ranges: Mapping[str, Range], bits: int, per_channel: bool, pictures: FloatArray
) -> float:
    """The least signal-to-noise ratio of the quantized network's outputs, in dB, over all pictures."""
    exact, quantized = FakeQuantRunner(graph, {}, bits, per_channel), FakeQuantRunner(graph, ranges, bits, per_channel)
    signal, noise = [0.0] * len(graph.outputs), [0.0] * len(graph.outputs)
    for index in show_progress(range(len(pictures)), "searching"):
        picture = pictures[index : index + 1]
        for number, (plain, noisy) in enumerate(zip(exact.run(picture), quantized.run(picture))):
            signal[number] += float((plain.astype(np.float64) ** 2).sum())
            noise[number] += float(((noisy.astype(np.float64) - plain) ** 2).sum())
    return min(map(_decibel, signal, noise))


def worst_layers(layers: list[LayerNoise], count: int = 5) -> list[LayerNoise]:
    """Those whose own noise is largest against their signal, worst first."""
    return sorted(layers, key=lambda layer: layer.own)[:count]


def _power(values: Any) -> float:
    return float((values.double() ** 2).sum())


def _decibel(signal: float, noise: float) -> float:
    if noise <= 0:
        return MAX_DB
    return max(-MAX_DB, min(MAX_DB, 10 * math.log10(signal / noise))) if signal > 0 else -MAX_DB
