"""The recorded computation: what torch was asked to do with tensors of the device, not done yet.

A value is either there (``array``, in torch's axis order) or is made by an operation of other values. Layer-by-layer
calls and fused calls record the same operations and go through the same lowering, so that they compute the same bits.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mlu_agent.errors import DataError, UserError

if TYPE_CHECKING:
    from collections.abc import Iterable

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

_identities = itertools.count(1)


class UnknownApiError(UserError, AttributeError):
    """Something that the vendor's package has (or may have) and this one has not."""


class UnsupportedError(DataError):
    """An operator or a use of one that the simulator has not."""


class PartWriteError(DataError):
    """In-place work that would have to show in another tensor as well."""


@dataclass(frozen=True, eq=False)
class Constant:
    """Numbers that belong to the network (weights); ``identity`` is equal for one tensor in all recordings."""

    array: Array
    identity: int


@dataclass(eq=False)
class Value:
    """One tensor: shape in torch's order, float16 or float32 by ``half``.

    ``operation`` is empty for what came from outside.
    """

    shape: Shape
    half: bool
    operation: str = ""
    inputs: tuple[Value, ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)
    array: Array | None = None
    identity: int = field(default_factory=lambda: next(_identities))
    logical: bool = False  # truth values: 1 and 0
    counts: bool = False  # how many truth values were true: whole numbers
    name: str = ""  # where it comes from, in the words of who recorded it

    @property
    def dtype(self) -> type[np.floating[Any]]:
        return np.float16 if self.half else np.float32


def new_identity() -> int:
    """A number that no other constant of this process has, by which equal weights are known as the same."""
    return next(_identities)


def ordered(outputs: Iterable[Value], leaves: Iterable[Value] = ()) -> list[Value]:
    """The values that ``outputs`` are made of, each behind its inputs; arrays and ``leaves`` end the search."""
    stop = {id(value) for value in leaves}
    seen: set[int] = set()
    result: list[Value] = []
    for output in outputs:
        stack = [(output, False)]
        while stack:
            value, entered = stack.pop()
            if entered:
                result.append(value)
            elif id(value) not in seen:
                seen.add(id(value))
                stack.append((value, True))
                if value.array is None and id(value) not in stop:
                    stack.extend((one, False) for one in reversed(value.inputs))
    return result


def signature(values: list[Value], outputs: list[Value]) -> tuple[Any, ...]:
    """Equal for recordings that are the same network with the same constants, whatever runs through them."""
    numbers = {id(value): number for number, value in enumerate(values)}
    parts = []
    for value in values:
        made = value.array is None
        parts.append(
            (
                value.operation if made else "",
                tuple(numbers[id(one)] for one in value.inputs) if made else (),
                value.shape,
                value.half,
                tuple((key, _frozen(one)) for key, one in sorted(value.attributes.items())) if made else (),
            )
        )
    return tuple(parts), tuple(numbers[id(output)] for output in outputs)


def _frozen(attribute: Any) -> Any:
    if isinstance(attribute, Constant):
        return "constant", attribute.identity
    if isinstance(attribute, (list, tuple)):
        return tuple(_frozen(one) for one in attribute)
    return attribute
