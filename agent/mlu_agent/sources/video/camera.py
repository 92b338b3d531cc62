"""Cameras of this machine, through V4L2."""

from __future__ import annotations

import os
import select
import time
from pathlib import Path
from typing import Any

from ...ffmpeg import av
from ..base import CaptureError, Reason
from .capture import READ_TIMEOUT_S, VideoCapture
from .clock import LiveClock
from .failures import failure
from .picture import BT601, Converter
from .reader import LIMITS, Reader

_SLICE_S = 0.1


class CameraCapture(VideoCapture):
    """A camera by index (/dev/videoN), or by device file. ``width``, ``height`` and ``fps`` are wishes; 0 has none."""

    remote = True

    def __init__(self, device: str, *, width: int = 0, height: int = 0, fps: float = 0.0) -> None:
        super().__init__(device)
        self._path = f"/dev/video{device}" if device.isdigit() else device
        self._options = dict(LIMITS)
        if width and height:
            self._options["video_size"] = f"{width}x{height}"
        if fps:
            self._options["framerate"] = f"{fps:g}"
        self._converter = Converter(BT601)  # what V4L2 means by a matrix that a driver does not name
        self._times = LiveClock(timed=True, held=False)
        self._descriptor = -1
        self._polled_s = 0.0

    def open(self) -> None:
        if not Path(self._path).exists():
            reason = f"camera {self.address}: {self._path} does not exist, the camera is absent"
            raise CaptureError(reason, code=Reason.NOT_FOUND)
        try:
            with self._interrupt.guard():
                container = av.open(self._path, format="v4l2", options=dict(self._options))
        except Exception as error:
            told = failure(error)
            raise CaptureError(f"camera {self.address} cannot be opened: {told.reason}", code=told.code) from None
        try:
            reader = Reader(container, live=True)
        except CaptureError as error:
            container.close()
            raise CaptureError(f"camera {self.address} {error.reason}", code=error.code) from None
        self._times = LiveClock(timed=True, held=False)
        reader.on_packet = lambda pts, now, waited: self._times.packet(pts, now, waited + self._polled_s)
        self._descriptor = _descriptor(self._path)
        self._adopt(reader)
        self._damaged_before = self.damaged

    def advance(self) -> bool:
        while True:
            reader = self._reader
            if reader is None:
                raise CaptureError(f"camera {self.address} is not open", code=Reason.INTERNAL)
            frame = self._step(reader)
            self.damaged = self._damaged_before + reader.damaged
            if frame is None:
                continue
            self._position += 1
            age = self._times.age(frame.time)
            if self._times.is_stale(age):
                self.stale += 1
                continue
            since_s = time.monotonic() - reader.arrived + age
            self._stand(frame, time.time_ns() - int(since_s * 1e9), "arrival")
            self.arrived_s = reader.arrived
            return True

    def _step(self, reader: Reader) -> Any:
        self._wait_readable()
        try:
            with self._interrupt.guard():
                frame = reader.step()
        except av.error.FFmpegError as error:
            raise CaptureError(f"camera {self.address}: {failure(error).reason}", code=failure(error).code) from None
        if reader.ended:
            raise CaptureError(f"camera {self.address} stopped delivering")
        return frame

    def _wait_readable(self) -> None:
        """FFmpeg's own wait for a camera has no end: it begins only when there is a picture."""
        if self._descriptor < 0:
            return
        start = time.monotonic()
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        while not poll.poll(_SLICE_S * 1000):
            if self._interrupt.asked:
                raise CaptureError("stopped")
            if time.monotonic() > start + READ_TIMEOUT_S:
                reason = f"camera {self.address} delivered nothing for {READ_TIMEOUT_S:g} s"
                raise CaptureError(reason, code=Reason.TIMEOUT)
        self._polled_s = time.monotonic() - start


def _descriptor(path: str) -> int:
    """The descriptor by which FFmpeg has the device open, -1 if it cannot be found: a device is opened once only."""
    real = os.path.realpath(path)
    found = (link.name for link in Path("/proc/self/fd").iterdir() if os.path.realpath(link) == real)
    return int(next(found, -1))
