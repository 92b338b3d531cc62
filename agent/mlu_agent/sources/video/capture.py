"""What file, stream and camera share: one reader, the picture it stands at, and an end from outside."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ...ffmpeg import Interrupt
from ..base import Capture, CaptureError, Grab, Reason
from .picture import Converter

if TYPE_CHECKING:
    from .reader import Reader

READ_TIMEOUT_S = 5.0  # for what is to come by itself: a packet, a camera's picture


class VideoCapture(Capture):
    """Subclasses open a reader and ``_stand`` at one picture after the other."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._interrupt = Interrupt()
        self._reader: Reader | None = None
        self._converter = Converter()
        self._rate = 0.0  # frames per second, as the input says
        self._frame: Any = None
        self._position = 0  # pictures decoded so far
        self._capture_time_ns = 0
        self.key_frames: int = 0
        self._clock = "arrival"
        self._damaged_before = 0  # in the openings before this one

    @property
    def interval_s(self) -> float:
        return 1.0 / self._rate if self._rate else 0.0

    def interrupt(self) -> None:
        self._interrupt.ask()

    def close(self) -> None:
        reader, self._reader, self._frame = self._reader, None, None
        if reader is not None:
            with self._interrupt.guard():
                reader.close()

    def _adopt(self, reader: Reader) -> None:
        """Reads from now on with ``reader``, from its first picture on."""
        self._reader, self._rate, self._position = reader, reader.rate, 0

    def _stand(self, frame: Any, capture_time_ns: int, clock: str) -> None:
        """``frame`` is the present picture; where its time comes from, in the words of ``Frame.clock``."""
        self._frame, self._capture_time_ns, self._clock = frame, capture_time_ns, clock
        self.key_frames += bool(frame.key_frame)

    def take(self) -> Grab:
        frame, self._frame = self._frame, None
        if frame is None:
            raise CaptureError("no picture was advanced to", code=Reason.INTERNAL)
        start = time.monotonic_ns()
        pixels = self._converter.pixels(frame)
        end = time.monotonic_ns()
        return Grab(
            pixels, self._capture_time_ns, self._clock, self._position - 1, end, self.address, (end - start) / 1e6
        )
