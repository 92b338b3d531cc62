"""Texts of other systems: read where their bytes say what they are, else blamed by encoding, line and byte."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, strategies as st

from mlu_agent.config.text import decode_text, likely_encoding
from mlu_agent.config.toml import parse_toml
from mlu_agent.errors import DataError, UserError

PART = "cat\n上海 3\n猫\r\n"


@pytest.mark.parametrize("text", [PART, "cat\ndog\n", "猫\n狗\n", 'name = "上"\n'])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_unicode_is_read_with_and_without_its_mark(text, encoding):
    """UTF-16 as Windows writes it, in either order, needs no mark to be told from UTF-8."""
    assert decode_text(text.encode(encoding), "x", DataError) == text


def test_a_mark_counts_for_utf_16_of_either_order():
    """The big end first, with its mark."""
    assert decode_text(b"\xfe\xff" + "猫".encode("utf-16-be"), "x", DataError) == "猫"


AS_UTF_8 = "save the file as UTF-8"
BY_ICONV = f"{AS_UTF_8}, for example by iconv -f"


@pytest.mark.parametrize(
    "data, place, advice",
    [
        ("cat\n安全帽\n反光衣\n".encode("gbk"), (2, 4), f"it looks like GBK: {BY_ICONV} GBK -t UTF-8"),
        ("cat\nGröße\n".encode("latin-1"), (2, 6), f"it looks like Latin-1: {BY_ICONV} LATIN1 -t UTF-8"),
        (b"a\nb\n" + bytes(range(128, 256)), (3, 4), AS_UTF_8),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", (1, 0), AS_UTF_8),
    ],
)
def test_another_encoding_is_named_with_line_and_byte(data, place, advice):
    """What cannot be read is not guessed at: names would be wrong on the screen, without an error."""
    with pytest.raises(UserError) as caught:
        decode_text(data, "x.names", UserError)
    assert str(caught.value) == f"x.names: line {place[0]} is not UTF-8 text (byte {place[1]}); {advice}"


def test_damaged_utf_16_is_blamed_as_such():
    """With half of a letter in the second line."""
    with pytest.raises(UserError, match=r"x: line 2 is not UTF-16 text \(byte 6\); save the file as UTF-8"):
        decode_text(b"\xff\xfea\0\n\0\0\xd8b\0", "x", UserError)


@pytest.mark.parametrize("word", ["naïve café", "Übergröße", "señal de tráfico", "Fußgänger, Fahrräder"])
def test_words_with_accents_are_not_taken_for_chinese(word):
    """Two accented letters side by side would be a letter of GBK, though one that is hardly used."""
    assert likely_encoding(word.encode("latin-1")) == "Latin-1"


@pytest.mark.parametrize("word", ["安全帽", "训练参数", "第一类、第二类。", "人"])
def test_chinese_words_are_recognised(word):
    """By the letters of daily use."""
    assert likely_encoding(word.encode("gbk")) == "GBK"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_a_configuration_as_windows_saves_it_is_read(encoding):
    """TOML is UTF-8, but editors write a mark before it, or UTF-16."""
    assert parse_toml('[model]\nname = "猫"\n'.encode(encoding), "a.toml", UserError) == {"model": {"name": "猫"}}


def test_a_configuration_in_gbk_is_told_with_its_encoding():
    """Comments too are text."""
    with pytest.raises(UserError, match=r"^a.toml: line 2 is not UTF-8 text \(byte 3\); it looks like GBK"):
        parse_toml(b"\n# " + "摄像头的设置\n".encode("gbk"), "a.toml", UserError)


@given(st.binary(max_size=64))
def test_any_bytes_give_text_or_one_sentence(data):
    """Whatever is in a file."""
    with contextlib.suppress(DataError):
        assert isinstance(decode_text(data, "x", DataError), str)
