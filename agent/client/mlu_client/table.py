"""Typed access to one map of a message; whatever is not as it must be is a DataError with the field's path."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from .codec import LARGEST, MAJOR, show
from .errors import DataError

_SHOWN = 40
_MOST = 4096  # points of one part
_REMEDY = f"it is damaged, or the publisher is no mlu-agent of version {MAJOR}"


class Table:
    """One map, whose unknown fields are ignored; ``path`` is its name in sentences, "" for the message itself."""

    def __init__(self, values: Any, path: str = "") -> None:
        self._path = path
        if not isinstance(values, Mapping):
            self._refuse("", values, "a map")
        self._values: Mapping[Any, Any] = values

    def has(self, key: str) -> bool:
        """Whether a field is there that later versions brought."""
        return key in self._values

    def integer(self, key: str, lowest: int = 0) -> int:
        """A whole number from ``lowest`` on."""
        value = self._take(key)
        if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= LARGEST:
            self._refuse(key, value, f"a whole number from {lowest} on")
        return value

    def number(
        self, key: str, lowest: float = -math.inf, highest: float = math.inf, *, above: float = -math.inf
    ) -> float:
        """A finite number in lowest..highest that is more than ``above``."""
        value = self._take(key)
        if not _is_number(value) or not lowest <= value <= highest or not value > above:
            bounds = {" of more than": above, " from": lowest, " to": highest}
            said = "".join(f"{word} {bound:g}" for word, bound in bounds.items() if math.isfinite(bound))
            self._refuse(key, value, f"a finite number{said}")
        return float(value)

    def text(self, key: str, pattern: str = "") -> str:
        """A text, all of which matches ``pattern`` if given."""
        value = self._take(key)
        if not isinstance(value, str) or (pattern and not re.fullmatch(pattern, value)):
            self._refuse(key, value, f"a text that fits {pattern}" if pattern else "a text")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts."""
        value = self._take(key)
        if not isinstance(value, (list, tuple)) or not all(isinstance(one, str) for one in value):
            self._refuse(key, value, "a list of texts")
        return tuple(value)

    def integers(self, key: str, longest: int) -> tuple[int, ...]:
        """A list of at most ``longest`` whole numbers from 1 on."""
        value = self._take(key)
        if (
            not isinstance(value, (list, tuple))
            or len(value) > longest
            or not all(isinstance(one, int) and not isinstance(one, bool) and 1 <= one <= LARGEST for one in value)
        ):
            self._refuse(key, value, f"a list of at most {longest} whole numbers from 1 on")
        return tuple(value)

    def data(self, key: str, size: int) -> bytes:
        """So many bytes."""
        value = self._take(key)
        if not isinstance(value, bytes) or len(value) != size:
            self._refuse(key, value, f"data of {size} bytes")
        return value

    def fractions(self, key: str) -> tuple[float, float, float, float]:
        """A list of four numbers in 0..1."""
        value = self._take(key)
        if (
            not isinstance(value, (list, tuple))
            or len(value) != 4
            or not all(_is_number(one) and 0 <= one <= 1 for one in value)
        ):
            self._refuse(key, value, "four numbers from 0 to 1")
        left, top, right, bottom = value
        return float(left), float(top), float(right), float(bottom)

    def points(
        self, key: str, *, sizes: tuple[int, ...] = (2,), least: int = 0, most: int, bounded: bool = True
    ) -> list[tuple[float, ...]]:
        """A list of ``least`` to ``most`` points of so many numbers each, in 0..1 or (``bounded``) any finite ones."""
        value = self._take(key)
        if not _are_points(value, sizes, least, most, bounded=bounded):
            numbers = " or ".join(map(str, sizes)) + (" numbers from 0 to 1" if bounded else " finite numbers")
            self._refuse(key, value, f"a list of {least} to {most} points of {numbers}")
        return [tuple(map(float, point)) for point in value]

    def points_of_parts(self, key: str, *, most: int) -> list[list[tuple[float, ...]]]:
        """A list of at most ``most`` lists of 3 to 4096 points of two numbers in 0..1."""
        value = self._take(key)
        right = isinstance(value, (list, tuple)) and len(value) <= most
        if not right or not all(_are_points(part, (2,), 3, _MOST, bounded=True) for part in value):
            self._refuse(key, value, f"a list of at most {most} lists of 3 to {_MOST} points of 2 numbers from 0 to 1")
        return [[tuple(map(float, point)) for point in part] for part in value]

    def counts(self, key: str) -> dict[str, int]:
        """A map of whole numbers from 0 on, by names."""
        inner = self.table(key)
        return {name: inner.integer(name) for name in inner.names()}

    def numbers(self, key: str) -> dict[str, float]:
        """A map of finite numbers from 0 on, by names."""
        inner = self.table(key)
        return {name: inner.number(name, 0.0) for name in inner.names()}

    def words(self, key: str) -> dict[str, str]:
        """A map of texts, by names."""
        inner = self.table(key)
        return {name: inner.text(name) for name in inner.names()}

    def table(self, key: str) -> Table:
        """The map in the field ``key``."""
        return Table(self._take(key), self._name(key))

    def tables(self, key: str) -> list[Table]:
        """The list of maps in the field ``key``."""
        value = self._take(key)
        if not isinstance(value, (list, tuple)):
            self._refuse(key, value, "a list of maps")
        return [Table(one, f"{self._name(key)}[{index}]") for index, one in enumerate(value)]

    def names(self) -> list[str]:
        """All keys, which are texts."""
        for key in self._values:
            if not isinstance(key, str):
                self._refuse("", key, "a text as key")
        return list(self._values)

    def _take(self, key: str) -> Any:
        if key not in self._values:
            raise DataError(f"message: {self._name(key)} is missing; {_REMEDY}")
        return self._values[key]

    def _name(self, key: str) -> str:
        key = repr(key[:_SHOWN])[1:-1]  # a key may come from outside, too
        return f"{self._path}.{key}" if self._path and key else self._path or key

    def _refuse(self, key: str, value: Any, wanted: str) -> NoReturn:
        field = self._name(key) or "it"
        raise DataError(f"message: {field} is {show(value, _SHOWN)}, not {wanted}; {_REMEDY}")


def _are_points(value: Any, sizes: tuple[int, ...], least: int, most: int, *, bounded: bool) -> bool:
    if not isinstance(value, (list, tuple)) or not least <= len(value) <= most:
        return False
    return all(
        isinstance(point, (list, tuple))
        and len(point) in sizes
        and all(_is_number(one) and (not bounded or 0 <= one <= 1) for one in point)
        for point in value
    )


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return math.isfinite(value) if isinstance(value, float) else abs(value) <= LARGEST
