"""Text from outside, made fit for a terminal."""

from __future__ import annotations

import unicodedata


def printable(text: str, keep: str = "") -> str:
    r"""``text`` with every character escaped that a terminal or a reader would obey instead of show: controls (C0, DEL,
    C1), what changes the direction of writing, what is not seen at all, line ends, lone surrogates. They are written as
    in Python, ``\x1b`` or ``\u202e``; ``keep`` are let through, as the line ends of a text that has several lines.

    Letters, marks and blanks of any script stay; no text is refused.
    """
    if text.isprintable():
        return text
    return "".join(letter if letter in keep or _shows(letter) else _escaped(letter) for letter in text)


def _shows(letter: str) -> bool:
    return letter.isprintable() or unicodedata.category(letter) == "Zs"


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")
