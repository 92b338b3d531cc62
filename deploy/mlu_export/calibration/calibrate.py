"""Calibration: the float network runs over pictures, and each quantized layer's input range is recorded.

Pictures go through the agent's own preprocessing, so that the ranges are those of the pixels that the box will see.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from mlu_agent.errors import DataError

from ..formats.pictures import float_input, float_picture, read_picture
from ..runners.float_graph import FloatRunner
from ..shards.team import Team
from ..support.progress import count_progress
from .observe import USUAL_PERCENTILE, LayerObserver
from .refine import choose_pictures, refine

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from mlu_agent.model.bundle import InputSpec

    from ..values.graph import Graph, ImportedModel
    from ..values.pixels import Preprocessing
    from ..values.ranges import Range


USUAL_PIXELS = 640 * 640


def calibrate(
    model: ImportedModel, preprocessing: Preprocessing, paths: list[Path], observer: str, bits: int, per_channel: bool,
    percentile: float = USUAL_PERCENTILE, team: Team | None = None,
) -> dict[str, Range]:  # fmt: skip
    """The input range of every quantized layer over all pictures; ``observer`` is one of ``observe.OBSERVERS``.

    ``percentile`` is for the observer of that name. The ranges do not depend on the ``team`` (this process alone if
    None). Raises DataError for an unreadable picture and for values that are not finite.
    """
    team = team or Team(1)
    graph = model.graph
    if not graph.quantized():
        return {}
    spec = float_input(graph, preprocessing)
    own = {conv.name: conv.bits or bits for conv in graph.quantized()}
    refined = observer == "heads" and not set(own.values()) <= {16}
    trials = len(own) * spec.height * spec.width // USUAL_PIXELS  # as many times a picture's usual work, at least
    layers = observe_layers(graph, spec, paths, team, passes=max(1, trials if refined else 1))
    ranges = {name: layer.finish(observer, own[name], percentile) for name, layer in layers.items()}
    if not refined:
        return ranges
    some = choose_pictures(paths, spec.height, spec.width)
    pictures = np.concatenate([float_picture(read_picture(path), spec)[0] for path in some])
    everything = {name: layer.finish("minmax", bits) for name, layer in layers.items()}
    return refine(model, ranges, everything, pictures, bits, per_channel, team)


def observe_layers(
    graph: Graph, spec: InputSpec, paths: Sequence[Path], team: Team, passes: int = 1
) -> dict[str, LayerObserver]:
    """What every quantized layer saw at its input, in execution order. Raises DataError."""
    return observe_groups(graph, spec, paths, [0] * len(paths), team, passes)[0]


def observe_groups(
    graph: Graph, spec: InputSpec, paths: Sequence[Path], dealt: Sequence[int], team: Team, passes: int = 1
) -> list[dict[str, LayerObserver]]:
    """The same for each group of pictures; ``dealt``: which one each is of, counted from 0. Raises DataError."""
    groups = max(dealt) + 1
    shards = team.spread(partial(_Observing, graph, spec, groups), list(zip(paths, dealt)), passes)
    with count_progress(len(paths), "calibrating", "picture") as count:
        shards.call("watch", on_result=count)
    layers = [{conv.name: LayerObserver() for conv in graph.quantized()} for _ in range(groups)]
    for (found,) in shards.call("found"):
        merge(layers, found)
    for name in layers[0]:
        if not np.isfinite([value for group in layers for value in group[name].extremes]).all():
            raise DataError(
                f"layer {name}: its input became NaN or infinite during calibration; the weights are damaged"
            )
    return layers


def merge(groups: Sequence[dict[str, LayerObserver]], others: Sequence[dict[str, LayerObserver]]) -> None:
    """As if the layers of each group had seen what those of the other's have, too."""
    for group, other in zip(groups, others):
        for name, layer in group.items():
            layer.merge(other[name])


class _Observing:
    """A shard of the pictures, and what the layers saw of each group of them."""

    def __init__(self, graph: Graph, spec: InputSpec, groups: int, pictures: Sequence[tuple[Path, int]]) -> None:
        self._runner = FloatRunner(graph)
        self._layers = [{conv.name: LayerObserver() for conv in graph.quantized()} for _ in range(groups)]
        self._spec = spec
        self._pictures = pictures

    def watch(self) -> Iterator[None]:
        """Runs the network, picture by picture."""
        for path, group in self._pictures:
            picture, _ = float_picture(read_picture(path), self._spec)
            layers = self._layers[group]
            self._runner.run(picture, lambda name, values, layers=layers: layers[name].see(values))  # type: ignore[misc]
            yield

    def found(self) -> list[list[dict[str, LayerObserver]]]:
        return [self._layers]
