"""Video through OpenCV: files, RTSP and HTTP streams, cameras."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..config.addresses import shown
from ..config.files import path_problem
from .base import Capture, CaptureError, Grab

OPEN_TIMEOUT_MS = 5000
READ_TIMEOUT_MS = 5000
MAX_PLAUSIBLE_FPS = 1000.0
TEXT_FOURCC = int.from_bytes(b"ansi", "little")  # FFmpeg plays text files, as pictures of a terminal
END_TOLERANCE = 0.05
END_FRAMES = 2  # containers count packets, and the first or the last of them may give no picture
STREAM_SCHEMES = ("rtsp://", "rtsps://", "rtmp://", "http://", "https://", "udp://", "tcp://")


def is_stream(address: str) -> bool:
    """Whether an address names a network stream rather than a file or a camera."""
    return address.lower().startswith(STREAM_SCHEMES)


class _VideoCapture(Capture):
    """What file, stream and camera share."""

    _clock = "arrival"

    def __init__(self, address: str) -> None:
        self.address = address
        self._video: Any = None
        self._fps = 0.0
        self._position = 0  # pictures advanced to so far
        self._capture_time_ns = 0

    @property
    def interval_s(self) -> float:
        return 1.0 / self._fps if self._fps else 0.0

    def close(self) -> None:
        if self._video is not None:
            self._video.release()
            self._video = None

    @staticmethod
    def _quiet() -> None:
        # what goes wrong is told by ourselves, once and in words; an operator's own choice wins
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
        logging = getattr(cv2.utils, "logging", None)  # not in every build
        if "OPENCV_LOG_LEVEL" not in os.environ and logging is not None:
            logging.setLogLevel(logging.LOG_LEVEL_ERROR)

    def _adopt(self, video: Any, problem: str) -> None:
        if not video.isOpened():
            video.release()
            raise CaptureError(problem)
        self._video = video
        fps = float(video.get(cv2.CAP_PROP_FPS))
        self._fps = fps if math.isfinite(fps) and 0 < fps <= MAX_PLAUSIBLE_FPS else 0.0

    def advance(self) -> bool:
        try:
            found = bool(self._video.grab())
        except cv2.error as error:
            raise _unreadable(error) from None
        self._position += found
        self._capture_time_ns = time.time_ns()
        return found

    def take(self) -> Grab:
        start = time.monotonic_ns()
        try:
            found, pixels = self._video.retrieve()
        except cv2.error as error:
            raise _unreadable(error) from None
        if not found:
            raise CaptureError(f"frame {self._position - 1} cannot be decoded")
        if pixels.ndim == 2:  # a monochrome camera
            pixels = cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR)
        pixels = np.ascontiguousarray(pixels)
        end = time.monotonic_ns()
        return Grab(
            pixels, self._capture_time_ns, self._clock, self._position - 1, end, self.address, (end - start) / 1e6
        )


class FileCapture(_VideoCapture):
    """A video file: every frame, in order.

    Capture time is the wall clock at opening plus the file's own timestamp, and never goes back when the file loops.
    """

    _clock = "file_pts"

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._base_ns = 0
        self._last_ns = 0
        self._ended = False
        self.frame_count = 0

    def open(self) -> None:
        problem = path_problem(self.address)
        if problem:
            raise CaptureError(f"{self.address}: {problem}", permanent=True)
        if not Path(self.address).is_file():
            raise CaptureError(f"{self.address} is not a file", permanent=True)
        self._quiet()
        self._adopt(cv2.VideoCapture(self.address, cv2.CAP_FFMPEG), f"{self.address} cannot be read as a video")
        if int(self._video.get(cv2.CAP_PROP_FOURCC)) == TEXT_FOURCC:
            raise CaptureError(f"{self.address} is a text, neither a picture nor a video", permanent=True)
        self._base_ns = max(time.time_ns(), self._last_ns + int(self.interval_s * 1e9))
        self._position = 0
        self._ended = False
        count = float(self._video.get(cv2.CAP_PROP_FRAME_COUNT))
        self.frame_count = int(count) if math.isfinite(count) and count > 0 else 0

    def advance(self) -> bool:
        if not super().advance():
            self._ended = True
            return False
        self.media_s = self._media_time()
        self._last_ns = max(self._last_ns, self._base_ns + int(self.media_s * 1e9))
        self._capture_time_ns = self._last_ns
        return True

    @property
    def cut_off(self) -> bool:
        # without an index the number is estimated from duration and rate, so the duration must have been missed as well
        share = 1 - END_TOLERANCE
        return (
            self._ended
            and self._position < min(share * self.frame_count, self.frame_count - END_FRAMES)
            and (self.media_s or 0.0) < share * self.frame_count * self.interval_s
        )

    @property
    def end_reason(self) -> str:
        if self.cut_off:
            return (
                f"{self.address} ended after {self._position} of the {self.frame_count} frames that its header "
                "promises: it is cut off or damaged"
            )
        return super().end_reason

    def _media_time(self) -> float:
        # raw streams have no timestamps: OpenCV answers 0 or nonsense, then the frame rate has to do
        milliseconds = float(self._video.get(cv2.CAP_PROP_POS_MSEC))
        if math.isfinite(milliseconds) and milliseconds > 0:
            return milliseconds / 1000
        return (self._position - 1) * self.interval_s


class StreamCapture(_VideoCapture):
    """RTSP, HTTP or another network stream, through FFmpeg with bounded waits; RTSP over TCP."""

    remote = True

    def __init__(self, url: str, *, open_timeout_s: float = 0.0, read_timeout_s: float = 0.0) -> None:
        super().__init__(url)
        self._parameters = [
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
            int(open_timeout_s * 1000) or OPEN_TIMEOUT_MS,
            cv2.CAP_PROP_READ_TIMEOUT_MSEC,
            int(read_timeout_s * 1000) or READ_TIMEOUT_MS,
        ]

    def open(self) -> None:
        self._quiet()
        # UDP loses packets silently and cannot pass most firewalls; an operator's own choice wins
        os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;tcp")
        video = cv2.VideoCapture(self.address, cv2.CAP_FFMPEG, self._parameters)
        self._adopt(video, f"{shown(self.address)} does not answer, refuses, or is no video stream")

    def advance(self) -> bool:
        if not super().advance():
            raise CaptureError("the stream broke off, or sent nothing for the read timeout")
        return True


class CameraCapture(_VideoCapture):
    """A camera by index (V4L2), or by device file such as /dev/video0."""

    remote = True

    def __init__(self, device: str, *, width: int = 0, height: int = 0, fps: float = 0.0) -> None:
        super().__init__(device)
        self._wanted = {
            cv2.CAP_PROP_FRAME_WIDTH: width,
            cv2.CAP_PROP_FRAME_HEIGHT: height,
            cv2.CAP_PROP_FPS: fps,
            cv2.CAP_PROP_BUFFERSIZE: 1,  # the newest frame, not a backlog
        }

    def open(self) -> None:
        self._quiet()
        target: int | str = int(self.address) if self.address.isdigit() else self.address
        self._adopt(
            cv2.VideoCapture(target, cv2.CAP_V4L2), f"camera {self.address} cannot be opened: absent, busy or no access"
        )
        for key, value in self._wanted.items():
            if value:
                self._video.set(key, value)

    def advance(self) -> bool:
        if not super().advance():
            raise CaptureError(f"camera {self.address} stopped delivering")
        return True


def _unreadable(error: cv2.error) -> CaptureError:
    return CaptureError(f"OpenCV cannot read it: {error.err or error}")
