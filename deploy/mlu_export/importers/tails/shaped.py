"""What was found of a tail's heads, and what beside boxes they have: masks, key points, angles."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mlu_agent.model.output_spec import ORIENTED, POSES, SEGMENTS

from ..shaped_heads import keypoint_kinds
from .guesses import decoded

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ...values.heads import HeadRequest
    from .guesses import Guess, Level
    from .rows import Array
    from .tail import Tail

SAMPLE = 200  # rows that are compared
LEAST_ROWS = 5
ERROR, RELATIVE = 1e-3, 1e-4


@dataclass(frozen=True)
class Found:
    """The heads that the tail decodes; ``others`` are cuts that the boxes do not depend on (masks, key points), and
    ``boxes`` is the request for boxes alone where the rule reads more. ``decoded``: the network computes boxes of them,
    which are those of the rule; else it gives the heads as they are.
    """

    request: HeadRequest
    classes: int
    reg_max: int
    tensors: tuple[tuple[str, ...], ...]
    strides: tuple[int, ...]
    others: tuple[str, ...]
    decoded: bool
    boxes: HeadRequest | None = None


def shaped(
    found: Found,
    guess: Guess,
    tail: Tail,
    levels: tuple[Level, ...],
    arrays: Mapping[str, Array],
    ends: Sequence[Sequence[Array]],
) -> Found:
    """The same with the masks or key points that each level's third tensor makes, where the tail gives of ``arrays``
    what the agent makes of them; as it was where it has none, or gives others.
    """
    thirds = [[name for name in level.names if name in found.others] for level in levels]
    if found.request.decode != "yolov8" or any(len(names) != 1 for names in thirds):
        return found
    counts = {tail.cuts[name][1] for (name,) in thirds}
    count = counts.pop()
    shared = [
        name
        for name, array in zip(tail.outputs, ends[0])
        if array.ndim == 4 and array.shape[:2] == (1, count) and len(ends[0]) == len(tail.outputs)
    ]
    if counts:
        return found
    if len(shared) == 1 and len(found.others) == len(levels) + 1:
        raw = np.concatenate([arrays[name][0].reshape(count, -1).T for (name,) in thirds])
        return _with(found, SEGMENTS, thirds, (shared[0],)) if _given(ends, raw) else found
    if len(found.others) == len(levels):
        own = next(number for number in range(3) if number not in guess.chosen)
        posed = replace(guess, decode=POSES, chosen=(*guess.chosen, own), tensors=(*guess.tensors, ("keypoints",)))
        for kind in keypoint_kinds(count):
            made = decoded(replace(posed, keypoints=kind), levels, tail.size, arrays).extra
            if made is not None and _given(ends, made):
                pose = _with(found, POSES, thirds, ())
                return replace(pose, request=replace(pose.request, keypoints=kind))
    return found


def _given(ends: Sequence[Sequence[Array]], made: Array) -> bool:
    """Whether the last columns of a tensor of an end are rows that the agent makes, all of a sample."""
    return any(_among(rows, made) for end in ends for one in end for rows in _last_columns(one, made.shape[1]))


def _last_columns(array: Array, count: int) -> Iterator[Array]:
    """The last of a tensor's columns, whatever axis they are along; rows of zeros are none."""
    flat = np.squeeze(array)
    if flat.dtype.kind != "f" or flat.ndim < 2:
        return
    for table in (flat.reshape(len(flat), -1), flat.reshape(-1, flat.shape[-1]).T):
        if table.shape[1] >= count:
            rows = table[:, table.shape[1] - count :]
            yield rows[rows.any(axis=1)]


def _among(rows: Array, made: Array) -> bool:
    if len(rows) < LEAST_ROWS:
        return False
    made = made[np.argsort(made[:, 0])]
    for row in np.random.default_rng(1).permutation(rows)[:SAMPLE]:
        allowed = ERROR + RELATIVE * np.abs(row).max()
        low, high = np.searchsorted(made[:, 0], (row[0] - allowed, row[0] + allowed))
        if not (np.abs(made[low:high] - row) <= allowed).all(axis=1).any():
            return False
    return True


def oriented(found: Found, levels: tuple[Level, ...]) -> Found:
    """The same with the angles that each level's third tensor makes."""
    thirds = [[name for name in level.names if name in found.others] for level in levels]
    return replace(_with(found, ORIENTED, thirds, ()), boxes=None)  # its boxes are not those of yolov8


def _with(found: Found, decode: str, thirds: list[list[str]], shared: tuple[str, ...]) -> Found:
    """The rule that reads a third tensor of each level behind box and classes, and what all levels share."""
    own = found.request.outputs
    names: list[str] = []
    for number, (third,) in enumerate(thirds):
        names += [*own[2 * number : 2 * number + 2], third]
    request = replace(found.request, outputs=(*names, *shared), decode=decode)
    return replace(found, request=request, others=(), boxes=found.request)
