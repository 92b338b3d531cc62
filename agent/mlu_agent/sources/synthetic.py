"""A moving test picture, for trying a box without a camera."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import numpy as np

from .base import Capture, Grab

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_KEPT = 4  # pictures of which the memory is used again


class SyntheticCapture(Capture):
    """A gradient with a bright square that moves 8 pixels per frame, at ``fps`` frames per second; it never ends."""

    def __init__(self, width: int, height: int, fps: float) -> None:
        self._interval = 1.0 / fps
        self._position = 0
        self._start = 0.0
        self._arrival_ns = 0
        rows = np.linspace(0, 255, height, dtype=np.uint8)[:, None]
        columns = np.linspace(0, 255, width, dtype=np.uint8)[None, :]
        self._background = np.stack(np.broadcast_arrays(rows, columns, rows[::-1]), axis=-1)
        self._kept: list[NDArray[np.uint8]] = []
        self._squares: list[int] = []  # where each of them has its square

    @property
    def interval_s(self) -> float:
        return self._interval

    def open(self) -> None:
        self._position = 0
        self._start = time.monotonic()

    def advance(self) -> bool:
        time.sleep(max(0.0, self._start + self._position * self._interval - time.monotonic()))
        self._position += 1
        self._arrival_ns = time.time_ns()
        return True

    def take(self) -> Grab:
        number = self._position - 1
        start = time.monotonic_ns()
        side = max(1, min(self._background.shape[:2]) // 8)
        left = number * 8 % max(1, self._background.shape[1] - side)
        pixels = self._picture(side, left)
        pixels[side : 2 * side, left : left + side] = 255
        end = time.monotonic_ns()
        return Grab(pixels, self._arrival_ns, "arrival", number, end, grab_ms=(end - start) / 1e6)

    def _picture(self, side: int, left: int) -> NDArray[np.uint8]:
        """The background, in memory that nobody else has: that of a picture which all have let go, where there is one.
        A copy of all of it for each picture would cost more than all else that the agent does with it."""
        rows = slice(side, 2 * side)
        for index in range(len(self._kept)):
            if sys.getrefcount(self._kept[index]) == _ALONE:  # views of a picture count too
                kept, columns = self._kept[index], slice(self._squares[index], self._squares[index] + side)
                kept[rows, columns] = self._background[rows, columns]
                self._squares[index] = left
                return kept
        pixels: NDArray[np.uint8] = self._background.copy()
        if len(self._kept) < MOST_KEPT:
            self._kept.append(pixels)
            self._squares.append(left)
        return pixels

    def close(self) -> None:
        """Nothing to release."""


_PROBE = [object()]
_ALONE = sys.getrefcount(_PROBE[0])  # what is told of an object that a list alone holds
