"""Reading a parsed TOML table field by field, all problems told together: path, value, remedy."""

from __future__ import annotations

import difflib
import math
import re
from typing import TYPE_CHECKING, Any

from .addresses import scrub, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ..errors import MluAgentError

SHOWN = 60


def show(value: object) -> str:
    """``value`` for a sentence: short, of one line, and without passwords."""
    text = repr(scrub(shown(value))) if isinstance(value, str) else scrub(repr(value))
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


class Passing(str):
    """A problem that may pass without anybody's doing, such as a file on a mount that comes late."""

    __slots__ = ()


class Fields:
    """One table. A wrong or missing field is noted in ``problems``, and reading goes on with a harmless value."""

    def __init__(self, data: Mapping[str, Any], path: str, problems: list[str]) -> None:
        self._data = data
        self._path = path
        self._known: set[str] = set()
        self.problems = problems

    def path(self, key: str) -> str:
        """Full name of ``key``, as "source[1].url"."""
        return f"{self._path}.{key}" if self._path else key

    def problem(self, key: str, reason: str) -> None:
        """Note that ``key`` is wrong."""
        self.problems.append(f"{self.path(key)}: {reason}")

    def has(self, key: str) -> bool:
        """Whether the field is written; it counts as known."""
        self._known.add(key)
        return key in self._data

    def raw(self, key: str) -> Any:
        """The value as it stands, None if it is not written: for fields of more than one type."""
        return self._data[key] if self.has(key) else None

    def _take(self, key: str, default: object, remedy: str) -> Any:
        if self.has(key):
            return self._data[key]
        if default is None:
            self.problem(key, f"is missing; {remedy}")
        return None

    def text(
        self,
        key: str,
        default: str | None = None,
        *,
        choices: Sequence[str] = (),
        pattern: str = "",
        remedy: str = "write a text in quotes",
        longest: int = 4096,
        printable: bool = True,
        secret: bool = False,
    ) -> str:
        """A string: one of ``choices`` if given, matching all of ``pattern`` if given. Without ``printable`` control
        characters may be in it; a ``secret`` one is never repeated."""
        if choices:
            remedy = "write one of " + ", ".join(f'"{choice}"' for choice in choices)
        value = self._take(key, default, remedy)
        if value is None:
            return default or ""
        right = isinstance(value, str) and len(value) <= longest and (value.isprintable() or not printable)
        right = right and (not choices or value in choices)
        if not right or (pattern and not re.fullmatch(pattern, value)):
            self.problem(key, f"{'what is written' if secret else show(value)} is not accepted; {remedy}")
            return default or ""
        return str(value)

    def integer(self, key: str, default: int | None = None, *, minimum: int, maximum: int) -> int:
        """A whole number in minimum..maximum."""
        remedy = f"write a whole number from {minimum} to {maximum}"
        value = self._take(key, default, remedy)
        if value is None:
            return minimum if default is None else default
        if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
            self.problem(key, f"{show(value)} is not accepted; {remedy}")
            return minimum if default is None else default
        return value

    def number(self, key: str, default: float | None = None, *, minimum: float, maximum: float) -> float:
        """A finite number in minimum..maximum."""
        remedy = f"write a number from {minimum:g} to {maximum:g}"
        value = self._take(key, default, remedy)
        if value is None:
            return minimum if default is None else default
        if not is_number(value) or not minimum <= value <= maximum:
            self.problem(key, f"{show(value)} is not accepted; {remedy}")
            return minimum if default is None else default
        return float(value)

    def boolean(self, key: str, default: bool | None = None) -> bool:
        """true or false."""
        value = self._take(key, default, "write true or false")
        if value is None:
            return bool(default)
        if not isinstance(value, bool):
            self.problem(key, f"{show(value)} is not accepted; write true or false")
            return bool(default)
        return value

    def array(self, key: str, default: list[Any] | None = None, *, longest: int, remedy: str) -> list[Any]:
        """An array of at most ``longest`` values, whatever they are."""
        value = self._take(key, default, remedy)
        if value is None:
            return default or []
        if not isinstance(value, list) or len(value) > longest:
            self.problem(key, f"{show(value)} is not accepted; {remedy}")
            return default or []
        return value

    def table(self, key: str, *, required: bool = False) -> Fields:
        """The table ``[key]``; an empty one if it is not written."""
        value = self._take(key, None if required else {}, f"add a table [{self.path(key)}]")
        if value is not None and not isinstance(value, dict):
            self.problem(key, f"{show(value)} is not a table; write [{self.path(key)}]")
            value = None
        return Fields(value or {}, self.path(key), self.problems)

    def tables(self, key: str, *, longest: int) -> list[Fields]:
        """The tables ``[[key]]`` in their order, counted from 0 in paths."""
        values = self.array(key, [], longest=longest, remedy=f"write at most {longest} tables [[{self.path(key)}]]")
        found = []
        for index, value in enumerate(values):
            name = f"{key}[{index}]"
            if isinstance(value, dict):
                found.append(Fields(value, self.path(name), self.problems))
            else:
                self.problem(name, f"{show(value)} is not a table; write [[{self.path(key)}]]")
        return found

    def items(self) -> Iterable[tuple[str, Any]]:
        """All fields, for a free-form table."""
        self._known.update(self._data)
        return self._data.items()

    def close(self) -> None:
        """Note every field that nobody asked for, with the nearest name that is known."""
        for key in self._data:
            if key not in self._known:
                near = difflib.get_close_matches(key, self._known, n=1)
                hint = f'did you mean "{near[0]}"?' if near else f"known here: {', '.join(sorted(self._known))}"
                self.problem(show(key)[1:-1], f"is not an option; {hint}")


def is_number(value: object) -> bool:
    """Whether ``value`` is a finite int or float, and no bool."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def raise_problems(name: str, problems: Sequence[str], error: type[MluAgentError]) -> None:
    """Raises ``error`` telling all ``problems`` of the file ``name``, one per line; nothing if there are none."""
    if problems:
        raise error("\n".join(f"{name}: {problem}" for problem in problems))
