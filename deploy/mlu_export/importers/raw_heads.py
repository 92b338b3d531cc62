"""Whether what is named as heads was decoded in the network already: a second decoding would make nonsense of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlu_agent.errors import UserError
from mlu_agent.model.output_spec import ANCHORED, FIELDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..recording.values import Value

MOVES = ("permute", "reshape", "slice", "cat")  # operations that only move elements


def check_raw(outputs: Sequence[tuple[str, Value]], decode: str) -> None:
    """Raises UserError where an output was made of its convolutions by more than moving, scaling and sigmoids."""
    for name, value in outputs:
        found = _decoding(value, anchored=decode in ANCHORED)
        if found:
            raise UserError(
                f"--decode {decode}: output {name} is decoded in the network already ({found}); the agent decodes what "
                "the head convolutions give: name those with --outputs"
            )


def check_convolutions(outputs: Sequence[tuple[str, Value]], tensors: Sequence[Sequence[str]], decode: str) -> None:
    """Raises UserError where coefficients, keypoints or angles are not what their convolution gives."""
    for number, (name, value) in enumerate(outputs):
        fields = tensors[number % len(tensors)]
        told = len(fields) == 1 and fields[0] in FIELDS[decode][2:]
        if told and any(one.operation != "conv" for one in behind_moves(value)):
            raise UserError(
                f"--decode {decode}: output {name} was computed with after the head's convolution; name the "
                f"convolution's output, as the agent decodes {fields[0]} itself"
            )


def behind_moves(value: Value) -> list[Value]:
    """What a value's elements are before they are only moved, each value once."""
    found, waiting, seen = [], [value], set()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if one.operation in MOVES and one.inputs:
            waiting.extend(one.inputs)
        else:
            found.append(one)
    return found


def _decoding(value: Value, *, anchored: bool) -> str:
    """What decodes between a value and the convolutions that it is made of, in words; empty where nothing does."""
    waiting, seen = [value], set()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        found = _of(one, anchored)
        if found:
            return found
        if one.operation != "conv" or any(before.operation == "softmax" for before in behind_moves(one.inputs[0])):
            waiting.extend(one.inputs)
    return ""


def _of(value: Value, anchored: bool) -> str:
    if value.operation == "softmax":
        return "a softmax over distances"
    if value.operation == "activation" and anchored and value.attributes["function"] == "sigmoid":
        return "a sigmoid"
    if value.operation == "affine" and any(_varies(value.attributes[key]) for key in ("alpha", "beta")):
        return "a grid of cells"
    return ""


def _varies(constant: object) -> bool:
    """Whether numbers differ from cell to cell, not by channel alone."""
    array = getattr(constant, "array", constant)
    return isinstance(array, np.ndarray) and array.ndim > 1 and bool((array != array[..., :1]).any())
