"""Pictures: one file, or all of a folder in the order of their names."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import cv2
import numpy as np

from ..config.files import reason
from ..errors import DataError
from .base import Capture, CaptureError, Grab

if TYPE_CHECKING:
    from numpy.typing import NDArray

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
MAX_FILE_BYTES = 256 * 1024 * 1024


def is_picture(path: str) -> bool:
    """Whether a name ends like a picture's."""
    return Path(path).suffix.lower() in SUFFIXES


def read_picture(path: str | Path) -> NDArray[np.uint8]:
    """Decodes one picture file: uint8 (H, W, 3) BGR. DataError if it cannot be."""
    try:
        size = Path(path).stat().st_size
        if size > MAX_FILE_BYTES:
            raise DataError(f"{path}: {size} bytes are more than a picture may have ({MAX_FILE_BYTES})")
        data = np.fromfile(path, np.uint8)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {reason(error)}") from None
    pixels: Any = None
    if data.size:
        try:
            pixels = cv2.imdecode(data, cv2.IMREAD_COLOR)
        except cv2.error:  # a header that claims more pixels than OpenCV allows
            pixels = None
    if pixels is None:
        raise DataError(f"{path} is not a picture that can be decoded")
    result: NDArray[np.uint8] = pixels
    return result


class PictureCapture(Capture):
    """The pictures of a folder (not of folders in it), or one picture. A broken one is skipped, counted and reported.

    ``on_unreadable`` is told the sentence.
    """

    def __init__(self, path: str, *, on_unreadable: Callable[[str], None] | None = None) -> None:
        self.path = Path(path)
        self._on_unreadable = on_unreadable
        self._files: list[Path] = []
        self._position = 0
        self._grab: Grab | None = None

    def open(self) -> None:
        try:
            if self.path.is_dir():
                self._files = sorted(file for file in self.path.iterdir() if is_picture(file.name))
            elif self.path.is_file():
                self._files = [self.path]
        except OSError as error:
            raise CaptureError(f"{self.path} cannot be read: {reason(error)}", permanent=True) from None
        if not self._files and not self.path.is_dir():
            raise CaptureError(f"{self.path} is neither a picture nor a folder", permanent=True)
        if not self._files:
            raise CaptureError(f"{self.path} holds no picture ({', '.join(SUFFIXES)})", permanent=True)
        self._position = 0

    def advance(self) -> bool:
        # only decoding tells whether a picture is one
        while self._position < len(self._files):
            number, file = self._position, self._files[self._position]
            self._position += 1
            start = time.monotonic_ns()
            try:
                pixels = read_picture(file)
            except DataError as error:
                self.unreadable += 1
                if self._on_unreadable is not None:
                    self._on_unreadable(error.message)
                continue
            end = time.monotonic_ns()
            self._grab = Grab(pixels, time.time_ns(), "arrival", number, end, str(file), (end - start) / 1e6)
            return True
        return False

    def take(self) -> Grab:
        grab, self._grab = self._grab, None
        if grab is None:
            raise CaptureError("no picture was advanced to")
        return grab

    def close(self) -> None:
        self._files = []
        self._grab = None
