"""Einsum of two tensors whose letters are a product of matrices."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from mlu_agent.errors import DataError

from ...recording.record import RECORDERS, reshape
from ...recording.values import UnsupportedError, Value

if TYPE_CHECKING:
    from .call import Call


def einsum(call: Call) -> Any:
    """Letters of both and of the result count matrices, letters of both alone are summed over."""
    equation = call.text("equation", "").replace(" ", "")
    terms, _, out = equation.partition("->")
    a, _, b = terms.partition(",")
    if len(call.inputs) != 2 or not _is_product(a, b, out):
        raise UnsupportedError(f"{equation!r:.60} has no operator; products of two tensors have")
    sizes: dict[str, int] = {}
    for letters, operand in zip((a, b), call.inputs):
        if len(letters) != len(operand.shape) or any(
            sizes.setdefault(letter, size) != size for letter, size in zip(letters, operand.shape)
        ):
            raise DataError(f"{call.place}: {equation!r:.60} does not fit its inputs")
    matrices = [letter for letter in out if letter in a and letter in b]
    rows, columns = (
        [letter for letter in out if letter in own and letter not in other] for own, other in ((a, b), (b, a))
    )
    summed = [letter for letter in a if letter in b and letter not in out]
    left = _turned(call, call.inputs[0], a, (matrices, rows, summed), sizes)
    right = _turned(call, call.inputs[1], b, (matrices, summed, columns), sizes)
    product = RECORDERS["aten.matmul.default"](left, right)
    made = [*matrices, *rows, *columns]
    whole = reshape(product, [sizes[letter] for letter in made])
    return RECORDERS["aten.permute.default"](whole, [made.index(letter) for letter in out])


def _is_product(a: str, b: str, out: str) -> bool:
    unique = all(len(set(letters)) == len(letters) and letters.isalpha() for letters in (a, b, out))
    alone = (set(a) ^ set(b)) - set(out)
    return unique and not alone and set(out) <= set(a) | set(b) and bool((set(a) & set(b)) - set(out))


def _turned(call: Call, operand: Any, letters: str, parts: tuple[list[str], ...], sizes: dict[str, int]) -> Any:
    """One axis for each of the matrices' letters, then one for each of the other parts."""
    order = [letters.index(letter) for part in parts for letter in part]
    shape = [sizes[letter] for letter in parts[0]]
    shape += [math.prod(sizes[letter] for letter in part) for part in parts[1:]]
    if isinstance(operand, Value):
        return reshape(RECORDERS["aten.permute.default"](operand, order), shape)
    return call.constant(np.ascontiguousarray(np.asarray(operand).transpose(order).reshape(shape)))
