"""Still pictures from outside: what their headers promise is looked at before anything is decoded."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import zlib
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from mlu_agent.errors import DataError
from mlu_agent.sources.decode import decode_picture, is_picture, read_picture
from mlu_agent.sources.headers import header_problem, picture_size
from mlu_agent.sources.limits import MAX_PIXELS

if TYPE_CHECKING:
    from pathlib import Path

PIXELS = np.random.default_rng(5).integers(0, 255, (37, 53, 3), np.uint8)


def encoded(suffix: str, *parameters: int, pixels: np.ndarray = PIXELS) -> bytes:
    return cv2.imencode(suffix, pixels, parameters)[1].tobytes()


def tiff(width: int, height: int, *, order: str = "<", big: bool = False, kind: int = 4, more: tuple = ()) -> bytes:
    """A TIFF's header with one page: width, height and what else is given as (tag, value)."""
    place, entry = ("Q", "HHQQ") if big else ("I", "HHII")
    tags = sorted([(256, width), (257, height), *more])
    head = b"II" if order == "<" else b"MM"
    head += struct.pack(order + ("HHHQ" if big else "HI"), *((43, 8, 0, 16) if big else (42, 8)))
    entries = b"".join(
        struct.pack(order + ("HHQI4x" if big and kind == 4 else entry), tag, kind, 1, value) for tag, value in tags
    )
    return head + struct.pack(order + ("Q" if big else "H"), len(tags)) + entries + struct.pack(order + place, 0)


FILES = {
    "baseline.jpg": encoded(".jpg"),
    "progressive.jpg": encoded(".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "restarts.jpg": encoded(".jpg", cv2.IMWRITE_JPEG_RST_INTERVAL, 2),
    "eight.png": encoded(".png"),
    "sixteen.png": encoded(".png", pixels=np.zeros((37, 53, 4), np.uint16)),
    "windows.bmp": encoded(".bmp"),
    "packed.tif": encoded(".tif"),
    "plain.tif": encoded(".tif", cv2.IMWRITE_TIFF_COMPRESSION, 1),
    "lossy.webp": encoded(".webp", cv2.IMWRITE_WEBP_QUALITY, 80),
    "lossless.webp": encoded(".webp", cv2.IMWRITE_WEBP_QUALITY, 101),
    "binary.ppm": encoded(".ppm"),
    "grey.pgm": encoded(".pgm", pixels=PIXELS[..., 0]),
    "text.ppm": b"P3\n# a comment\r\n53 # another\n37\n255\n" + b"1 2 3 " * (53 * 37),
}


@pytest.mark.parametrize("name", FILES)
def test_the_header_tells_the_size_that_is_decoded(name):
    """Of every kind that is read; nothing is wrong with a small picture."""
    assert header_problem(FILES[name]) == ""
    assert picture_size(FILES[name]) == (53, 37)
    assert decode_picture(FILES[name], name).shape == (37, 53, 3)


def claiming(name: str, width: int, height: int) -> bytes:
    """The file with another size in its header."""
    data = bytearray(FILES[name])
    if name.endswith(".jpg"):
        place = min(data.find(marker) for marker in (b"\xff\xc0", b"\xff\xc2") if marker in data)
        data[place + 5 : place + 9] = struct.pack(">HH", height, width)
    elif name.endswith(".png"):
        data[16:24] = struct.pack(">II", width, height)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    elif name.endswith(".bmp"):
        data[18:26] = struct.pack("<ii", width, -height)
    elif name == "lossy.webp":
        data[26:30] = struct.pack("<HH", width, height)
    elif name == "lossless.webp":
        data[21:25] = struct.pack("<I", width - 1 | (height - 1) << 14)
    else:
        data = bytearray(data.replace(b"53", b"%d" % width, 1).replace(b"37", b"%d" % height, 1))
    return bytes(data)


@pytest.mark.parametrize("name", [name for name in FILES if not name.endswith(".tif")])
def test_a_picture_of_too_many_pixels_is_refused(name):
    """By its header, before it costs any memory: one pixel row more than 50 million is too much, one less is not."""
    width, height = (10_000, 5_001)
    assert (width * (height - 1)) == MAX_PIXELS == 50_000_000
    assert "more than the 50000000" in header_problem(claiming(name, width, height))
    assert header_problem(claiming(name, width, height - 1)) == ""
    with pytest.raises(DataError, match="50010000 pixels"):
        decode_picture(claiming(name, width, height), name)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("big", [False, True])
def test_a_tiff_of_too_many_pixels_is_refused(order, big):
    """Classic and big, in both orders of bytes; and so are its tiles, strips and samples."""
    assert picture_size(tiff(53, 37, order=order, big=big)) == (53, 37)
    assert header_problem(tiff(10_000, 5_000, order=order, big=big)) == ""
    assert "more than the" in header_problem(tiff(10_000, 5_001, order=order, big=big))
    assert "more than the" in header_problem(tiff(10, 10, order=order, big=big, more=((322, 8192), (323, 8192))))
    assert "more than the" in header_problem(tiff(10_000, 10, order=order, big=big, more=((278, 10_000_000),)))
    assert header_problem(tiff(10_000, 10, order=order, big=big, more=((278, 0xFFFFFFFF),))) == ""


def test_a_tiff_that_can_be_read_in_two_ways_is_refused():
    """A size that is written twice or as something else than a number; samples of more bytes than pictures have."""
    assert "twice" in header_problem(tiff(53, 37, more=((256, 60_000),)))
    assert "twice" in header_problem(tiff(53, 37, kind=5))
    assert "8 bytes a pixel" in header_problem(tiff(53, 37, more=((258, 32), (277, 4))))
    assert header_problem(tiff(53, 37, more=((258, 16), (277, 4)))) == ""


def test_an_animated_webp_is_as_large_as_its_canvas():
    """The extended header's 24 bits count, whatever its frames say."""
    size = b"".join((side - 1).to_bytes(3, "little") for side in (16_000, 16_000))
    assert "more than the" in header_problem(b"RIFF\x40\0\0\0WEBPVP8X\x0a\0\0\0\x02\0\0\0" + size + bytes(40))


def test_a_jpeg_of_endless_scans_or_segments_is_refused():
    """Each scan of a few bytes makes a decoder go over all pixels again: a megabyte of them takes minutes."""
    data = FILES["progressive.jpg"]
    scan = data.rindex(b"\xff\xda")
    usual = data.count(b"\xff\xda")
    more = data[:scan] + data[scan:-2] * (100 - usual + 1)
    assert header_problem(more) == ""
    assert "101 scans, more than 100" in header_problem(more + data[scan:-2])
    note = b"\xff\xfe\0\x02"
    assert header_problem(data[:2] + note * 100 + data[2:]) == ""
    assert "segments" in header_problem(data[:2] + note * 10_000 + data[2:])


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", b"no picture", b"GIF89a", FILES["eight.png"][:20]])
def test_what_is_no_readable_picture_is_told(data):
    """In a sentence with its name and a remedy."""
    with pytest.raises(DataError, match=r"^x\.png is not a readable picture.*; remove or replace it$"):
        decode_picture(data, "x.png")


@st.composite
def damaged(draw):
    """A good file with a few bytes changed, cut out, put in or cut off, most of them in its header."""
    data = bytearray(FILES[draw(st.sampled_from(sorted(FILES)))])
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, min(len(data), draw(st.sampled_from((30, 200, len(data)))))))
        length = draw(st.sampled_from((0, 1, 2, 4)))
        data[place : place + length] = draw(st.binary(min_size=0, max_size=4))
    return bytes(data[: draw(st.sampled_from((len(data), len(data), len(data) // 2)))])


@settings(max_examples=300, deadline=None)
@given(damaged())
def test_what_a_decoder_makes_of_a_damaged_file_has_the_size_that_was_read(data):
    """Two readers of one header must not see two sizes: the limit would hold for one of them only."""
    size = picture_size(data)
    if header_problem(data) or size.width * size.height > 1_000_000:
        return
    try:
        pixels = decode_picture(data, "x")
    except DataError:
        return
    assert pixels.shape[:2] in {size, size[::-1]}  # a picture may ask to be turned


MEMORY = """
import resource, sys
from mlu_agent.errors import DataError
from mlu_agent.sources.decode import read_picture
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    read_picture(sys.argv[1])
except DataError as error:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, error)
"""


def test_a_small_file_of_huge_promises_costs_no_memory(tmp_path: Path):
    """A PNG of a megabyte that would become two gigabytes of pixels."""
    side = 28_000
    rows = zlib.compress(bytes(3 * side + 1) * 100, 1)
    chunk = struct.pack(">I", len(rows)) + b"IDAT" + rows + struct.pack(">I", zlib.crc32(b"IDAT" + rows))
    good = FILES["eight.png"]
    head = good[:16] + struct.pack(">II", side, side) + good[24:29]
    huge = tmp_path / "huge.png"
    huge.write_bytes(head + struct.pack(">I", zlib.crc32(head[12:])) + chunk * 16)
    done = subprocess.run([sys.executable, "-c", MEMORY, huge], capture_output=True, text=True, timeout=60, check=True)
    kilobytes, _, sentence = done.stdout.partition(" ")
    assert "784000000 pixels" in sentence
    assert int(kilobytes) < 50_000


def test_a_file_of_too_many_bytes_is_not_read(tmp_path: Path):
    """One byte more than 256 MiB; the hole that this one is made of would be read in a second."""
    large = tmp_path / "large.png"
    with large.open("wb") as file:
        file.truncate((256 << 20) + 1)
    with pytest.raises(DataError, match="larger than 268435456 bytes"):
        read_picture(large)


def test_a_file_that_is_no_file_is_not_waited_for(tmp_path: Path):
    """A pipe that nobody writes to, whatever its name, is refused at once."""
    os.mkfifo(tmp_path / "pipe.jpg")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="not a regular file"):
        read_picture(tmp_path / "pipe.jpg")
    assert not is_picture(str(tmp_path / "pipe"))


def test_a_picture_is_known_by_its_name_or_its_first_bytes(tmp_path: Path):
    """The same bytes are the same picture under any name, turned as they ask for; a stream of JPEGs is a video."""
    for name in ("a.jpg", "b.jfif", "c.JPE", "d", "e.backup"):
        (tmp_path / name).write_bytes(FILES["baseline.jpg"])
        assert is_picture(str(tmp_path / name))
    (tmp_path / "f.mjpeg").write_bytes(FILES["baseline.jpg"] * 2)
    (tmp_path / "g.txt").write_text("a text")
    assert not is_picture(str(tmp_path / "f.mjpeg"))
    assert not is_picture(str(tmp_path / "g.txt"))
    assert not is_picture(str(tmp_path / "none"))
