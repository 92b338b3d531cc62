"""A decoding tail and the rule of the agent that computes the same: found by running both on the same numbers.

However an exporter writes the tail (constants folded or not, split or joined, transposed, with a choice of boxes behind
it), it has to give the boxes that the agent's own decoding gives. What fits is believed, nothing else.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mlu_agent.errors import DataError
from mlu_agent.model.output_spec import ANCHORED

from ...values.heads import HeadRequest
from .guesses import anchor_probe, decoded, guesses, levels_of, names_of, probe, unverified
from .rows import corners, read_rows
from .shaped import Found, oriented, shaped

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlu_agent.postprocess.candidates import Candidates

    from ...values.heads import Anchors
    from .guesses import Guess, Level
    from .rows import Array, Rows
    from .tail import Tail

SAMPLE = 200  # rows that are compared
LEAST_ROWS = 5
SHARE = 0.98  # of them that have to fit: two cells may have equal scores
CONFIDENCE_ERROR = 1e-4
PIXELS, RELATIVE = 0.05, 2e-3


def recognise(tail: Tail) -> Found | None:
    """The heads behind a tail, None where no rule of the agent computes what it does. Raises DataError."""
    levels = levels_of(tail.cuts, tail.size)
    if not levels:
        return None
    arrays = probe(tail.cuts)
    ends = tail.run(arrays)
    cells = sum(level.height * level.width for level in levels)
    for tried in guesses(levels):
        for number, end in enumerate(ends):
            readings = list(read_rows(end, cells, tried.classes))
            for anchors in _anchors(tail, number, tried, levels, cells):
                if _any_fits(readings, decoded(tried, levels, tail.size, arrays, anchors), tail.size):
                    found = _found(tried, levels, tail, anchors, decoded=True)
                    return shaped(found, tried, tail, levels, arrays, ends)
                if tried.decode == "yolov8" and _is_oriented(tried, levels, readings, arrays, tail.size, end):
                    return oriented(_found(tried, levels, tail, (), decoded=True), levels)
    guess = unverified(levels) if any(_passes_on(end, arrays) for end in ends) else None
    return None if guess is None else _found(guess, levels, tail, (), decoded=False)


def _is_oriented(
    guess: Guess,
    levels: tuple[Level, ...],
    readings: Sequence[Rows],
    arrays: Mapping[str, Array],
    size: tuple[int, int],
    end: Sequence[Array],
) -> bool:
    """Whether boxes have the sides of yolov8's, and the angles that the level's third tensor of one channel makes."""
    third = [name for level in levels for name, count in zip(level.names, level.channels) if count == 1]
    if len(levels[0].channels) != 3 or len(third) != len(levels) or len(end) != 1 or end[0].ndim != 3:
        return False
    logits = np.concatenate([arrays[name].reshape(-1) for name in third])
    angles = np.sort((1 / (1 + np.exp(-logits)) - 0.25) * np.pi)
    table = end[0][0]
    columns = [one for one in (table[-1], table[:, -1]) if one.shape == angles.shape]
    if not any(np.abs(np.sort(one) - angles).max() < CONFIDENCE_ERROR for one in columns):
        return False
    candidates = decoded(guess, levels, size, arrays)
    sides = replace(candidates, xyxy=candidates.xyxy[:, 2:] - candidates.xyxy[:, :2])
    return any(_fits(rows, rows.boxes[:, 2:], sides) for rows in readings)


def _found(guess: Guess, levels: tuple[Level, ...], tail: Tail, anchors: Anchors, *, decoded: bool) -> Found:
    names = names_of(guess, levels)
    strides = tuple(level.stride for level in levels)
    request = HeadRequest(names, guess.decode, anchors, () if guess.decode in ANCHORED else strides)
    others = tuple(name for name in tail.cuts if name not in names)
    return Found(request, guess.classes, guess.reg_max, guess.tensors, strides, others, decoded)


def _passes_on(end: Sequence[Array], arrays: Mapping[str, Array]) -> bool:
    """Whether the numbers of all cuts come out as they are, or as sigmoids of theirs."""
    if not end:
        return False
    numbers = np.sort(np.concatenate([one.reshape(-1).astype(np.float32) for one in end]))

    def among(array: Array) -> bool:
        sample = array.reshape(-1)[:: max(1, array.size // SAMPLE)]
        at = np.clip(np.searchsorted(numbers, sample), 1, len(numbers) - 1)
        return bool((np.minimum(np.abs(numbers[at] - sample), np.abs(numbers[at - 1] - sample)) < 1e-6).all())

    return all(among(array) or among(1 / (1 + np.exp(-array))) for array in arrays.values())


def _any_fits(readings: Sequence[Rows], candidates: Candidates, size: tuple[int, int]) -> bool:
    return any(_fits(rows, xyxy, candidates) for rows in readings for _, xyxy in corners(rows.boxes, size))


def _fits(rows: Rows, xyxy: Array, candidates: Candidates) -> bool:
    """Whether the rows are among the candidates: nearly all of a sample have one of their score, class and place."""
    used = np.flatnonzero(np.isfinite(rows.confidence) & (rows.confidence > 100 * CONFIDENCE_ERROR))
    if len(used) < LEAST_ROWS:
        return False
    used = np.random.default_rng(1).permutation(used)[:SAMPLE]
    order = np.argsort(candidates.confidence)
    known = candidates.confidence[order]
    lows = np.searchsorted(known, rows.confidence[used] - CONFIDENCE_ERROR)
    highs = np.searchsorted(known, rows.confidence[used] + CONFIDENCE_ERROR)
    fitting = 0
    for tried, (row, low, high) in enumerate(zip(used, lows, highs)):
        near = order[low:high]
        near = near[candidates.class_id[near] == rows.class_id[row]]
        allowed = PIXELS + RELATIVE * np.abs(xyxy[row]).max()
        fitting += bool((np.abs(candidates.xyxy[near] - xyxy[row]).max(axis=1, initial=0.0) <= allowed).any())
        if tried + 1 - fitting > len(used) * (1 - SHARE):
            return False
    return True


def _anchors(tail: Tail, end: int, guess: Guess, levels: tuple[Level, ...], cells: int) -> Iterator[Anchors]:
    """The anchors that the tail's own sizes of boxes show, in every coding of boxes; () for heads without."""
    if guess.decode not in ANCHORED:
        yield ()
        return
    arrays, objectness = anchor_probe(guess, levels)
    try:
        (made,) = tail.run(arrays, end)
    except DataError:
        return
    for rows in read_rows(made, cells, guess.classes):
        for _, xyxy in corners(rows.boxes, tail.size):
            found = _sizes(rows, xyxy[:, 2:] - xyxy[:, :2], objectness * 0.5)
            if found:
                yield found


def _sizes(rows: Rows, sides: Array, confidences: Array) -> Anchors:
    """Width and height of the boxes of each confidence, () where they differ among themselves or are none."""
    result = []
    for level in confidences:
        pairs = []
        for confidence in level:
            own = sides[np.abs(rows.confidence - confidence) < CONFIDENCE_ERROR]
            if not len(own) or not (own > 0).all() or np.ptp(own, axis=0).max() > PIXELS:
                return ()
            width, height = np.median(own, axis=0)
            pairs.append((round(float(width), 3), round(float(height), 3)))
        result.append(tuple(pairs))
    return tuple(result)
