"""Text from outside on a terminal: shown, never obeyed."""

from __future__ import annotations

import json
import math
import unicodedata

import pytest
from hypothesis import given, strategies as st

from mlu_client.text import printable, printable_json

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


def test_a_line_of_json_says_the_same_and_is_obeyed_by_no_terminal():
    """Letters of any script stand as they are."""
    value = {"a\x1b": ["\x9b", "\u202e", "\x7f", "\n", "行人", "\U000e0001", 1.5, None]}
    line = printable_json(value)
    assert json.loads(line) == value
    assert line == (r'{"a\u001b": ["\u009b", "\u202e", "\u007f", "\n", "行人", "\udb40\udc01", 1.5, null]}')
    with pytest.raises(ValueError, match="JSON"):
        printable_json(math.nan)


@given(st.text(st.characters()))
def test_nothing_that_is_obeyed_comes_through(text: str):
    """Whatever the text, and shown text is shown as it is."""
    shown = printable(text)
    assert not OBEYED & {unicodedata.category(letter) for letter in shown}
    assert printable(shown) == shown
    shown.encode()
