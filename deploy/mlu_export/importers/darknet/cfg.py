"""Darknet network descriptions (``.cfg``): text -> sections, every number bounded before use."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlu_agent.config.text import decode_text, text_encoding
from mlu_agent.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_SECTIONS = 4096
_HEADER = re.compile(r"\[([A-Za-z0-9_]+)\]\s*$")


class CfgError(DataError):
    """What is wrong is the description of a network, whatever its weights are."""


@dataclass(frozen=True)
class Section:
    """One ``[kind]`` block; ``line`` is where it starts (0 for built-in descriptions)."""

    kind: str
    options: dict[str, str] = field(default_factory=dict)
    line: int = 0

    def where(self) -> str:
        return f"[{self.kind}]" + (f" in line {self.line}" if self.line else "")

    def integer(self, key: str, default: int, low: int, high: int) -> int:
        """The option as a whole number within low..high; raises DataError."""
        text = self.options.get(key)
        if text is None:
            return default
        return _bounded_int(text, key, low, high, self.where())

    def number(self, key: str, default: float, low: float, high: float) -> float:
        """The option as a number within low..high; raises DataError."""
        text = self.options.get(key)
        if text is None:
            return default
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise DataError(f"{self.where()}: {key} = {text[:40]!r} is not a number from {low} to {high}")
        return value

    def numbers(self, key: str) -> tuple[float, ...]:
        """A comma-separated list of positive numbers up to 65536; empty if absent."""
        parts = self._parts(key)
        return tuple(Section(self.kind, {key: part}, self.line).number(key, 0.0, 0.0, 65536.0) for part in parts)

    def integers(self, key: str, low: int, high: int) -> tuple[int, ...]:
        """A comma-separated list of whole numbers within low..high; empty if absent."""
        return tuple(_bounded_int(part, key, low, high, self.where()) for part in self._parts(key))

    def _parts(self, key: str) -> list[str]:
        parts = [part.strip() for part in self.options.get(key, "").split(",")]
        return [part for part in parts if part][:1024]


def parse_cfg(data: bytes, name: str) -> tuple[Section, ...]:
    """Splits the bytes of a cfg into sections, the first of them ``[net]``. Raises DataError with the wrong line."""
    if text_encoding(data)[1] == "utf-8":
        if b"\0" in data:
            raise DataError(f"{name} is not text: not a Darknet cfg (are the cfg and the weights swapped?)")
        data = _without_foreign_comments(data)
    text = decode_text(data, name, DataError)
    try:
        return _sections(text)
    except DataError as error:
        raise DataError(f"{name}: {error}") from error


def _without_foreign_comments(data: bytes) -> bytes:
    """A cfg says nothing beyond ASCII outside its comments, and these may be in any encoding that has ASCII in it: no
    letter of GBK, Big5, Shift-JIS or Latin-1 holds the byte of a line end, of ``#`` or of ``;``.
    """
    return re.sub(rb"[#;][^\r\n]*", lambda comment: b" " * len(comment[0]), data)


def _sections(text: str) -> tuple[Section, ...]:
    sections: list[Section] = []
    for number, raw in enumerate(re.split(r"\r\n|\r|\n", text), 1):
        line = re.split(r"[#;]", raw, maxsplit=1)[0].strip()
        if not line:
            continue
        header = _HEADER.match(line)
        if header:
            sections.append(Section(header.group(1).lower(), {}, number))
        else:
            _add_option(sections, line, number)
    if not sections or sections[0].kind not in ("net", "network"):
        raise DataError("a Darknet cfg starts with a [net] section; this text does not")
    if len(sections) > MAX_SECTIONS:
        raise DataError(f"{len(sections)} sections; at most {MAX_SECTIONS} are accepted")
    return tuple(sections)


def _add_option(sections: Sequence[Section], line: str, number: int) -> None:
    key, equals, value = line.partition("=")
    if not equals or not sections:
        raise DataError(f"line {number}: expected '[section]' or 'key = value', found {line[:40]!r}")
    sections[-1].options[key.strip().lower()] = value.strip()


def _bounded_int(text: str, key: str, low: int, high: int, where: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        raise DataError(f"{where}: {key} = {text[:40]!r} is not a whole number from {low} to {high}")
    return value
