"""The heads of segmentation, poses and oriented boxes: which of a level's tensors holds what, by their sizes.

Beside box and classes each level has a third tensor: mask coefficients, as many as there are prototypes; keypoints,
two or three numbers each; or one angle.
"""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

from mlu_agent.errors import UserError
from mlu_agent.model.output_spec import (
    FIELDS,
    MAX_COEFFICIENTS,
    MAX_KEYPOINTS,
    MAX_PROTOTYPE_STRIDE,
    MAX_REG,
    SEGMENTS,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..recording.values import Value

    Named = tuple[str, Value]

USUAL = 64  # channels of the distances in every published network


def apart(outputs: Sequence[Named], decode: str) -> tuple[Sequence[Named], Sequence[Named]]:
    """What each level has, and what is there for all of them: the prototypes, which are the last output."""
    return (outputs[:-1], outputs[-1:]) if decode == SEGMENTS else (outputs, ())


def check_prototypes(outputs: Sequence[Named], size: tuple[int, int]) -> tuple[int, int]:
    """How many prototypes there are, and their stride. Raises UserError where the last output holds none."""
    name, value = outputs[-1]
    shape = value.shape
    if len(outputs) > 1 and len(shape) == 4 and shape[1] <= MAX_COEFFICIENTS:
        for stride in range(1, MAX_PROTOTYPE_STRIDE + 1):
            if shape[2:] == (size[0] // stride, size[1] // stride):
                return shape[1], stride
    raise UserError(
        f"--decode {SEGMENTS}: the last output has to be the prototypes, [1, up to {MAX_COEFFICIENTS}, height / 4, "
        f"width / 4] as a rule, but {name} is {list(shape)}: name all with --outputs, the prototypes last"
    )


def shaped_fields(
    decode: str, channels: Sequence[int], prototypes: int, keypoints: tuple[int, ...]
) -> tuple[tuple[tuple[str, ...], ...], dict[str, int]]:
    """The fields of each tensor of a level, and the channels of each field. Raises UserError where none fit."""
    fields = FIELDS[decode]
    known = {"coefficients": prototypes, "keypoints": keypoints[0] * keypoints[1] if keypoints else 0, "angle": 1}
    third = known[fields[2]]
    if len(channels) == 1:
        third = third or 51
        sizes = {"box": USUAL, "classes": channels[0] - USUAL - third, fields[2]: third}
        if sizes["classes"] >= 1:
            return (fields,), sizes
    elif len(channels) == 3:
        found = [order for order in permutations(range(3)) if _fits([channels[at] for at in order], third)]
        found.sort(key=lambda order: channels[order[0]] != USUAL)  # else in the order that the network has
        if found:
            places = dict(zip(fields, found[0]))
            tensors = tuple((field,) for field in sorted(fields, key=places.__getitem__))
            return tensors, {field: channels[place] for field, place in places.items()}
    wanted = f"{third} {fields[2]}" if third else f"{fields[2]}, 2 or 3 numbers each"
    raise UserError(
        f"--decode {decode}: a level has tensors of {list(channels)} channels; it is one tensor, or three with "
        f"{USUAL} distances, the classes and {wanted}: name the heads' convolutions with --outputs"
    )


def _fits(sizes: Sequence[int], third: int) -> bool:
    box, _, extra = sizes
    right = extra == third if third else keypoints_of(extra) != ()
    return right and box % 4 == 0 and box // 4 <= MAX_REG


def keypoints_of(channels: int) -> tuple[int, ...]:
    """How many keypoints and their dimensions, the usual ones. () if they are none."""
    return next(keypoint_kinds(channels), ())


def keypoint_kinds(channels: int) -> Iterator[tuple[int, int]]:
    """All keypoints and dimensions that so many channels may be; those with visibility are the usual ones."""
    for dimensions in (3, 2):
        if channels % dimensions == 0 and channels // dimensions <= MAX_KEYPOINTS:
            yield channels // dimensions, dimensions


def keypoints_for(asked: tuple[int, ...], channels: int) -> tuple[int, int]:
    """Those that were asked for, else what their channels tell."""
    count, dimensions = asked or keypoints_of(channels)
    return count, dimensions
