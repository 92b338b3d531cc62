"""Heads without anchors in a traced network: which fields its outputs hold, by their sizes and by how they are made."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mlu_agent.errors import UserError
from mlu_agent.model.output_spec import FIELDS, MAX_REG, POSES, SEGMENTS, SHAPED

from ..recording.values import Value
from ..values.heads import Head, HeadLayout
from .raw_heads import MOVES, behind_moves, check_convolutions
from .shaped_heads import apart, check_prototypes, keypoints_for, shaped_fields

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..values.heads import HeadRequest

REG_MAX = 16  # of every published network; one tensor per level does not tell it
Named = tuple[str, Value]


def prepared(outputs: Sequence[Named], decode: str, strides: Sequence[int], size: tuple[int, int]) -> list[Named]:
    """Outputs as the agent reads them: joined levels [1, cells, channels] are turned to [1, channels, cells].

    Raises UserError where they do not have the levels' sizes.
    """
    cells = [(size[0] // stride, size[1] // stride) for stride in strides]
    total = sum(rows * columns for rows, columns in cells)
    if decode == SEGMENTS:
        check_prototypes(outputs, size)
    own, shared = apart(outputs, decode)
    result = [(name, _turned(name, value, total)) for name, value in own]
    joined = all(len(value.shape) == 3 for _, value in result)
    for number, (name, value) in enumerate(result):
        expected = (total,) if joined else cells[number * len(cells) // len(result)]
        if value.shape[2:] != expected:
            raise UserError(
                f"--decode {decode}: output {name} is {list(value.shape)}, strides {','.join(map(str, strides))} make "
                f"[1, channels, {', '.join(map(str, expected))}]: name the heads with --outputs, level by level, in "
                "the order of --strides"
            )
    return [*result, *shared]


def _turned(name: str, value: Value, cells: int) -> Value:
    if len(value.shape) != 3 or value.shape[1] != cells or value.shape[2] == cells:
        return value
    shape = (value.shape[0], value.shape[2], value.shape[1])
    return Value(shape, value.half, "permute", (value,), {"axes": (0, 2, 1)}, name=name)


def free_heads(
    names: Sequence[str], outputs: Sequence[Named], asked: HeadRequest, size: tuple[int, int]
) -> tuple[tuple[Head, ...], HeadLayout, int]:
    """Heads, their layout and the number of classes. Raises UserError where the outputs are no such heads."""
    decode, strides = asked.decode, asked.strides
    own, _ = apart(outputs, decode)
    values = [value for _, value in own]
    joined = all(len(value.shape) == 3 for value in values)
    levels = 1 if joined else len(strides)
    each, rest = divmod(len(values), levels)
    if rest or not 1 <= each <= len(FIELDS[decode]):
        raise UserError(
            f"--decode {decode}: {len(values)} outputs for {len(strides)} levels; name the heads with --outputs, level "
            "by level, in the order of --strides"
        )
    channels = [value.shape[1] for value in values[:each]]
    for start in range(0, len(values), each):
        if [value.shape[1] for value in values[start : start + each]] != channels:
            raise UserError(f"--decode {decode}: the levels have different channels; name heads of one kind")
    prototypes, stride = check_prototypes(outputs, size) if decode == SEGMENTS else (0, 0)
    if decode in SHAPED:
        tensors, sizes = shaped_fields(decode, channels, prototypes, asked.keypoints)
        check_convolutions(own, tensors, decode)
    else:
        tensors, sizes = _fields(decode, channels)
    layout = HeadLayout(sizes["box"] // 4, tensors, _activated(values[:each], tensors, sizes), joined)
    if decode == SEGMENTS:
        layout = replace(layout, coefficients=prototypes, prototype_stride=stride)
    if decode == POSES:
        layout = replace(layout, keypoints=keypoints_for(asked.keypoints, sizes["keypoints"]))
    heads = []
    for number, stride in enumerate(strides):
        first = names[:each] if joined else names[number * each : (number + 1) * each]
        heads.append(Head(first[0], stride, more=tuple(first[1:])))
    return tuple(heads), layout, sizes["classes"]


def _fields(decode: str, channels: list[int]) -> tuple[tuple[tuple[str, ...], ...], dict[str, int]]:
    """The fields of each tensor of a level, and the channels of each field."""
    tensors, reg_max, classes = _yolox(channels) if decode == "yolox" else _yolov8(channels)
    return tensors, {"box": 4 * reg_max, "objectness": 1, "classes": classes}


def _yolov8(channels: list[int]) -> tuple[tuple[tuple[str, ...], ...], int, int]:
    if len(channels) == 1:
        classes = channels[0] - 4 * REG_MAX
        if classes < 1:
            raise UserError(
                f"--decode yolov8: a head has {channels[0]} channels, {4 * REG_MAX} distances and at least one class "
                "are needed; where boxes and classes are tensors of their own, name both"
            )
        return (("box", "classes"),), REG_MAX, classes
    turned = channels[0] % 4 != 0 or (channels[1] == 4 * REG_MAX != channels[0])
    box, classes = channels[::-1] if turned else channels
    if box % 4 or box // 4 > MAX_REG:
        raise UserError(f"--decode yolov8: neither of {channels} channels are four times up to {MAX_REG} distances")
    return ((("classes",), ("box",)) if turned else (("box",), ("classes",))), box // 4, classes


def _yolox(channels: list[int]) -> tuple[tuple[tuple[str, ...], ...], int, int]:
    if len(channels) == 1 and channels[0] > 5:
        return (("box", "objectness", "classes"),), 1, channels[0] - 5
    if len(channels) == 3:
        usual = [("box", 4), ("objectness", 1)]
        order: list[str] = [""] * 3
        for field, size in usual:
            place = next((at for at, count in enumerate(channels) if count == size and not order[at]), None)
            if place is None:
                raise UserError(f"--decode yolox: of tensors with {channels} channels none is {field} with {size}")
            order[place] = field
        left = order.index("")
        order[left] = "classes"
        return tuple((field,) for field in order), 1, channels[left]
    raise UserError(
        f"--decode yolox: tensors with {channels} channels are no head; it is one of 5 + classes, or three of 4, 1 and "
        "classes"
    )


def _activated(values: Sequence[Value], tensors: tuple[tuple[str, ...], ...], sizes: dict[str, int]) -> tuple[str, ...]:
    """The scores that are the result of a sigmoid in the network."""
    found = []
    for value, fields in zip(values, tensors):
        parts = _parts(value, [sizes[field] for field in fields])
        found += [field for field, part in zip(fields, parts) if field != "box" and _is_sigmoid(part)]
    return tuple(field for field in ("objectness", "classes") if field in found)


def _parts(value: Value, sizes: list[int]) -> list[Value]:
    """What a tensor's fields are made of: behind what only moves elements, the pieces of a concatenation."""
    while len(sizes) > 1 and value.operation in MOVES and value.inputs:
        if value.operation == "cat" and [one.shape[value.attributes["dim"]] for one in value.inputs] == sizes:
            return list(value.inputs)
        value = value.inputs[0]
    return [value] * len(sizes)


def _is_sigmoid(value: Value) -> bool:
    return all(one.operation == "activation" and one.attributes["function"] == "sigmoid" for one in behind_moves(value))
