"""Pictures: one file, or all of a folder in the order of their names."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Callable

from ..config.files import reason
from ..errors import DataError
from .base import Capture, CaptureError, Grab, Reason
from .decode import FOREIGN_SUFFIXES, SUFFIXES, read_picture


class PictureCapture(Capture):
    """The pictures of a folder (not of folders in it), or one picture. A broken one is skipped, counted and reported,
    and so is one of a kind that is not read here.

    ``on_unreadable`` is told the sentence. ``left_out``: names of the folder's other files.
    """

    def __init__(self, path: str, *, on_unreadable: Callable[[str], None] | None = None) -> None:
        self.path = Path(path)
        self._on_unreadable = on_unreadable
        self._files: list[Path] = []
        self._position = 0
        self._grab: Grab | None = None
        self.left_out: list[str] = []

    def open(self) -> None:
        try:
            if self.path.is_dir():
                self._files = self._list()
            elif self.path.is_file():
                self._files = [self.path]
        except OSError as error:
            raise CaptureError(f"{self.path} cannot be read: {reason(error)}", code=Reason.UNAUTHORIZED) from None
        if not self._files and not self.path.is_dir():
            sentence = f"{self.path} is neither a picture nor a folder"
            raise CaptureError(sentence, code=Reason.UNSUPPORTED, permanent=True)
        if not self._files:
            # a folder is empty, too, as long as nothing is mounted on it
            raise CaptureError(f"{self.path} holds no picture ({', '.join(SUFFIXES)})", code=Reason.NOT_FOUND)
        self._position = 0

    def _list(self) -> list[Path]:
        files = sorted(self.path.iterdir())
        named = [file for file in files if file.suffix.lower() in (*SUFFIXES, *FOREIGN_SUFFIXES)]
        self.left_out = [file.name for file in files if file not in set(named) and file.is_file()]
        return named

    def advance(self) -> bool:
        # only decoding tells whether a picture is one
        while self._position < len(self._files):
            number, file = self._position, self._files[self._position]
            self._position += 1
            start = time.monotonic_ns()
            try:
                pixels = read_picture(file)
            except DataError as error:
                self._skip(error.message)
                continue
            end = time.monotonic_ns()
            self._grab = Grab(pixels, time.time_ns(), "arrival", number, end, str(file), (end - start) / 1e6)
            return True
        return False

    def _skip(self, sentence: str) -> None:
        self.unreadable += 1
        if self._on_unreadable is not None:
            self._on_unreadable(sentence)

    def take(self) -> Grab:
        grab, self._grab = self._grab, None
        if grab is None:
            raise CaptureError("no picture was advanced to", code=Reason.INTERNAL)
        return grab

    def close(self) -> None:
        self._files = []
        self._grab = None
