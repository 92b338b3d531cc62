"""Text from outside on a terminal: shown, never obeyed."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, strategies as st

from mlu_client.text import printable

OBEYED = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # controls, direction and joiners, surrogates, line and paragraph ends


@pytest.mark.parametrize(
    "text, shown",
    [
        ("camera-1: 3 persons", "camera-1: 3 persons"),
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("a\x9b31mred", r"a\x9b31mred"),
        ("rub\x08\x08out\x7f", r"rub\x08\x08out\x7f"),
        ("one\ntwo\r\tthree\x85\u2028four", r"one\ntwo\r\tthree\x85\u2028four"),
        ("evil\u202egpj.exe\u2066\u200f", r"evil\u202egpj.exe\u2066\u200f"),
        ("lone \udc80 surrogate", r"lone \udc80 surrogate"),
        ("行人\u3000été à\u00a0côté", "行人\u3000été à\u00a0côté"),
        ("nul\0", r"nul\x00"),
    ],
)
def test_what_a_terminal_would_obey_is_shown_instead(text: str, shown: str):
    """Escapes are those of Python's literals; scripts and their blanks stay."""
    assert printable(text) == shown


def test_the_line_ends_of_several_lines_may_be_kept():
    """Only what is named: a carriage return beside them is still escaped."""
    assert printable("a: b\n\r\x1bc", keep="\n") == "a: b\n" + r"\r\x1bc"


@given(st.text(st.characters()))
def test_nothing_that_is_obeyed_comes_through(text: str):
    """Whatever the text, and shown text is shown as it is."""
    shown = printable(text)
    assert not OBEYED & {unicodedata.category(letter) for letter in shown}
    assert printable(shown) == shown
    shown.encode()
