"""Video files: colours, combs and turns put right; hostile ones that reach for others or claim too much."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.clips import picture, write_video

from mlu_agent.ffmpeg import av
from mlu_agent.sources import CaptureError
from mlu_agent.sources.base import Reason
from mlu_agent.sources.video import FileCapture
from mlu_agent.sources.video.picture import BT601, Converter

if TYPE_CHECKING:
    from pathlib import Path

# luma's share of red and blue: ITU-R BT.601-7 section 2.5.1, BT.709-6 section 3.2
SHARES = {1: (0.2126, 0.0722), 5: (0.299, 0.114)}
BGR = (40, 90, 200)


def all_of(path: Path) -> list[np.ndarray]:
    capture = FileCapture(str(path))
    capture.open()
    try:
        return [grab.pixels for grab in iter(capture.read, None)]
    finally:
        capture.close()


def refused(path: Path) -> CaptureError:
    with pytest.raises(CaptureError) as caught:
        all_of(path)
    return caught.value


def yuv_frame(matrix: int, *, full: bool, width: int = 64, height: int = 32):
    """A frame of one colour, by the formulas of the standards."""
    blue, green, red = (value / 255 for value in BGR)
    of_red, of_blue = SHARES[matrix]
    luma = of_red * red + (1 - of_red - of_blue) * green + of_blue * blue
    differences = ((blue - luma) / (2 - 2 * of_blue), (red - luma) / (2 - 2 * of_red))
    values = [luma * 255, *(128 + 255 * part for part in differences)]
    if not full:
        values = [16 + 219 * luma, *(128 + 224 * part for part in differences)]
    frame = av.VideoFrame(width, height, "yuv420p")
    for plane, value in zip(frame.planes, values):
        plane.update(np.full(plane.buffer_size, round(value), np.uint8).tobytes())
    return frame


def is_the_colour(pixels: np.ndarray) -> bool:
    return bool((np.abs(pixels.astype(int) - BGR) <= 3).all())


@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize("matrix", [1, 5], ids=["BT.709", "BT.601"])
def test_colours_come_out_by_the_matrix_and_range_that_the_picture_names(matrix: int, full: bool):
    """Each of the four ways to write a colour, also right after a picture of another way: nothing is remembered."""
    converter = Converter()
    for other in (6 - matrix, matrix):
        frame = yuv_frame(other, full=full)
        frame.colorspace, frame.color_range = other, 2 if full else 1
        assert is_the_colour(converter.pixels(frame))


def test_an_unnamed_matrix_is_chosen_by_the_size_as_players_do():
    """HD is BT.709, what is no larger than old television BT.601; a camera of V4L2 means BT.601."""
    for width, height, matrix in ((1280, 720, 1), (1920, 1080, 1), (720, 576, 5), (640, 480, 5), (320, 720, 1)):
        frame = yuv_frame(matrix, full=False, width=width, height=height)
        frame.colorspace = 2
        assert is_the_colour(Converter().pixels(frame)), (width, height)
    frame = yuv_frame(5, full=False, width=1280, height=720)
    frame.colorspace = 2
    assert is_the_colour(Converter(BT601).pixels(frame))


def test_the_pixel_format_may_change_from_one_picture_to_the_next():
    """Other subsampling, other layouts, ten bits, through one converter: the colour of each is its own; the formats of
    JPEG hold the full range also where nothing else says so."""
    converter = Converter()
    for name in ("yuv422p", "nv12", "yuv420p10le", "yuvj420p", "yuyv422", "yuv420p"):
        jpegs = name.startswith("yuvj")
        plain = yuv_frame(1, full=False)
        plain.colorspace, plain.color_range = 1, 1
        frame = plain.reformat(format=name, dst_color_range=2 if jpegs else 1)
        frame.colorspace, frame.color_range = 1, 0 if jpegs else 1
        assert is_the_colour(converter.pixels(frame)), name


def combed() -> np.ndarray:
    """Two moments in one picture: what moved is bright in the upper field and dark in the lower one."""
    pixels = np.full((96, 128, 3), 40, np.uint8)
    pixels[::2] = 200
    return pixels


@pytest.mark.parametrize(
    "name, codec, options",
    [
        ("a.mp4", "libx264", {"qp": "4", "flags": "+ilme+ildct", "x264-params": "interlaced=1:keyint=3"}),
        ("a.ts", "mpeg2video", {"flags": "+ilme+ildct", "b": "8M", "maxrate": "8M", "bufsize": "8M"}),
    ],
    ids=["h264", "mpeg2"],
)
def test_interlaced_pictures_are_made_of_one_field(tmp_path: Path, name: str, codec: str, options: dict[str, str]):
    """No comb and nothing black, for files of the two codecs that are interlaced in the field."""
    pictures = all_of(write_video(tmp_path / name, [combed()] * 6, codec, **options))
    assert len(pictures) == 6
    for pixels in pictures:
        assert pixels.shape == (96, 128, 3)
        assert abs(int(np.median(pixels)) - 200) < 12
        assert pixels.std() < 12


def test_progressive_pictures_are_left_alone(tmp_path: Path):
    """The same lines in a picture that is not interlaced are what the camera saw."""
    (pixels,) = all_of(write_video(tmp_path / "a.mp4", [combed()], qp="4"))
    assert pixels[::2].mean() - pixels[1::2].mean() > 120


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_picture_is_turned_as_its_header_says(tmp_path: Path, quarters: int):
    """A telephone held upright writes lying pictures and how to turn them (ISO 14496-12, the matrix in tkhd)."""
    pixels = np.zeros((64, 96, 3), np.uint8)
    pixels[:16, :16] = 255  # the corner at the top left
    path = write_video(tmp_path / "a.mp4", [pixels], qp="4")
    data = path.read_bytes()
    matrix = data.index(b"tkhd") + 4 + 40
    one = 0x10000
    # clockwise: x' = a x + c y + tx, y' = b x + d y + ty
    a, b, c, d = {1: (0, one, -one, 0), 2: (-one, 0, 0, -one), 3: (0, -one, one, 0)}[quarters]
    path.write_bytes(data[:matrix] + struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 0x40000000) + data[matrix + 36 :])
    (turned,) = all_of(path)
    assert np.abs(turned.astype(int) - np.rot90(pixels, -quarters)).max() < 30
    assert turned.flags.c_contiguous


def test_a_file_that_names_others_is_refused(tmp_path: Path):
    """Scripts and playlists that would make FFmpeg open other files or addresses, and texts that it would draw."""
    write_video(tmp_path / "secret.ts", [picture(0, 64, 48)], "mpeg2video")
    for name, text in (
        ("a.mp4", "ffconcat version 1.0\nfile secret.ts\n"),
        ("b.mp4", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.ts\n#EXT-X-ENDLIST\n"),
        ("c.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n#EXT-X-ENDLIST\n"),
        ("d.txt", "just a text, " * 400),
        ("e.sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"),
    ):
        (tmp_path / name).write_text(text)
        error = refused(tmp_path / name)
        assert (error.permanent, error.code in (Reason.UNSUPPORTED, Reason.BROKEN)) == (True, True), name
        assert name in error.reason


def test_a_name_with_a_colon_is_a_file_and_no_address(tmp_path: Path):
    """tcp:… and concat:… are names like others."""
    for name in ("tcp:x.mp4", "concat:a|b.mp4"):
        assert len(all_of(write_video(tmp_path / name, [picture(0, 64, 48)]))) == 1


def test_a_video_that_claims_too_many_pixels_is_refused_by_its_header(tmp_path: Path, monkeypatch):
    """What the header says, and what the pictures themselves say, each before anything is decoded."""
    path = write_video(tmp_path / "a.mp4", [picture(0, 640, 480)])
    raw = write_video(tmp_path / "a.h264", [picture(0, 640, 480)])
    monkeypatch.setattr("mlu_agent.sources.limits.MAX_PIXELS", 300_000)
    monkeypatch.setattr("mlu_agent.sources.video.reader.LIMITS", {"max_pixels": "300000"})
    monkeypatch.setattr("mlu_agent.sources.video.file.LIMITS", {"max_pixels": "300000"})
    error = refused(path)
    assert (error.code, "640x480 are 307200 pixels" in error.reason) == (Reason.UNSUPPORTED, True)
    capture = FileCapture(str(raw))
    try:
        capture.open()
        assert capture.read() is None
        assert capture.damaged > 0
    except CaptureError as told:
        assert "pixels" in told.reason  # noqa: PT017 - FFmpeg may know the size from either
    finally:
        capture.close()


def test_damaged_places_of_a_file_are_counted_and_read_over(tmp_path: Path):
    """Noise over one picture in the middle: the others come, the damage is counted."""
    path = write_video(tmp_path / "a.avi", [picture(number, 160, 120) for number in range(20)], "mjpeg")
    data = bytearray(path.read_bytes())
    starts = [place for place in range(len(data)) if data[place : place + 4] == b"\xff\xd8\xff\xfe"]
    assert len(starts) == 20
    data[starts[8] : starts[9] - 16] = bytes(starts[9] - 16 - starts[8])
    path.write_bytes(data)
    capture = FileCapture(str(path))
    capture.open()
    pictures = list(iter(capture.read, None))
    capture.close()
    assert len(pictures) == 19
    assert capture.damaged == 1
