"""One ONNX node as its operator sees it: inputs that are there, attributes with their types and bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mlu_agent.errors import DataError

from ...recording.values import Constant, UnsupportedError, Value, new_identity

Tensor = npt.NDArray[Any]
Operand = Any  # a Value that the network computes, a Tensor that is known now, or None
MAX_STEP = 1 << 16
MAX_FOLDED = 1 << 26  # elements of a tensor that is computed now


def bounded(elements: float) -> None:
    """Raises DataError for more than a tensor that is computed now may have: to be asked before it is made."""
    if elements > MAX_FOLDED:
        raise DataError(f"a constant of {elements:.0f} elements is made; no network for this device holds such a one")


@dataclass(frozen=True, eq=False)
class Call:
    """``inputs`` are Values, arrays, or None where an optional one is left out; ``attributes`` are plain Python."""

    operator: str
    name: str
    inputs: tuple[Operand, ...]
    attributes: dict[str, Any]
    opset: int
    outputs: int
    constants: dict[int, tuple[Tensor, Constant]]

    @property
    def place(self) -> str:
        return f"node {self.name} ({self.operator})"

    def operand(self, index: int) -> Operand:
        """An input, None where it is left out."""
        return self.inputs[index] if index < len(self.inputs) else None

    def value(self, index: int = 0) -> Value:
        """An input that the network computes."""
        found = self.operand(index)
        if not isinstance(found, Value):
            raise UnsupportedError(f"its input {index} must be computed by the network")
        return found

    def known(self, index: int) -> Tensor | None:
        """An input that must be known now, None where it is left out."""
        found = self.operand(index)
        if isinstance(found, Value):
            raise UnsupportedError(
                f"its input {index} is computed by the network; only a constant has an operator on the device"
            )
        return None if found is None else np.asarray(found)

    def weights(self, index: int) -> Constant | None:
        """A known input as float32 weights."""
        array = self.known(index)
        return None if array is None else self.constant(array)

    def constant(self, array: Tensor) -> Constant:
        """One Constant for one array, however often it is used."""
        if id(array) not in self.constants:
            made = Constant(np.ascontiguousarray(array, np.float32), new_identity())
            self.constants[id(array)] = (array, made)
        return self.constants[id(array)][1]

    def numbers(self, index: int) -> list[int] | None:
        """A known input of whole numbers."""
        array = self.known(index)
        if array is None:
            return None
        if array.dtype.kind not in "iu" or array.ndim > 1 or array.size > MAX_STEP:
            raise DataError(f"{self.place}: its input {index} must be a list of whole numbers")
        return [int(one) for one in array.reshape(-1)]

    def number(self, index: int) -> float | None:
        """A known input of one number."""
        array = self.known(index)
        if array is None:
            return None
        if array.size != 1:
            raise DataError(f"{self.place}: its input {index} must be one number")
        return float(array.reshape(()))

    def integer(self, key: str, usual: int, low: int = -(1 << 31), high: int = 1 << 31) -> int:
        """An attribute, or ``usual``."""
        value = self.attributes.get(key, usual)
        if type(value) is not int or not low <= value <= high:
            raise DataError(f"{self.place}: {key} = {value!r:.40} is not a whole number from {low} to {high}")
        return value

    def real(self, key: str, usual: float) -> float:
        """An attribute, or ``usual``."""
        value = self.attributes.get(key, usual)
        if type(value) not in (int, float) or not np.isfinite(value):
            raise DataError(f"{self.place}: {key} = {value!r:.40} is not a number")
        return float(value)

    def text(self, key: str, usual: str) -> str:
        """An attribute, or ``usual``."""
        value = self.attributes.get(key, usual)
        if not isinstance(value, str):
            raise DataError(f"{self.place}: {key} = {value!r:.40} is not a text")
        return value

    def integers(self, key: str, usual: list[int] | None = None) -> list[int] | None:
        """An attribute that is a list of whole numbers, or ``usual``."""
        value = self.attributes.get(key, usual)
        if value is not None and (not isinstance(value, list) or not all(type(one) is int for one in value)):
            raise DataError(f"{self.place}: {key} = {value!r:.40} is not a list of whole numbers")
        return value

    def pair(self, key: str, low: int = 1) -> tuple[int, int]:
        """Height and width; 1 where it is left out."""
        values = self.integers(key) or [1, 1]
        if len(values) == 1:
            raise UnsupportedError("it works on one axis; only operators on height and width are on the device")
        if len(values) != 2 or not all(low <= one <= MAX_STEP for one in values):
            raise DataError(f"{self.place}: {key} = {values!r:.60} is not two numbers from {low} to {MAX_STEP}")
        return values[0], values[1]
