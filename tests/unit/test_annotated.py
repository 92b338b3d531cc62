"""Annotated copies: one file per input, whole, and never in the place of an input."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from mlu_agent.annotated import AnnotatedOutput
from mlu_agent.detections import Detections
from mlu_agent.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

NOISE = np.random.default_rng(3).integers(0, 255, (240, 320, 3), np.uint8)
NONE = Detections.empty()


def put(folder: Path, name: str, pixels: np.ndarray = NOISE) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / name), pixels)
    return folder / name


@pytest.mark.parametrize("given", ["file", "folder", "another name", "a second copy's name"])
def test_no_input_is_replaced(tmp_path: Path, given):
    """Whatever name of it was given: told before anything is written."""
    number = "-2" if given == "a second copy's name" else ""
    path = put(tmp_path / "pictures", f"a{number}.jpg")
    before = path.read_bytes()
    os.link(path, tmp_path / "b.jpg")
    inputs = {
        "file": [str(path)],
        "folder": [str(path.parent)],
        "another name": [str(put(tmp_path, "a.bmp")), str(tmp_path / "b.jpg")],
        "a second copy's name": [str(put(tmp_path, "a.bmp")), str(tmp_path / "b.jpg")],
    }[given]
    with pytest.raises(UserError, match=r"would replace the input .*give another folder"):
        AnnotatedOutput(str(path.parent), inputs)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_copy_of_another_kind_may_lie_beside_its_input(tmp_path: Path):
    """a.bmp becomes a.jpg; what else stands in the folder is none of the inputs and is replaced as ever."""
    path = put(tmp_path, "a.bmp")
    old = put(tmp_path, "a.jpg", NOISE[:10])
    with AnnotatedOutput(str(tmp_path), [str(path)]) as output:
        output.write(str(path), NOISE, NONE, (), None)
    assert cv2.imread(str(old)).shape == NOISE.shape


def test_every_input_has_a_copy_of_its_own(tmp_path: Path):
    """Also where one is called as another one's second copy, and where names are long or come from an address."""
    names = ["x/a.png", "y/a.png", "z/a-2.png", "猫" * 80 + ".png", "rtsp://***@cam/live?…", "rtsp://***@cam/…"]
    with AnnotatedOutput(str(tmp_path)) as output:
        for name in names:
            output.write(name, NOISE, NONE, (), None)
    made = sorted(path.name for path in tmp_path.iterdir())
    assert made == ["a-2-2.jpg", "a-2.jpg", "a.jpg", "live.jpg", "stream.jpg", "猫" * 33 + ".jpg"]


def frames_of(path: Path) -> list[tuple[int, ...]]:
    video = cv2.VideoCapture(str(path))
    sizes = []
    while True:
        found, pixels = video.read()
        if not found:
            return sizes
        sizes.append(pixels.shape)


def test_a_video_keeps_all_frames_their_size_and_their_rate(tmp_path: Path):
    """Odd sizes and rates too; where the size changes another file goes on."""
    with AnnotatedOutput(str(tmp_path)) as output:
        for number in range(12):
            pixels = NOISE[:201, :99] if number < 5 else NOISE
            output.write("cam", np.ascontiguousarray(pixels), NONE, (), 29.97)
    assert frames_of(tmp_path / "cam.mp4") == [(201, 99, 3)] * 5
    assert frames_of(tmp_path / "cam-2.mp4") == [(240, 320, 3)] * 7
    assert cv2.VideoCapture(str(tmp_path / "cam.mp4")).get(cv2.CAP_PROP_FPS) == pytest.approx(29.97, abs=0.01)


@pytest.mark.parametrize("rate", [None, 25.0])
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, small_disk, rate):
    """A picture and a video alike, also when only the last bytes do not fit."""
    for limit in (2000, 40_000):
        with small_disk(limit), pytest.raises(UserError, match=r"a\.(jpg|mp4) cannot be written: File too large"):
            write_twenty(tmp_path, rate)
        assert list(tmp_path.iterdir()) == []


def write_twenty(folder: Path, rate: float | None, then: type[BaseException] | None = None) -> None:
    with AnnotatedOutput(str(folder)) as output:
        for _ in range(20):
            output.write("a", NOISE, NONE, (), rate)
        if then is not None:
            raise then


def test_what_was_drawn_before_an_interruption_is_kept(tmp_path: Path):
    """A video that is ended by Ctrl-C can be played."""
    with pytest.raises(KeyboardInterrupt):
        write_twenty(tmp_path, 25.0, KeyboardInterrupt)
    assert len(frames_of(tmp_path / "a.mp4")) == 20


def test_a_picture_beyond_the_bounds_of_jpeg_is_made_smaller(tmp_path: Path):
    """A copy of 65,500 pixels a side is the largest that there is."""
    with AnnotatedOutput(str(tmp_path)) as output:
        output.write("a", np.zeros((20, 70_000, 3), np.uint8), NONE, (), None)
    assert cv2.imread(str(tmp_path / "a.jpg")).shape == (19, 65_500, 3)
