"""A moving test picture, for trying a box without a camera."""

from __future__ import annotations

import time

import numpy as np

from .base import Capture, Grab


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
        pixels = self._background.copy()
        side = max(1, min(pixels.shape[:2]) // 8)
        left = number * 8 % max(1, pixels.shape[1] - side)
        pixels[side : 2 * side, left : left + side] = 255
        end = time.monotonic_ns()
        return Grab(pixels, self._arrival_ns, "arrival", number, end, grab_ms=(end - start) / 1e6)

    def close(self) -> None:
        """Nothing to release."""
