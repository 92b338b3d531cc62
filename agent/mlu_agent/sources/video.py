"""Video through OpenCV: files, RTSP and HTTP streams, cameras."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from .base import Capture, CaptureError, Grab

OPEN_TIMEOUT_MS = 5000
READ_TIMEOUT_MS = 5000
MAX_PLAUSIBLE_FPS = 1000.0
STREAM_SCHEMES = ("rtsp://", "rtsps://", "rtmp://", "http://", "https://", "udp://", "tcp://")


def is_stream(address: str) -> bool:
    """Whether an address names a network stream rather than a file or a camera."""
    return address.lower().startswith(STREAM_SCHEMES)


class _VideoCapture(Capture):
    """What file, stream and camera share."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._video: Any = None
        self._fps = 0.0
        self._position = 0

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

    def _next(self) -> Any:
        try:
            found, pixels = self._video.read()
        except cv2.error as error:
            raise CaptureError(f"OpenCV cannot read it: {error.err or error}") from None
        if not found:
            return None
        if pixels.ndim == 2:  # a monochrome camera
            pixels = cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR)
        return np.ascontiguousarray(pixels)

    def _grab(self, pixels: Any, capture_time_ns: int, clock: str, media_s: float | None) -> Grab:
        grab = Grab(pixels, capture_time_ns, clock, self._position, time.monotonic_ns(), media_s, self.address)
        self._position += 1
        return grab


class FileCapture(_VideoCapture):
    """A video file: every frame, in order.

    Capture time is the wall clock at opening plus the file's own timestamp, and never goes back when the file loops.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._base_ns = 0
        self._last_ns = 0
        self.frame_count = 0

    def open(self) -> None:
        if not Path(self.address).is_file():
            raise CaptureError(f"{self.address} is not a file", permanent=True)
        self._quiet()
        self._adopt(cv2.VideoCapture(self.address, cv2.CAP_FFMPEG), f"{self.address} cannot be read as a video")
        self._base_ns = max(time.time_ns(), self._last_ns + int(self.interval_s * 1e9))
        self._position = 0
        count = float(self._video.get(cv2.CAP_PROP_FRAME_COUNT))
        self.frame_count = int(count) if math.isfinite(count) and count > 0 else 0

    def read(self) -> Grab | None:
        pixels = self._next()
        if pixels is None:
            return None
        media_s = self._media_time()
        self._last_ns = max(self._last_ns, self._base_ns + int(media_s * 1e9))
        return self._grab(pixels, self._last_ns, "file_pts", media_s)

    def _media_time(self) -> float:
        # raw streams have no timestamps: OpenCV answers 0 or nonsense, then the frame rate has to do
        milliseconds = float(self._video.get(cv2.CAP_PROP_POS_MSEC))
        if math.isfinite(milliseconds) and milliseconds > 0:
            return milliseconds / 1000
        return self._position * self.interval_s


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
        self._adopt(video, f"{without_password(self.address)} does not answer, refuses, or is no video stream")

    def read(self) -> Grab | None:
        pixels = self._next()
        if pixels is None:
            raise CaptureError("the stream broke off, or sent nothing for the read timeout")
        return self._grab(pixels, time.time_ns(), "arrival", None)


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

    def read(self) -> Grab | None:
        pixels = self._next()
        if pixels is None:
            raise CaptureError(f"camera {self.address} stopped delivering")
        return self._grab(pixels, time.time_ns(), "arrival", None)


def without_password(url: str) -> str:
    """The URL as it may be shown: user and password replaced."""
    scheme, separator, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    if separator and "@" in host:
        host = "***@" + host.rsplit("@", 1)[1]
    return scheme + separator + host + slash + path
