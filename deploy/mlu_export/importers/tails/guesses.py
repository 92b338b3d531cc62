"""Which heads the convolutions at a tail's beginning may be, by their channels: to be believed only when they fit."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np

from mlu_agent.model.bundle import InputSpec
from mlu_agent.model.output_spec import ANCHORED, FIELDS, KEYPOINTS, MAX_REG, HeadSpec, OutputSpec
from mlu_agent.postprocess.decode import HeadDecoder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlu_agent.postprocess.candidates import Candidates

    from ...values.heads import Anchors
    from .rows import Array

LEAST = 1e-6  # confidence: every cell counts
USUAL_ANCHORS = (3, 1, 2, 4, 5, 6, 9)
USUAL_REG = (16, 17, 8)
MOST_TENSORS = 6  # of one level


@dataclass(frozen=True)
class Level:
    """The convolutions of one size: their names, in an order that is alike in all levels, and their channels."""

    stride: int
    height: int
    width: int
    names: tuple[str, ...]
    channels: tuple[int, ...]


@dataclass(frozen=True)
class Guess:
    """One possible meaning: the fields of the tensors named in ``chosen`` (numbers within a level)."""

    decode: str
    classes: int
    chosen: tuple[int, ...]
    tensors: tuple[tuple[str, ...], ...] = ()
    reg_max: int = 16
    anchors: int = 0
    keypoints: tuple[int, int] = KEYPOINTS


def levels_of(cuts: Mapping[str, tuple[int, ...]], size: tuple[int, int]) -> tuple[Level, ...]:
    """The levels that tensors (1, channels, height, width) make, () where they make none. What has other channels than
    most levels (the prototypes of masks) is none.
    """
    groups: dict[tuple[int, int], list[str]] = {}
    for name, shape in cuts.items():
        if len(shape) != 4 or shape[0] != 1:
            return ()
        groups.setdefault((shape[2], shape[3]), []).append(name)
    levels = []
    for (height, width), names in sorted(groups.items(), reverse=True):
        stride = size[0] // height
        if stride < 2 or (stride * height, stride * width) != size or len(names) > MOST_TENSORS:
            return ()
        ordered = tuple(sorted(names, key=lambda name: (cuts[name][1], name)))
        levels.append(Level(stride, height, width, ordered, tuple(cuts[name][1] for name in ordered)))
    kinds = Counter(level.channels for level in levels)
    usual = max(kinds, key=lambda kind: (kinds[kind], len(kind)), default=())
    return tuple(level for level in levels if level.channels == usual)


def guesses(levels: tuple[Level, ...]) -> Iterator[Guess]:
    """What the levels may be, the usual before the rare."""
    channels = levels[0].channels
    if len(channels) == 1:
        yield from _one_tensor(channels[0])
    for first, second in permutations(range(len(channels)), 2):
        if channels[first] % 4 == 0 and channels[first] // 4 <= MAX_REG:
            fields = (("box",), ("classes",))
            yield Guess("yolov8", channels[second], (first, second), fields, channels[first] // 4)
    for chosen in permutations(range(len(channels)), 3):
        if [channels[number] for number in chosen[:2]] == [4, 1]:
            yield Guess("yolox", channels[chosen[2]], chosen, (("box",), ("objectness",), ("classes",)))


def _one_tensor(channels: int) -> Iterator[Guess]:
    for count in USUAL_ANCHORS:
        if channels % count == 0 and channels // count > 5:
            for decode in reversed(ANCHORED):
                yield Guess(decode, channels // count - 5, (0,), anchors=count)
    for reg_max in USUAL_REG:
        if channels > 4 * reg_max:
            yield Guess("yolov8", channels - 4 * reg_max, (0,), (FIELDS["yolov8"],), reg_max)
            yield Guess("yolov8", channels - 4 * reg_max, (0,), (FIELDS["yolov8"][::-1],), reg_max)
    if channels > 5:
        yield Guess("yolox", channels - 5, (0,), (FIELDS["yolox"],))


def names_of(guess: Guess, levels: tuple[Level, ...]) -> tuple[str, ...]:
    """The tensors that the guess reads, level by level."""
    return tuple(level.names[number] for level in levels for number in guess.chosen)


def decoded(
    guess: Guess, levels: tuple[Level, ...], size: tuple[int, int], arrays: Mapping[str, Any], anchors: Anchors = ()
) -> Candidates:
    """The agent's own boxes of such heads."""
    pairs = anchors or tuple(() for _ in levels)
    heads = tuple(HeadSpec(level.stride, np.array(own, np.float32).reshape(-1, 2)) for level, own in zip(levels, pairs))
    spec = OutputSpec(
        "yolo_heads", guess.decode, heads, reg_max=guess.reg_max, tensors=guess.tensors, keypoints=guess.keypoints
    )
    outputs = [np.ascontiguousarray(arrays[name][0].transpose(1, 2, 0)) for name in names_of(guess, levels)]
    return HeadDecoder(spec, InputSpec(size[1], size[0]), guess.classes)(outputs, LEAST)


def probe(cuts: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
    """Numbers that no two cells share; distances (4 channels of their own) are above 0, as trained ones are."""
    rng = np.random.default_rng(0)
    made = {}
    for name, shape in cuts.items():
        numbers = rng.normal(0, 1, shape)
        made[name] = (np.abs(numbers) + 0.2 if shape[1] == 4 else numbers).astype(np.float32)
    return made


def unverified(levels: tuple[Level, ...]) -> Guess | None:
    """What heads that nothing decodes are by their channels alone, where no other published kind has such."""
    channels = levels[0].channels
    if len(levels) < 2:
        return None
    for guess in guesses(levels):
        usual = guess.decode == "yolox" or guess.reg_max == 16
        if len(guess.chosen) == len(channels) > 1 and usual:
            return guess
    return None


def anchor_probe(guess: Guess, levels: tuple[Level, ...]) -> tuple[dict[str, Array], Array]:
    """Zeros, which make every box as large as its anchor, but for an objectness that tells the anchors apart; and the
    objectness of each level's anchors."""
    logits = np.linspace(-2, 2, len(levels) * guess.anchors, dtype=np.float32).reshape(len(levels), guess.anchors)
    made = {}
    for level, own in zip(levels, logits):
        array = np.zeros((1, guess.anchors, 5 + guess.classes, level.height, level.width), np.float32)
        array[0, :, 4] = own[:, None, None]
        made[level.names[0]] = array.reshape(1, -1, level.height, level.width)
    return made, 1 / (1 + np.exp(-logits))
