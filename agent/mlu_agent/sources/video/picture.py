"""From FFmpeg's frame to pixels: colours by its own matrix and range, interlaced and rotated ones put right.

Nothing is remembered from one frame to the next: what changes in mid-stream holds for the frame that says so.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ...ffmpeg import VideoReformatter, av

if TYPE_CHECKING:
    from numpy.typing import NDArray

# ITU-T H.273, table 4; the numbers of FFmpeg's and of swscale's matrices. 5 is BT.601 as well, and what PyAV takes for
# "leave the matrix as it is"
BT709, BT601, BT601_TOO = 1, 6, 5
FULL_RANGE = 2  # AVCOL_RANGE_JPEG
_MATRICES = frozenset({BT709, 4, BT601, 7, 9})  # those that swscale has coefficients for
_SD_WIDTH, _SD_HEIGHT = 1279, 576


class _Shape(NamedTuple):
    width: int
    height: int
    format: str


class Converter:
    """Makes pixels of the frames of one stream. One thread.

    ``matrix``: of frames that name none; None decides by their size, as players do: BT.709 for what is larger than
    television of standard definition was, else BT.601.
    """

    def __init__(self, matrix: int | None = None) -> None:
        self._matrix = matrix
        self._scaler = VideoReformatter()
        self._fields: dict[_Shape, Any] = {}

    def pixels(self, frame: Any) -> NDArray[np.uint8]:
        """uint8 (H, W, 3) BGR, contiguous."""
        width, height = frame.width, frame.height
        source = self._matrix_of(frame)
        full = frame.color_range == FULL_RANGE or frame.format.name.startswith("yuvj")
        rotation = frame.rotation
        # a picture with comb lines is made of one of its two fields: half the lines, of one moment
        half = self._one_field(frame) if frame.interlaced_frame and height > 1 else frame
        bgr = self._scaler.reformat(
            half,
            width=width,
            height=height,
            format="bgr24",
            src_colorspace=source,
            # has no meaning for BGR; another one makes PyAV set the matrix, which else keeps that of the frame before
            dst_colorspace=BT601 if source == BT709 else BT709,
            src_color_range=FULL_RANGE if full else 1,
        )
        return _turned(_pixels_of(bgr), rotation)

    def _matrix_of(self, frame: Any) -> int:
        if frame.colorspace == BT601_TOO:
            return BT601
        if frame.colorspace in _MATRICES:
            return int(frame.colorspace)
        if self._matrix is not None:
            return self._matrix
        return BT709 if frame.width > _SD_WIDTH or frame.height > _SD_HEIGHT else BT601

    def _one_field(self, frame: Any) -> Any:
        """The upper lines of an interlaced frame, as a picture of half the height; no lines are copied for it."""
        shape = _Shape(frame.width, frame.height, frame.format.name)
        graph = self._fields.get(shape)
        if graph is None:
            graph = av.filter.Graph()
            nodes = [
                graph.add_buffer(
                    width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 90000)
                ),
                graph.add("field", "type=top"),
                graph.add("buffersink"),
            ]
            graph.link_nodes(*nodes).configure()
            self._fields = {shape: graph}  # one: streams change rarely, and back hardly ever
        graph.push(frame)
        return graph.pull()


def _pixels_of(bgr: Any) -> NDArray[np.uint8]:
    """The frame's own memory, which lives as long as they do; a copy where its lines have something between them."""
    plane = bgr.planes[0]
    if plane.line_size != 3 * bgr.width:
        return np.asarray(bgr.to_ndarray(), np.uint8)
    return np.frombuffer(plane, np.uint8, bgr.height * plane.line_size).reshape(bgr.height, bgr.width, 3)


def _turned(pixels: NDArray[np.uint8], degrees: int) -> NDArray[np.uint8]:
    """Turned counterclockwise by what is nearest to a multiple of 90 degrees."""
    quarters = round(degrees / 90) % 4
    turned = np.rot90(pixels, quarters) if quarters else pixels
    return np.ascontiguousarray(turned)
