"""Which rule makes the ranges: the one whose heads are nearest to float's on pictures that it was not calibrated with.

The folder is dealt into four groups (``split``); in four turns three of them calibrate and some of the fourth judge.
Each picture that judges is run by the float network and, for each rule, by the quantized one; their distance is what
refinement takes: of confidences, and of boxes as far as there is an object. The first rule is the usual one and stays
unless another is nearer by more than chance, told by the pictures' own differences. The ranges are then those of the
rule on all pictures.

Looked at with labels, once and by hand (the tree has no script of it), on 128 pictures of COCO, ten rules, each picture
judged by ranges of others: the mAP that is lost goes with the logarithm of the distance for YOLOv5n (correlation .97)
and Yolo-Fastest (.91). For YOLOv3-tiny it does not (.13): chance moves mAP by .009, more than its rules differ. The
distance tells half as much again from some dozens of pictures.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..formats.pictures import float_picture, read_picture
from ..runners.fake_quantization import FakeQuantRunner
from ..runners.float_graph import FloatRunner
from .calibrate import merge, observe_groups
from .distance import error_of
from .observe import LayerObserver
from .split import FEWEST, GROUPS, deal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from mlu_agent.model.bundle import InputSpec

    from ..shards.team import Team
    from ..values.graph import ImportedModel
    from ..values.ranges import Range
    from .distance import DetectionError, TensorError

    Layers = dict[str, LayerObserver]
    Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Rule:
    """An observer, and the percentile in case it is that."""

    observer: str
    percentile: float = 0.0

    @property
    def told(self) -> str:
        return f"{self.observer} {self.percentile:g}" if self.percentile else self.observer


# Those that won anywhere among ten, and the two ends: narrower ranges (99.9 %, the first power) lost ten times as much.
RULES = (Rule("mse"), Rule("error2.5"), Rule("percentile", 99.99), Rule("percentile", 99.999), Rule("minmax"))
JUDGED_PIXELS = 32 * 640 * 640  # of all pictures that judge: half of the time that calibration takes
MOST_JUDGED = 128
SURE = 2.25  # standard deviations of a gain: of four other rules that gain nothing one in twenty times one is taken


def choose(
    model: ImportedModel, spec: InputSpec, paths: Sequence[Path], usual_bits: int, per_channel: bool, team: Team
) -> tuple[dict[str, Range], Rule, str]:
    """The ranges, the rule that made them, and how they were found, in words. Raises DataError and UserError."""
    bits = {conv.name: conv.bits or usual_bits for conv in model.graph.quantized()}
    dealt = deal(paths)
    if not dealt:
        (layers,) = observe_groups(model.graph, spec, paths, [0] * len(paths), team)
        print(
            f"mlu-export: note: {len(paths)} pictures are too few to judge rules by ({FEWEST} that differ are needed): "
            f"{RULES[0].told}, the usual one",
            file=sys.stderr,
        )
        return finish(layers, RULES[0], bits), RULES[0], RULES[0].told
    judges = choose_judges(dealt, spec.height * spec.width)
    work = len(judges) * (len(RULES) + 1) // len(paths) + 1
    groups = observe_groups(model.graph, spec, paths, dealt, team, passes=work)
    turns = [_of_others(groups, turn) for turn in range(GROUPS)]
    candidates = [[finish(layers, rule, bits) for rule in RULES] for layers in turns]
    make = partial(_Judging, model, candidates, usual_bits, per_channel, spec)
    shards_of = [(paths[number], dealt[number]) for number in judges]
    distances = np.array(_judged(team, make, shards_of))
    best = best_rule(distances)
    split = _split_words(dealt, judges)
    print(f"mlu-export: note: {split}: {_comparison(distances, best)}", file=sys.stderr)
    everything = _of_others(groups, -1)
    rule = RULES[best]
    return finish(everything, rule, bits), rule, f"{rule.told}, chosen of {len(RULES)} rules; {split}"


def finish(layers: Mapping[str, LayerObserver], rule: Rule, bits: Mapping[str, int]) -> dict[str, Range]:
    """The ranges by a rule; layers of 16 bits have steps to spare and take all that was seen."""
    return {
        name: layer.finish("minmax" if bits[name] == 16 else rule.observer, bits[name], rule.percentile)
        for name, layer in layers.items()
    }


def choose_judges(dealt: Sequence[int], pixels: int) -> list[int]:
    """The numbers of the pictures that judge: as many of each group, evenly spread, as the input's size allows."""
    each = max(1, min(MOST_JUDGED, JUDGED_PIXELS // pixels) // GROUPS)
    found: list[int] = []
    for group in range(GROUPS):
        mine = [number for number, one in enumerate(dealt) if one == group]
        found += mine[:: -(-len(mine) // each)]
    return sorted(found)


def best_rule(distances: Floats) -> int:
    """The number of the rule (K) that distances (J, K) of pictures speak for: the first, or the nearest of those that
    gain on it by more than chance.
    """
    gains = distances[:, :1] - distances
    chance = gains.std(axis=0, ddof=1) / np.sqrt(len(gains)) if len(gains) > 1 else np.full(gains.shape[1], np.inf)
    better = gains.mean(axis=0) > SURE * chance
    better[0] = False
    return int(np.where(better, distances.sum(axis=0), np.inf).argmin()) if better.any() else 0


def _of_others(groups: Sequence[Layers], turn: int) -> Layers:
    """What the layers saw of all groups but one."""
    layers = {name: LayerObserver() for name in groups[0]}
    for number, group in enumerate(groups):
        if number != turn:
            merge([layers], [group])
    return layers


def _judged(team: Team, make: partial[_Judging], pictures: Sequence[tuple[Path, int]]) -> list[list[float]]:
    return team.map(partial(_judge, make), pictures, "judging")


def _judge(make: partial[_Judging], pictures: Sequence[tuple[Path, int]]) -> Iterator[list[float]]:
    return make().distances(pictures)


class _Judging:
    """The float network and the quantized one with the ranges of every turn and rule."""

    def __init__(
        self, model: ImportedModel, candidates: Sequence[Sequence[Mapping[str, Range]]], bits: int, per_channel: bool,
        spec: InputSpec,
    ) -> None:  # fmt: skip
        self._model = model
        self._candidates = candidates
        self._spec = spec
        self._exact = FloatRunner(model.graph)
        self._quantized = FakeQuantRunner(model.graph, candidates[0][0], bits, per_channel)
        self._kind = error_of(model)

    def distances(self, pictures: Sequence[tuple[Path, int]]) -> Iterator[list[float]]:
        """Of each picture, by each rule whose ranges did not see it."""
        for path, turn in pictures:
            picture, _ = float_picture(read_picture(path), self._spec)
            exact = self._kind(self._model, self._exact.torch, self._exact.run(picture))
            yield [self._distance(picture, exact, ranges) for ranges in self._candidates[turn]]

    def _distance(
        self, picture: npt.NDArray[np.float32], exact: DetectionError | TensorError, ranges: Mapping[str, Range]
    ) -> float:
        self._quantized.ranges = dict(ranges)
        return exact.of(self._quantized.outputs_of(picture))


def _split_words(dealt: Sequence[int], judges: Sequence[int]) -> str:
    """Of the first turn; the others differ from it by a picture at most."""
    judging = sum(dealt[number] == 0 for number in judges)
    fitted = sum(group != 0 for group in dealt)
    return f"{fitted} pictures calibrate, {judging} judge, in {GROUPS} turns"


def _comparison(distances: Floats, best: int) -> str:
    """``mse is best; the heads are further from float's with minmax (1.72 times), ...``."""
    sums = distances.sum(axis=0)
    least = max(float(sums[best]), float(np.finfo(np.float64).tiny))
    others = [f"{rule.told} {sums[number] / least:.2f}" for number, rule in enumerate(RULES) if number != best]
    kept = "" if best else " (the usual one, which no other beats beyond chance)"
    return f"{RULES[best].told}{kept}; the others' distances to float as parts of its own: {', '.join(others)}"
