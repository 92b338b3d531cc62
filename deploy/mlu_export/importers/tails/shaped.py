"""What was found of a tail's heads, and what beside boxes they have: masks, key points, angles."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlu_agent.model.output_spec import ORIENTED, POSES, SEGMENTS

from ..shaped_heads import keypoints_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...values.heads import HeadRequest
    from .guesses import Level
    from .rows import Array
    from .tail import Tail


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


def shaped(found: Found, tail: Tail, levels: tuple[Level, ...], end: Sequence[Array]) -> Found:
    """The same with the masks or key points that each level's third tensor makes; as it was where it has none, or other
    tensors.
    """
    thirds = [[name for name in level.names if name in found.others] for level in levels]
    if found.request.decode != "yolov8" or any(len(names) != 1 for names in thirds):
        return found
    counts = {tail.cuts[name][1] for (name,) in thirds}
    count = counts.pop()
    shared = [
        name
        for name, array in zip(tail.outputs, end)
        if array.ndim == 4 and array.shape[:2] == (1, count) and len(end) == len(tail.outputs)
    ]
    if not counts and len(shared) == 1 and len(found.others) == len(levels) + 1:
        return _with(found, SEGMENTS, thirds, (shared[0],))
    if not counts and len(found.others) == len(levels) and keypoints_of(count):
        return _with(found, POSES, thirds, ())
    return found


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
