"""Small videos and pictures that tests make for themselves, with PyAV."""

from __future__ import annotations

import functools
import re
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mlu_agent.ffmpeg import av  # which must be the first to import it

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class Clip(NamedTuple):
    """Encoded pictures, each a list of H.264 units without start codes."""

    pictures: tuple[tuple[bytes, ...], ...]


@functools.lru_cache(None)
def clip(
    width: int = 320,
    height: int = 240,
    frames: int = 25,
    *,
    interlaced: bool = False,
    noise: int = 0,
    darker: int = 1,
    options: str = "",
) -> Clip:
    """A moving picture, a key frame first. ``noise``: amplitude, for as many bits as a real scene has; ``darker``:
    what its values are divided by; ``options`` in libx264's own words (``x264-params``)."""
    codec = av.CodecContext.create("libx264", "w")
    codec.width, codec.height, codec.pix_fmt, codec.framerate = width, height, "yuv420p", 25
    parameters = ":".join(filter(None, ["keyint=25:scenecut=0", "tff=1" if interlaced else "", options]))
    codec.options = {"preset": "ultrafast", "tune": "zerolatency", "x264-params": parameters}
    packets = []
    for number in range(frames):
        pixels = picture(number, width, height) // darker
        if noise:
            pixels = pixels // 2 + np.random.default_rng(number).integers(0, noise, pixels.shape, np.uint8)
        packets += codec.encode(av.VideoFrame.from_ndarray(pixels, "bgr24"))
    packets += codec.encode(None)
    units = (re.split(b"\0\0\0?\1", bytes(packet)) for packet in packets)
    return Clip(tuple(tuple(unit for unit in parts if unit) for parts in units))


def picture(number: int, width: int, height: int) -> np.ndarray:
    """uint8 (H, W, 3): a gradient with a white square that moves 8 pixels a frame."""
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[:] = np.linspace(20, 200, width, dtype=np.uint8)[None, :, None]
    side = height // 4
    left = number * 8 % (width - side)
    pixels[side : 2 * side, left : left + side] = 255
    return pixels


def write_video(
    path: Path, pictures: Iterable[np.ndarray], codec: str = "libx264", rate: int = 25, **options: str
) -> Path:
    """A video file of pictures, uint8 (H, W, 3) BGR each; its format by its name, ``options`` of the encoder."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for pixels in pictures:
            stream.height, stream.width = pixels.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "bgr24")))
        container.mux(stream.encode(None))
    return path


@functools.lru_cache(None)
def jpegs() -> tuple[bytes, ...]:
    codec = av.CodecContext.create("mjpeg", "w")
    codec.width, codec.height, codec.pix_fmt, codec.time_base = 320, 240, "yuvj420p", Fraction(1, 25)
    frames = (av.VideoFrame.from_ndarray(picture(number, 320, 240), "bgr24") for number in range(10))
    return tuple(bytes(packet) for frame in frames for packet in codec.encode(frame.reformat(format="yuvj420p")))
