"""Refining ranges by what counts: each layer's range is moved where the network's detections change least.

Errors at a layer's own input say little about detections: one layer with rare huge values (the second of YOLOv5 is one)
can cost more than all others. So the quantized network is run to its heads, and layer by layer, in execution order, a
few narrower and wider ranges are tried on some calibration pictures, with every other layer quantized as it is by then.

Most trials change nothing but noise, and few pictures show it: a trial ends where a quarter or half of the pictures,
evenly spread, is worse by more than those of a good range were seen to be (STAGES).
"""

from __future__ import annotations

from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from ..runners.fake_quantization import FakeQuantRunner
from ..runners.float_graph import FloatRunner
from ..shards.team import Team
from ..support.progress import show_progress
from ..values.graph import Conv
from ..values.ranges import Range
from .distance import error_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from ..shards.team import Shards
    from ..values.arrays import FloatArray
    from ..values.graph import ImportedModel

Errors = dict[int, float]  # of pictures, by their numbers

MAX_PICTURES = 32
MAX_PIXELS = 16 * 640 * 640  # of all pictures together: what time and memory depend on
FACTORS = (1.3, 0.8, 0.64, 0.5, 0.4)
GAIN = 0.04  # a smaller gain is chance: other orders of float additions alone move the sum by as much
ROUNDING = 1e-9  # more than a sum of the pictures' errors can differ by their order
# Pictures whose number modulo 4 is one of these are looked at next; a trial ends there if the error of all so far is
# more than so many times that of the best ranges. Of fewer than LEAST pictures nothing is concluded.
# Measured on 363 trials of YOLOv5n and YOLOv3-tiny: of the four that were taken in the end one was 1.03 and 1.04 times
# as bad on a quarter and half of 32 pictures, so these bounds change none of them; they save 40 % of the work. What
# they may leave elsewhere is chance: from 16 pictures of YOLOv3-tiny two ranges differ, mAP .245 for .240.
STAGES = (((0,), 1.05), ((2,), 1.05), ((1, 3), 1.0))
LEAST = 4


def refine(
    model: ImportedModel, ranges: Mapping[str, Range], seen: Mapping[str, Range], pictures: FloatArray, bits: int,
    per_channel: bool, team: Team | None = None,
) -> dict[str, Range]:  # fmt: skip
    """Better ranges than ``ranges``, never wider than ``seen``, judged on ``pictures`` (N, H, W, 3), normalised.

    Layers of 16 bits keep theirs. The result does not depend on the ``team``: this process alone if None.
    """
    team = team or Team(1)
    singles = [(number, pictures[number : number + 1]) for number in range(len(pictures))]
    trials = _Trials(team.spread(partial(_Trial, model, ranges, bits, per_channel), singles))
    chosen = dict(ranges)
    best = trials.errors()
    layers = [
        (index, node)
        for index, node in enumerate(model.graph.nodes)
        if isinstance(node, Conv) and node.name in ranges and (node.bits or bits) != 16
    ]
    for index, node in show_progress(layers, "refining", "layer"):
        trials.advance_to(index)
        best, chosen[node.name] = _refine_layer(trials, node.name, ranges[node.name], seen[node.name], best)
    return chosen


def _refine_layer(trials: _Trials, name: str, current: Range, seen: Range, best: Errors) -> tuple[Errors, Range]:
    """The errors of the best range, and that range, which is entered."""
    chosen = current
    for factor in FACTORS:
        candidate = clipped(seen, current.absmax * factor)
        if candidate == current:
            continue
        trials.enter(name, candidate)
        better = trials.better(best)
        if better is not None:
            best, chosen = better, candidate
    trials.enter(name, chosen)
    return best, chosen


class _Trials:
    """The trials of all shards as one."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards

    def advance_to(self, index: int) -> None:
        self._shards.call("advance_to", index)

    def enter(self, name: str, candidate: Range) -> None:
        self._shards.call("enter", name, candidate)

    def errors(self) -> Errors:
        """Of all pictures, by their numbers."""
        return dict(sorted(chain.from_iterable(self._shards.call("errors", range(4)))))

    def better(self, best: Errors) -> Errors | None:
        """All errors, if their sum is smaller than that of ``best`` by more than chance; what is found does not depend
        on how the pictures are shared."""
        limit = total(best) * (1 - GAIN)
        found: Errors = {}
        for rests, most in STAGES:
            if not self._add(rests, found, limit * (1 + ROUNDING)):
                return None
            if len(found) >= LEAST and total(found) > most * total({number: best[number] for number in found}):
                return None
        return found if total(found) < limit else None

    def _add(self, rests: tuple[int, ...], found: Errors, limit: float) -> bool:
        """Adds the errors of the pictures of a stage; False as soon as the sum is above ``limit`` in any order."""
        so_far = total(found)

        def is_too_much(one: tuple[int, float]) -> bool:
            nonlocal so_far
            so_far += one[1]
            return so_far > limit

        found.update(chain.from_iterable(self._shards.call("errors", rests, on_result=is_too_much)))
        return so_far <= limit


def total(errors: Errors) -> float:
    """Their sum, in the order of the pictures' numbers."""
    so_far = 0.0
    for number in sorted(errors):
        so_far += errors[number]  # as every Python adds: sum() of 3.12 rounds otherwise
    return so_far


class _Trial:
    """The quantized network held just before one node, picture by picture: small tensors that the allocator reuses."""

    def __init__(
        self, model: ImportedModel, ranges: Mapping[str, Range], bits: int, per_channel: bool,
        pictures: Sequence[tuple[int, FloatArray]],
    ) -> None:  # fmt: skip
        runner = FloatRunner(model.graph)
        self._quantized = FakeQuantRunner(model.graph, ranges, bits, per_channel)
        kind = error_of(model)
        self._numbers = [number for number, _ in pictures]
        self._errors = [kind(model, runner.torch, runner.run(picture)) for _, picture in pictures]
        self._before = [self._quantized.start(picture) for _, picture in pictures]
        self._first: Errors = {}
        self._position = 0
        self._end = len(model.graph.nodes)

    def enter(self, name: str, candidate: Range) -> tuple[()]:
        """Another range of one layer."""
        self._quantized.ranges[name] = candidate
        return ()

    def advance_to(self, index: int) -> tuple[()]:
        """Runs on to node ``index`` with the ranges as they are now."""
        self._before = [self._quantized.advance(values, self._position, index) for values in self._before]
        self._position = index
        return ()

    def errors(self, rests: Sequence[int]) -> Iterator[tuple[int, float]]:
        """Number and error of each picture whose number modulo 4 is one of ``rests``, computed as it is asked for, in
        units of its error when it was first asked for.

        So every picture has the same say: otherwise one crowded picture would decide alone.
        """
        for number, values, error in zip(self._numbers, self._before, self._errors):
            if number % 4 in rests:
                found = error.of(self._quantized.outputs(self._quantized.advance(values, self._position, self._end)))
                unit = self._first.setdefault(number, max(found, float(np.finfo(np.float32).tiny)))
                yield number, found / unit


def choose_pictures(paths: list[Path], height: int, width: int) -> list[Path]:
    """Evenly spread calibration pictures, as many as the limits allow for an input of that size."""
    count = max(1, min(MAX_PICTURES, MAX_PIXELS // (height * width)))
    return paths[:: -(-len(paths) // count)]


def clipped(seen: Range, absmax: float) -> Range:
    """What was seen, cut at a magnitude of four significant digits: noise of other machines' floats is rounded away."""
    limit = float(f"{absmax:.4g}")
    return Range(max(seen.low, -limit), min(seen.high, limit))
