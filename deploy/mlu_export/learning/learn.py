"""Learning: the quantized network is trained to say what the float network says of pictures that need no labels."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mlu_agent.errors import UserError

from ..calibration.calibrate import calibrate
from ..calibration.distance import error_of
from ..calibration.observe import USUAL_PERCENTILE
from ..calibration.split import FEWEST, split
from ..formats.pictures import float_input, float_picture, read_picture
from ..runners.fake_quantization import FakeQuantRunner
from ..runners.float_graph import FloatRunner
from ..support.progress import show_progress
from ..support.torch_needed import import_torch
from ..values.graph import infer_shapes, products
from ..values.learned import with_learned
from ..values.ranges import storable
from .equalize import channel_magnitudes, equalized
from .losses import distance
from .student import Student
from .views import Views, window

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ..calibration.choose import Rule
    from ..formats.recipe import Settings
    from ..shards.team import Team
    from ..values.graph import Graph, ImportedModel
    from ..values.learned import LearnedLayer
    from ..values.ranges import Range

SEED = 0
BATCH = 2
WARM_UP = 0.05  # of the steps
EQUALIZED = 0.5
MAGNITUDES = 32  # pictures that tell the channels' magnitudes
LEAST_GAIN = 0.02  # of the distance: what is less is chance


# What a view costs one processor, in seconds: measured on YOLOv5n and Yolo-Fastest.
PER_PRODUCT, PER_VALUE = 1.0e-10, 2.5e-8
BUDGET_S = 800.0  # of processor time
MOST_PASSES = 6000


@dataclass(frozen=True)
class Learned:
    """The layers (none where learning did not gain), the ranges that belong to them, and what was gained, in words."""

    layers: dict[str, LearnedLayer]
    ranges: dict[str, Range]
    told: str


@dataclass(frozen=True)
class _Start:
    """Where learning begins: a graph that computes what the float network does, and its ranges."""

    graph: Graph
    ranges: Mapping[str, Range]


def learn(
    model: ImportedModel,
    settings: Settings,
    ranges: Mapping[str, Range],
    rule: Rule,
    paths: Sequence[Path],
    passes: int,
    team: Team | None,
) -> Learned:
    """Learns from three quarters of the pictures, and keeps it if it brings the outputs nearer to the float network's
    on the others. ``passes``: how many pictures are looked at, repetitions counted. Raises UserError, DataError.

    No weight is learned from the others; ``ranges``, which it starts from and compares with, may be those of all
    pictures. ``rule``: what made them.
    """
    torch = import_torch()
    fit, held = split(paths)
    if not held:
        raise UserError(
            f"--learn judges on pictures that it did not learn from: of {len(fit)} pictures fewer than {FEWEST} "
            f"differ; give {FEWEST} or more that do"
        )
    judge = _Judge(model, settings, held, torch)
    before = judge.distances(model.graph, ranges)
    start = _start(model, settings, ranges, rule, fit, team)
    student = Student(start.graph, start.ranges, settings.bits, settings.per_channel)
    _train(student, model, Views(fit, float_input(model.graph, settings.preprocessing), model.graph, SEED), passes)
    layers, moved = student.learned()
    own = {conv.name: conv.bits or settings.bits for conv in model.graph.quantized()}
    moved = {name: storable(seen, own[name]) for name, seen in moved.items()}
    after = judge.distances(with_learned(model.graph, layers, settings.bits, settings.per_channel), moved)
    told = f"distance to float on {len(held)} pictures that no weight was learned from: "
    told += f"{_short(before)} -> {_short(after)}"
    if sum(after) > sum(before) * (1 - LEAST_GAIN):
        return Learned({}, dict(ranges), f"{told}, no gain: the weights stay as they are")
    return Learned(layers, moved, told)


def usual_passes(graph: Graph) -> int:
    """As many views as take the usual time, by an estimate: the same number on every machine."""
    shapes = infer_shapes(graph)
    values = sum(rows * cols * channels for rows, cols, channels in shapes.values())
    rows, cols = window(graph)
    part = rows * cols / (graph.input_shape[0] * graph.input_shape[1])
    cost = part * (sum(products(graph).values()) * PER_PRODUCT + values * PER_VALUE)
    return max(BATCH, min(MOST_PASSES, int(BUDGET_S / cost)))


def _short(distances: Sequence[float]) -> str:
    return f"{sum(distances) / len(distances):.3g}"


class _Judge:
    """The distance of a quantized network from the float one on pictures."""

    def __init__(self, model: ImportedModel, settings: Settings, paths: Sequence[Path], torch: Any) -> None:
        self._settings, self._paths = settings, paths
        self._spec = float_input(model.graph, settings.preprocessing)
        kind = error_of(model)
        runner = FloatRunner(model.graph)
        self._errors = [kind(model, torch, runner.run(self._picture(path))) for path in paths]

    def distances(self, graph: Graph, ranges: Mapping[str, Range]) -> list[float]:
        runner = FakeQuantRunner(graph, ranges, self._settings.bits, self._settings.per_channel)
        return [error.of(runner.outputs_of(self._picture(path))) for path, error in zip(self._paths, self._errors)]

    def _picture(self, path: Path) -> Any:
        return float_picture(read_picture(path), self._spec)[0]


def _start(
    model: ImportedModel, settings: Settings, ranges: Mapping[str, Range], rule: Rule, fit: Sequence[Path],
    team: Team | None,
) -> _Start:  # fmt: skip
    """Equalized or not, whichever is nearer to the float network on some of the pictures that are learned from."""
    plain = _Start(model.graph, ranges)
    spec = float_input(model.graph, settings.preprocessing)
    some = fit[:: max(1, len(fit) // MAGNITUDES)]
    pictures = (float_picture(read_picture(path), spec)[0] for path in some)
    graph = equalized(model.graph, channel_magnitudes(FloatRunner(model.graph), pictures), EQUALIZED)
    if graph is model.graph:
        return plain
    wide = (settings.bits, settings.per_channel, rule.percentile or USUAL_PERCENTILE)
    found = calibrate(replace(model, graph=graph), settings.preprocessing, list(fit), rule.observer, *wide, team)
    judge = _Judge(model, settings, some, import_torch())
    moved = _Start(graph, found)
    return min((plain, moved), key=lambda one: sum(judge.distances(one.graph, one.ranges)))


def _train(student: Student, model: ImportedModel, views: Views, passes: int) -> None:
    """With one thread of torch, as everywhere: gradients of more differ in their last bits with the number of them."""
    torch = student.torch
    teacher = FloatRunner(model.graph)
    student.set_units(_sizes(student.graph, views))
    optimizer = torch.optim.Adam(student.groups(), betas=(0.9, 0.99), fused=True)
    steps = max(1, passes // BATCH)
    for step in show_progress(range(steps), "learning", "step"):
        rate = min(1.0, (step + 1) / (WARM_UP * steps + 1)) * 0.5 * (1 + math.cos(math.pi * step / steps))
        for group in optimizer.param_groups:
            group["lr"] = group["rate"] * rate
        pictures = np.concatenate([views.next() for _ in range(BATCH)])
        exact = [torch.from_numpy(output.transpose(0, 3, 1, 2)) for output in teacher.run(pictures)]
        tensor = torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)))
        optimizer.zero_grad()
        distance(model, torch, student.outputs(tensor), exact).backward()
        optimizer.step()


def _sizes(graph: Graph, views: Views) -> dict[str, float]:
    """The usual magnitude of each convolution's output."""
    runner = FakeQuantRunner(graph, {}, 8, True)
    names = {conv.name for conv in graph.convolutions()}
    values = runner.start(views.next())
    found = {}
    for index, node in enumerate(graph.nodes):
        values = runner.advance(values, index, index + 1)
        if node.name in names:
            found[node.name] = float(values[node.name].square().mean().sqrt())
    return found
