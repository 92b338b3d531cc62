"""The sizes that picture files promise in their headers, read before a decoder gives them memory.

A decoder takes a header at its word: 1 MB of PNG may ask for gigabytes. What cannot be read here is not decoded.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, NamedTuple

from .limits import size_problem

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_SEGMENTS = 10_000  # of a JPEG; large pictures with colour profiles and previews have hundreds
MAX_SCANS = 100  # of a progressive JPEG: each costs a pass over all pixels, and cameras write ten
MAX_TIFF_ENTRIES = 1000
MAX_SAMPLE_BYTES = 8  # of a TIFF's pixel: four samples of 16 bits
SNIFFED = 32  # bytes that tell the kind of a picture


class _Unreadable(Exception):
    """The header is cut off, or says what no decoder of ours follows."""


class Size(NamedTuple):
    """Columns and rows, before any turning that the file asks for."""

    width: int
    height: int


def picture_kind(start: bytes) -> str:
    """ "JPEG", "PNG", "BMP", "TIFF", "WebP" or "PNM" by a file's first SNIFFED bytes; "" if it is none of these."""
    return next((kind for kind, pattern in _KINDS.items() if re.match(pattern, start, re.DOTALL)), "")


def header_problem(data: bytes | memoryview) -> str:
    """Why a picture file must not be decoded, as the end of a sentence; "" if it may be."""
    kind = picture_kind(bytes(data[:SNIFFED]))
    if not kind:
        return "is not a readable picture: it does not begin like a " + ", ".join(_KINDS)
    try:
        sizes = list(_READERS[kind](data))
    except (_Unreadable, struct.error, OverflowError) as failure:
        detail = f" ({failure})" if isinstance(failure, _Unreadable) else ""
        return f"is not a readable picture: the header of this {kind} cannot be followed{detail}"
    problems = (size_problem(*size) for size in sizes)
    return next((f"is not decoded: {problem}" for problem in problems if problem), "")


def picture_size(data: bytes | memoryview) -> Size | None:
    """The size in a file's header, None where it cannot be read."""
    kind = picture_kind(bytes(data[:SNIFFED]))
    try:
        return next(iter(_READERS[kind](data)), None) if kind else None
    except (_Unreadable, struct.error, OverflowError):
        return None


def picture_turn(data: bytes | memoryview) -> int:
    """EXIF's Orientation: 1 as it is stored, 2 to 8 turned or mirrored; 1 where none can be read."""
    kind, data = picture_kind(bytes(data[:SNIFFED])), bytes(data)
    mark = {"JPEG": b"Exif\0\0", "PNG": b"eXIf", "WebP": b"EXIF"}.get(kind, b"")
    place = data.find(mark) + len(mark) + (4 if kind == "WebP" else 0)
    if kind != "TIFF" and (not mark or mark not in data):
        return 1
    if data[place : place + 6] == b"Exif\0\0":  # some writers of WebP put the JPEG's mark there too
        place += 6
    try:
        turn = _tiff_tags(data[place:], _TURN_TAG).get(274, 1)
    except (_Unreadable, struct.error, OverflowError, IndexError):
        return 1
    return turn if 1 <= turn <= 8 else 1


# Each reader gives the picture's size first, then those of buffers that the file makes a decoder use beside it.


def _jpeg(data: bytes | memoryview) -> Iterator[Size]:
    """ITU-T T.81, annex B: the frame header's size, unless there are too many segments or scans up to the end."""
    size: Size | None = None
    place, scans = 2, 0
    for _ in range(MAX_SEGMENTS):
        found = _MARKER.search(data, place)
        marker = found[1][0] if found else _END
        if marker == _END:
            break
        place = found.end()  # type: ignore[union-attr]
        if marker in _FRAMES and size is None:
            height, width = struct.unpack_from(">HH", data, place + 3)
            size = Size(width, height)
        scans += marker == _SCAN
        place += struct.unpack_from(">H", data, place)[0] if len(data) >= place + 2 else 2
    else:
        raise _Unreadable(f"more than {MAX_SEGMENTS} segments")
    if scans > MAX_SCANS:
        raise _Unreadable(f"{scans} scans, more than {MAX_SCANS}")
    if size is None:
        raise _Unreadable("no frame header")
    yield size


_END, _SCAN = 0xD9, 0xDA
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# behind a segment or a scan's data: what is no stuffed 0, no restart, and stands alone (TEM, SOI) neither
_MARKER = re.compile(rb"\xff+([^\x00\x01\xff\xd0-\xd8])")


def _png(data: bytes | memoryview) -> Iterator[Size]:
    """PNG (ISO/IEC 15948), 11.2.2: IHDR is the first chunk."""
    if bytes(data[8:16]) != b"\0\0\0\rIHDR":
        raise _Unreadable("no IHDR")
    yield Size(*struct.unpack_from(">II", data, 16))


def _bmp(data: bytes | memoryview) -> Iterator[Size]:
    """The bitmap's header: of OS/2 with 16 bits a side, else with 32 and rows that may count downwards."""
    (length,) = struct.unpack_from("<I", data, 14)
    if length == 12:
        yield Size(*struct.unpack_from("<HH", data, 18))
    elif length >= 36:
        width, height = struct.unpack_from("<ii", data, 18)
        yield Size(width, abs(height))
    else:
        raise _Unreadable(f"its length is {length}")


def _webp(data: bytes | memoryview) -> Iterator[Size]:
    """RFC 9649: the canvas of VP8X, or the one picture's own size."""
    kind = bytes(data[12:16])
    if kind == b"VP8X":
        width, height = (int.from_bytes(data[place : place + 3], "little") + 1 for place in (24, 27))
        yield Size(width, height)
    elif kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        yield Size((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    elif kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        yield Size(width & 0x3FFF, height & 0x3FFF)
    else:
        raise _Unreadable("an unknown first chunk")


def _pnm(data: bytes | memoryview) -> Iterator[Size]:
    """Netpbm's P1 to P6: two numbers behind blanks and comments."""
    found = re.match(rb"P[1-6](?:\s|#[^\r\n]*[\r\n])+(\d{1,9})(?:\s|#[^\r\n]*[\r\n])+(\d{1,9})\s", bytes(data[:1024]))
    if not found:
        raise _Unreadable("no width and height")
    yield Size(int(found[1]), int(found[2]))


def _tiff(data: bytes | memoryview) -> Iterator[Size]:
    """TIFF 6.0, section 2, and BigTIFF: the first page, and the tiles or strips that it is made of."""
    tags = _tiff_tags(data, _TIFF_TAGS)
    size = Size(tags[256], tags[257]) if tags.keys() >= {256, 257} else None
    if size is None:
        raise _Unreadable("no width and height")
    if tags.get(258, 1) * tags.get(277, 1) > 8 * MAX_SAMPLE_BYTES:
        raise _Unreadable(f"more than {MAX_SAMPLE_BYTES} bytes a pixel")
    yield size
    if 322 in tags or 323 in tags:
        yield Size(tags.get(322, 0), tags.get(323, 0))
    rows = tags.get(278, 0)
    if size.height < rows < 0xFFFFFFFF:  # which stands for all rows
        yield Size(size.width, rows)


def _tiff_tags(data: bytes | memoryview, wanted: frozenset[int]) -> dict[int, int]:
    """First values of those of the first page's tags that are ``wanted``."""
    order = "<" if data[0] == 0x49 else ">"
    (version,) = struct.unpack_from(order + "H", data, 2)
    big = version == 43
    (place,) = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)
    (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, place)
    if count > MAX_TIFF_ENTRIES:
        raise _Unreadable(f"{count} entries")
    place, length = place + (8 if big else 2), 20 if big else 12
    tags: dict[int, int] = {}
    for entry in range(place, place + count * length, length):
        tag, kind = struct.unpack_from(order + "HH", data, entry)
        if tag in wanted:
            if tag in tags or kind not in _TIFF_TYPES:
                raise _Unreadable(f"tag {tag} is written twice, or is no whole number")
            tags[tag] = _tiff_value(data, entry, order, big)
    return tags


_TIFF_TAGS = frozenset({256, 257, 258, 277, 278, 322, 323})
_TURN_TAG = frozenset({274})
_TIFF_TYPES = {1: "B", 3: "H", 4: "I", 16: "Q"}


def _tiff_value(data: bytes | memoryview, entry: int, order: str, big: bool) -> int:
    """An entry's first value: in the entry, or where it points to if all of them do not fit."""
    kind, count = struct.unpack_from(order + ("HQ" if big else "HI"), data, entry + 2)
    code = _TIFF_TYPES[kind]
    place = entry + (12 if big else 8)
    if struct.calcsize(code) * count > (8 if big else 4):
        (place,) = struct.unpack_from(order + ("Q" if big else "I"), data, place)
    return int(struct.unpack_from(order + code, data, place)[0])


_KINDS = {
    "JPEG": rb"\xff\xd8\xff",
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "BMP": rb"BM.{12}[\x0c\x24-\x80]\0\0\0",
    "TIFF": rb"II[*+]\0|MM\0[*+]",
    "WebP": rb"RIFF.{4}WEBP",
    "PNM": rb"P[1-6][\s#]",
}
_READERS = {"JPEG": _jpeg, "PNG": _png, "BMP": _bmp, "TIFF": _tiff, "WebP": _webp, "PNM": _pnm}
