"""Text from outside, made fit for a terminal."""

from __future__ import annotations

import base64
import json
import unicodedata
from typing import Any


def printable(text: str, keep: str = "") -> str:
    r"""``text`` with every character escaped that a terminal or a reader would obey instead of show: controls (C0, DEL,
    C1), what changes the direction of writing, what is not seen at all, line ends, lone surrogates. They are written as
    in Python, ``\x1b`` or ``\u202e``; ``keep`` are let through, as the line ends of a text that has several lines.

    Letters, marks and blanks of any script stay; no text is refused.
    """
    if text.isprintable():
        return text
    return "".join(letter if letter in keep or _shows(letter) else _escaped(letter) for letter in text)


def printable_json(value: Any) -> str:
    r"""``value`` as JSON of one line that a terminal shows as it is: letters of any script stay, what ``printable``
    escapes is escaped as JSON does (``\u001b``). Any JSON reader gets the same value; of bytes, for which JSON has no
    word, the text of their base64 (RFC 4648, section 4). ValueError for a number that JSON has no word for."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=_base64)
    if text.isprintable():
        return text
    return "".join(letter if _shows(letter) else json.dumps(letter)[1:-1] for letter in text)


def _base64(value: Any) -> str:
    return base64.b64encode(value).decode("ascii")


def _shows(letter: str) -> bool:
    return letter.isprintable() or unicodedata.category(letter) == "Zs"


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")
