"""The report of ``quantize``: what each layer loses, and how values lie in the ranges that were chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..calibration.noise import LayerNoise, worst_layers
from ..calibration.observe import BINS
from . import html, svg

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..support.circumstances import Circumstances
    from ..values.arrays import FloatArray
    from ..values.graph import Graph
    from ..values.ranges import Range
    from .html import Html

DRAWN_BINS = 64
DRAWN_LAYERS = 8
MOST_DB = 80.0  # ratios above are drawn as this; they are as good as exact
GOOD_DB = 20.0


@dataclass(frozen=True)
class Spread:
    """How the values of one layer lie: ``weights`` and the magnitudes of its input, as counts between edges, with the
    largest magnitude that its range holds.
    """

    name: str
    weights: tuple[FloatArray, FloatArray]
    inputs: tuple[FloatArray, FloatArray]
    absmax: float
    largest: float


def measure_spread(
    graph: Graph, ranges: Mapping[str, Range], names: Sequence[str], pictures: FloatArray
) -> list[Spread]:
    """Histograms of some layers over normalised ``pictures`` (N, H, W, C). Needs torch."""
    from ..calibration.observe import LayerObserver  # noqa: PLC0415 - as above
    from ..runners.float_graph import FloatRunner  # noqa: PLC0415 - reports are drawn without torch too

    observers = {name: LayerObserver() for name in names}

    def see(name: str, values: FloatArray) -> None:
        if name in observers:
            observers[name].see(values)

    runner = FloatRunner(graph)
    for index in range(len(pictures)):
        runner.run(pictures[index : index + 1], see)
    weights = {conv.name: conv.weight for conv in graph.convolutions()}
    return [
        Spread(
            name,
            _histogram(weights[name]),
            _coarse(observers[name].counts, observers[name].limit),
            ranges[name].absmax,
            max(observers[name].high, -observers[name].low),
        )
        for name in names
    ]


def _histogram(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    counts, edges = np.histogram(values.ravel(), bins=DRAWN_BINS)
    return counts.astype(np.float32), edges.astype(np.float32)


def _coarse(counts: npt.NDArray[np.int64], limit: float) -> tuple[FloatArray, FloatArray]:
    """The observer's fine histogram up to its last filled bin, in fewer bins."""
    used = int(np.flatnonzero(counts).max(initial=0)) + 1
    step = max(1, -(-used // DRAWN_BINS))
    padded = np.concatenate([counts[:used], np.zeros(-used % step, np.int64)])
    edges = np.arange(len(padded) // step + 1) * (step * limit / BINS)
    return padded.reshape(-1, step).sum(axis=1).astype(np.float32), edges.astype(np.float32)


def quantization_page(
    name: str,
    layers: Sequence[LayerNoise],
    spreads: Sequence[Spread],
    settings: Sequence[tuple[str, object]],
    pictures: int,
    made: Circumstances | None = None,
) -> bytes:
    """The whole report of layers in execution order; ``settings`` are told as they are."""
    worst = worst_layers(list(layers), 1)
    parts = [
        html.cards(
            [
                ("quantized layers", str(len(layers))),
                ("worst layer's own ratio", f"{worst[0].own:.1f} dB" if worst else "-"),
                ("last layer's, with all noise before it", f"{layers[-1].network:.1f} dB" if layers else "-"),
                ("layers in 16 bits", str(sum(layer.bits == 16 for layer in layers))),
            ]
        ),
        _bars(layers),
        _table(layers),
        _spreads(spreads),
        html.section("Settings", html.pairs(settings)),
    ]
    where = f"measured on {pictures} pictures against the float network"
    return html.page(f"Quantization of {name}", where, parts, made)


def _bars(layers: Sequence[LayerNoise]) -> Html:
    low = min([0.0, *(min(layer.own, layer.network) for layer in layers)])
    axis = svg.Axis("dB", max(low, -MOST_DB), min(MOST_DB, max([GOOD_DB, *(layer.own for layer in layers)])))
    rows = [(layer.name, [layer.own, layer.network]) for layer in layers]
    names = ["own: with float values at its input", "network: with the noise of all layers before it"]
    return html.section(
        "Signal to noise of every layer",
        html.legend(names),
        html.figure("dB, in execution order; the figure is the network's", svg.bars(rows, axis, names)),
        about="Of a layer's output before its activation function. 6 dB less is one bit lost.",
    )


def _table(layers: Sequence[LayerNoise]) -> Html:
    rows = [
        [layer.name, layer.bits, f"{layer.own:.1f}", f"{layer.network:.1f}", f"{layer.clipped * 100:.3f}%"]
        for layer in worst_layers(list(layers), len(layers))
    ]
    return html.details(
        "all figures, worst layer first", html.table(["layer", "bits", "own", "network", "clipped"], rows)
    )


def _spreads(spreads: Sequence[Spread]) -> Html:
    if not spreads:
        return html.Html("")
    drawings = [drawing for one in spreads for drawing in (_weights(one), _inputs(one))]
    return html.section(
        f"Values of the worst {len(spreads)} layers",
        html.grid(drawings, wide=True),
        about="On a logarithmic scale. Inputs are magnitudes over all pictures: what lies right of the line is clipped "
        "to it. Weights are never clipped: their range ends at the largest one, of each output channel where scales "
        "are per channel.",
    )


def _weights(one: Spread) -> Html:
    counts, edges = one.weights
    axis = svg.Axis("weight", float(edges[0]), float(edges[-1]))
    drawing = svg.histogram(edges.tolist(), _logarithms(counts), axis, "log10(count + 1)", (), 480, 200)
    return html.figure("", drawing, f"{one.name}: weights")


def _inputs(one: Spread) -> Html:
    counts, edges = one.inputs
    axis = svg.Axis("magnitude", 0.0, max(float(edges[-1]), one.absmax * 1.02, 1e-9))
    marks = [(f"range {one.absmax:.4g}", one.absmax)]
    drawing = svg.histogram(edges.tolist(), _logarithms(counts), axis, "log10(count + 1)", marks, 480, 200, 1)
    return html.figure("", drawing, f"{one.name}: input, largest {one.largest:.4g}")


def _logarithms(counts: FloatArray) -> list[float]:
    values: list[float] = np.log10(counts + 1).tolist()
    return values
