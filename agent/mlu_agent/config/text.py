"""The bytes of a text file -> text: UTF-8, or UTF-16 where the bytes say so; what else it may be is named, not guessed.

Names in another encoding would be read without an error and be wrong on the screen, so such a file is refused.
"""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..errors import MluAgentError

_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_SNIFFED = 1 << 16  # bytes that are looked at to tell an encoding
# Lead and trail bytes of GB 2312: punctuation, full-width letters, and the 3755 characters of daily use.
_GBK_LEADS = (range(0xA1, 0xA4), range(0xB0, 0xD8))
_GBK_TRAILS = range(0xA1, 0xFF)
_LETTERS = frozenset((*b"\t\n\r", *range(0x20, 0x7F)))  # of ASCII


def decode_text(data: bytes, name: str, error: type[MluAgentError]) -> str:
    """The text of a file that sentences call ``name``, without a byte order mark.

    Raises ``error`` with line and byte of what is no text of that encoding, and with the encoding that it looks like.
    """
    mark, encoding = text_encoding(data)
    try:
        return data[len(mark) :].decode(encoding)
    except UnicodeDecodeError as failure:
        place = failure.start + len(mark)
        advice = _advice(data[place : place + _SNIFFED], encoding)
        raise error(f"{name}: {_where(data, place, encoding)}; {advice}") from None


def text_encoding(data: bytes) -> tuple[bytes, str]:
    """The byte order mark that a text begins with, b"" for none, and what it is to be read as."""
    found = next(((mark, kind) for mark, kind in _MARKS if data.startswith(mark)), None)
    return found or (b"", _without_mark(data))


def _without_mark(data: bytes) -> str:
    """UTF-16 where letters of ASCII, line ends above all, have a NUL always before or always behind them, and few bytes
    are two such letters side by side, as they are in any text of bytes; else UTF-8.
    """
    units = list(zip(data[:_SNIFFED:2], data[1:_SNIFFED:2]))
    little = sum(first in _LETTERS and not second for first, second in units)
    big = sum(second in _LETTERS and not first for first, second in units)
    plain = sum(first in _LETTERS and second in _LETTERS for first, second in units)
    if len(data) % 2 or (little and big) or not (little or big) or 2 * plain >= len(units):
        return "utf-8"
    return "utf-16-le" if little else "utf-16-be"


def _where(data: bytes, place: int, encoding: str) -> str:
    lines = data[:place].decode(encoding, "ignore").count("\n") + 1
    return f"line {lines} is not {encoding[:6].rstrip('-').upper()} text (byte {place})"


def _advice(data: bytes, encoding: str) -> str:
    likely = likely_encoding(data) if encoding == "utf-8" else ""
    if not likely:
        return "save the file as UTF-8"
    tool = {"GBK": "GBK", "Latin-1": "LATIN1"}[likely]
    return f"it looks like {likely}: save the file as UTF-8, for example by iconv -f {tool} -t UTF-8"


def likely_encoding(data: bytes) -> str:
    """What bytes that are no UTF-8 are likely to be: "GBK" or "Latin-1"; "" for what is no text of either."""
    high = [byte for byte in data if byte >= 0x80]
    controls = sum(byte < 0x20 and byte not in b"\t\n\r\f\x1a" for byte in data)
    if not high or controls:
        return ""
    if 2 * _gbk_pairs(data) >= 0.9 * len(high):
        return "GBK"
    return "" if any(byte < 0xA0 for byte in high) and len(high) > len(data) / 2 else "Latin-1"


def _gbk_pairs(data: bytes) -> int:
    pairs, place = 0, 0
    while place + 1 < len(data):
        if data[place] < 0x80:
            place += 1
            continue
        usual = any(data[place] in leads for leads in _GBK_LEADS) and data[place + 1] in _GBK_TRAILS
        pairs += usual
        place += 2 if usual or data[place + 1] >= 0x40 else 1
    return pairs
