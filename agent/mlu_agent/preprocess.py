"""Frame -> the network's input, written into the slot's own buffer.

**Resize.** ``letterbox`` keeps the aspect: scale = min(width / W, height / H), the new size rounded to whole pixels,
centred (the odd pixel of the border goes right and below), border of ``pad_value``. ``corner`` is the same but at the
upper left, as YOLOX has it. ``stretch`` fills the input. All use bilinear interpolation without antialiasing (OpenCV's
INTER_LINEAR), as the detectors' own programs do.
INTER_AREA measured on 128 COCO pictures: mAP50-95 .254 against .248 for YOLOv3-tiny, .335 against .339 for YOLOv5n:
no reason to differ.

**Channels.** A fourth channel "a" is opaque: 255 in uint8 inputs, 1.0 in float inputs, border included. No network
reads it, and the bytes are the same for the same frame.

**Floats.** (x - mean) / std in float32, one rounding per operation; float16 rounds that once more. There are 256
values of each channel, which a table holds: one pass writes them. The border holds the same function of ``pad_value``.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np

from .geometry import Letterbox

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .model.bundle import InputSpec

_CODES = {"rgb": cv2.COLOR_BGR2RGB, "rgba": cv2.COLOR_BGR2RGBA, "bgra": cv2.COLOR_BGR2BGRA}
_WORDS: dict[int, np.dtype[Any]] = {
    4: np.dtype(np.uint32),
    8: np.dtype(np.uint64),
}  # a pixel of so many bytes is stored at once
_ALPHA_LAST = {"argb": "rgba", "abgr": "bgra"}


class _Plan(NamedTuple):
    """Where a frame of one size goes: new size, its corner, and the odd ratio at which pixels are picked (or 0)."""

    width: int
    height: int
    left: int
    top: int
    ratio: int
    letterbox: Letterbox


class Preprocessor:
    """``preprocess`` with its scratch memory kept: one per thread, for any mixture of frame sizes.

    It keeps no memory of the buffers it writes: every call writes every byte of ``out``, which may thus be shared.
    """

    def __init__(self, spec: InputSpec) -> None:
        self.spec = spec
        self._resized = np.empty((spec.height, spec.width, 3), np.uint8)
        self._ordered = np.empty((spec.height, spec.width, len(spec.channels)), np.uint8)
        self._table = _value_table(spec)
        border = np.tile(self._border_value(), spec.width)
        self._unit = _WORDS.get(border.nbytes // spec.width, border.dtype)
        self._border = border.view(self._unit)
        # One table for all channels is read over whole rows, twice as fast as one for each.
        self._shared = self._table.dtype != np.uint8 and bool((self._table == self._table[:, :, :1]).all())

    def __call__(self, pixels: NDArray[np.uint8], out: NDArray[Any]) -> Letterbox:
        """Fills ``out`` (H, W, C of ``spec``, its dtype, C-contiguous) from ``pixels`` uint8 (h, w, 3) BGR.

        Raises ValueError if either array has another shape or dtype.
        """
        self._check(pixels, out)
        plan = _plan(pixels.shape[1], pixels.shape[0], self.spec)
        self._paint_border(plan, out)
        inner = out[plan.top : plan.top + plan.height, plan.left : plan.left + plan.width]
        if self.spec.dtype == "uint8":
            self._write_bytes(pixels, plan, inner)
        else:
            self._write_floats(pixels, plan, inner)
        return plan.letterbox

    def _check(self, pixels: NDArray[np.uint8], out: NDArray[Any]) -> None:
        spec = self.spec
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
            raise ValueError(f"pixels are {pixels.dtype} {pixels.shape}; give uint8 (H, W, 3), BGR")
        expected = (spec.height, spec.width, len(spec.channels))
        if out.shape != expected or out.dtype != spec.dtype or not out.flags.c_contiguous:
            raise ValueError(f"out is {out.dtype} {out.shape}; give contiguous {spec.dtype} {expected}")

    def _write_bytes(self, pixels: NDArray[np.uint8], plan: _Plan, inner: NDArray[np.uint8]) -> None:
        if self.spec.channels == "bgr":
            _resize(pixels, plan, inner)
        else:
            _reorder(self._scaled(pixels, plan), self.spec.channels, inner)

    def _write_floats(self, pixels: NDArray[np.uint8], plan: _Plan, inner: NDArray[Any]) -> None:
        ordered = self._scaled(pixels, plan)
        if self.spec.channels != "bgr":
            target = _block(self._ordered, plan)
            _reorder(ordered, self.spec.channels, target)
            ordered = target
        table = self._table
        if self._shared:
            ordered, inner, table = ordered.reshape(plan.height, -1), _rows(inner), table[0, :, 0]
        if self.spec.dtype == "float16":
            # The table's values are only moved: to OpenCV they are 16-bit integers.
            inner, table = inner.view(np.uint16), table.view(np.uint16)
        cv2.LUT(ordered, table, dst=inner)

    def _scaled(self, pixels: NDArray[np.uint8], plan: _Plan) -> NDArray[np.uint8]:
        if pixels.shape[:2] == (plan.height, plan.width):
            return np.ascontiguousarray(pixels)
        target = _block(self._resized, plan)
        _resize(pixels, plan, target)
        return target

    def _border_value(self) -> NDArray[Any]:
        """One pixel of the border, (C,) of the input's dtype."""
        if self.spec.dtype != "uint8":
            value: NDArray[Any] = self._table[0, self.spec.pad_value].copy()
            return value
        return np.array([255 if name == "a" else self.spec.pad_value for name in self.spec.channels], np.uint8)

    def _paint_border(self, plan: _Plan, out: NDArray[Any]) -> None:
        rows, bottom = _rows(out).view(self._unit), plan.top + plan.height
        depth = rows.shape[1] // self.spec.width
        left, right = plan.left * depth, (plan.left + plan.width) * depth
        rows[: plan.top] = self._border
        rows[bottom:] = self._border
        if plan.width < out.shape[1]:
            rows[plan.top : bottom, :left] = self._border[:left]
            rows[plan.top : bottom, right:] = self._border[right:]


def resize_in_one_thread() -> None:
    """For a process that has other work for its processors: OpenCV's helper makes no frame sooner, and turns while it
    waits for the next one, a fifth of a millisecond a frame."""
    cv2.setNumThreads(1)


def preprocess(pixels: NDArray[np.uint8], spec: InputSpec, out: NDArray[Any]) -> Letterbox:
    """Fills ``out`` (H, W, C) from ``pixels`` uint8 (h, w, 3) BGR as ``spec`` says; returns how the frame lies in it.

    A Preprocessor does the same without allocating its scratch memory each time.
    """
    return Preprocessor(spec)(pixels, out)


def letterbox_of(width: int, height: int, spec: InputSpec) -> Letterbox:
    """The Letterbox of a frame of ``width`` x ``height`` pixels, without touching any pixel."""
    return _plan(width, height, spec).letterbox


@lru_cache(maxsize=256)
def _plan(width: int, height: int, spec: InputSpec) -> _Plan:
    if spec.resize == "stretch":
        new_width, new_height = spec.width, spec.height
    else:
        scale = min(spec.width / width, spec.height / height)
        new_width = max(1, min(spec.width, round(width * scale)))
        new_height = max(1, min(spec.height, round(height * scale)))
    left = top = 0
    if spec.resize == "letterbox":
        left, top = (spec.width - new_width) // 2, (spec.height - new_height) // 2
    letterbox = Letterbox(new_width / width, new_height / height, float(left), float(top), width, height)
    ratio = _odd_ratio(width, height, new_width, new_height)
    return _Plan(new_width, new_height, left, top, ratio, letterbox)


def _odd_ratio(width: int, height: int, new_width: int, new_height: int) -> int:
    """k if both sides shrink by the odd factor k >= 3, and picking pixels was seen to hit the right ones; else 0.

    At an odd factor the bilinear sample falls exactly on the middle pixel of k x k, so picking it gives the same bytes.
    """
    ratio = width // new_width
    if ratio < 3 or ratio % 2 == 0 or (width, height) != (ratio * new_width, ratio * new_height):
        return 0
    index = np.arange(width, dtype=np.uint32)
    row = np.stack((index & 255, index >> 8 & 255, index >> 16), axis=-1).astype(np.uint8)[None]
    picked = cv2.resize(row, (new_width, 1), interpolation=cv2.INTER_NEAREST)
    return ratio if np.array_equal(picked, row[:, ::ratio]) else 0


def _resize(pixels: NDArray[np.uint8], plan: _Plan, target: NDArray[np.uint8]) -> None:
    """Resize into ``target``, a view of the planned size."""
    size = (plan.width, plan.height)
    if plan.ratio and pixels.flags.c_contiguous:
        # Rows are picked by the view, columns by INTER_NEAREST on a view that begins at the middle pixel. Its last
        # row runs over into the next row of the frame, which exists, and is not read there.
        middle = plan.ratio // 2
        rows = pixels[middle :: plan.ratio, middle:]
        shape = (plan.height, pixels.shape[1], 3)
        view = np.lib.stride_tricks.as_strided(rows, shape, rows.strides, writeable=False)
        cv2.resize(view, size, dst=target, interpolation=cv2.INTER_NEAREST)
        return
    cv2.resize(pixels, size, dst=target, interpolation=cv2.INTER_LINEAR)


def _reorder(bgr: NDArray[np.uint8], channels: str, target: NDArray[np.uint8]) -> None:
    """BGR -> ``channels``, into ``target``."""
    cv2.cvtColor(bgr, _CODES[_ALPHA_LAST.get(channels, channels)], dst=target)
    if channels in _ALPHA_LAST:  # the fourth byte goes first, as all pixels have the same
        words = target.view("<u4")
        np.left_shift(words, 8, out=words)
        np.bitwise_or(words, 255, out=words)


def _rows(pixels: NDArray[Any]) -> NDArray[Any]:
    """(H, W, C) whose rows lie in one piece -> (H, W * C) of the same memory."""
    return pixels.reshape(pixels.shape[0], -1)


def _block(scratch: NDArray[np.uint8], plan: _Plan) -> NDArray[np.uint8]:
    """Contiguous (height, width, C) at the start of ``scratch``."""
    depth = scratch.shape[2]
    return scratch.reshape(-1)[: plan.height * plan.width * depth].reshape(plan.height, plan.width, depth)


def _value_table(spec: InputSpec) -> NDArray[Any]:
    """(1, 256, C): the float of each byte in each channel; empty for uint8 inputs."""
    if spec.dtype == "uint8":
        return np.empty((1, 0, 0), np.float32)
    table = np.ones((256, len(spec.channels)), np.float32)
    colours = [index for index, name in enumerate(spec.channels) if name != "a"]
    values = np.arange(256, dtype=np.float32)[:, None]
    table[:, colours] = (values - np.array(spec.mean, np.float32)) / np.array(spec.std, np.float32)
    return table.astype(spec.dtype)[None]
