"""Video files."""

from __future__ import annotations

import time
from pathlib import Path

from ...config.files import path_problem
from ...ffmpeg import av
from ..base import CaptureError, Reason
from .capture import VideoCapture
from .failures import failure
from .reader import LIMITS, Reader

END_TOLERANCE = 0.05
END_FRAMES = 2  # containers count packets, and the first or the last of them may give no picture
# Only what holds video itself: no playlists and scripts that name other files or addresses (hls, concat, dash, imf), no
# texts that would be drawn as pictures of a terminal (tty), no still pictures (those are read elsewhere).
FORMATS = (
    "mov,matroska,avi,mpegts,mpeg,flv,asf,h264,hevc,m4v,mpegvideo,vc1,ivf,obu,av1,mjpeg,mpjpeg,mjpeg_2000,dv,mxf,ogg,"
    "rm,nut,gif,wtv,dhav,yuv4mpegpipe,nsv,live_flv,swf"
)


class FileCapture(VideoCapture):
    """A video file: every frame, in order.

    Capture time is the wall clock at opening plus the file's own timestamp, and never goes back when the file loops.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._base_ns = 0
        self._last_ns = 0
        self._start_s = 0.0
        self._ended = False
        self.frame_count = 0

    def open(self) -> None:
        problem = path_problem(self.address)
        if problem:
            raise CaptureError(f"{self.address}: {problem}", code=Reason.NOT_FOUND, permanent=True)
        if not Path(self.address).is_file():
            raise CaptureError(f"{self.address} is not a file", code=Reason.UNSUPPORTED, permanent=True)
        reader = self._open()
        self._adopt(reader)
        self._base_ns = max(time.time_ns(), self._last_ns + int(self.interval_s * 1e9))
        self._ended = False
        self._damaged_before = self.damaged
        stream = reader.stream
        self._start_s = float(stream.start_time * stream.time_base) if stream.start_time is not None else 0.0
        self.frame_count = stream.frames or self._counted_by_duration(reader)

    def _open(self) -> Reader:
        options = {**LIMITS, "protocol_whitelist": "file", "format_whitelist": FORMATS}
        try:
            # without the scheme a name with a colon would be taken for an address
            container = av.open(f"file:{self.address}", options=options)
        except Exception as error:
            reason = f"{self.address} cannot be read as a video: {_what(error)}"
            raise CaptureError(reason, code=_code(error), permanent=True) from None
        try:
            return Reader(container, live=False)
        except CaptureError as error:
            container.close()
            raise CaptureError(f"{self.address}: {error.reason}", code=error.code, permanent=True) from None

    @staticmethod
    def _counted_by_duration(reader: Reader) -> int:
        duration = reader.container.duration
        return int(duration / 1e6 * reader.rate + 0.5) if duration and duration > 0 else 0

    def advance(self) -> bool:
        reader = self._reader
        frame = reader.next() if reader is not None else None
        if reader is not None:
            self.damaged = self._damaged_before + reader.damaged
        if frame is None:
            self._ended = True
            return False
        self._position += 1
        # raw streams have no times of their own, then the frame rate has to do
        time_s = frame.time
        self.media_s = max(0.0, time_s - self._start_s) if time_s else (self._position - 1) * self.interval_s
        self._last_ns = max(self._last_ns, self._base_ns + int(self.media_s * 1e9))
        self._stand(frame, self._last_ns, "file_pts")
        return True

    @property
    def cut_off(self) -> bool:
        # a file may have fewer frames than its header says and yet be whole: then its last one lies at its end
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


def _code(error: Exception) -> Reason:
    # what the list of formats leaves out is refused as an invalid argument
    return Reason.UNSUPPORTED if isinstance(error, ValueError) else failure(error).code


def _what(error: Exception) -> str:
    if isinstance(error, av.error.InvalidDataError):
        return "it is damaged, or neither a picture nor a video"
    if isinstance(error, ValueError):
        return "its format is no video's (a text, a playlist, a sound), or one that is not read"
    return failure(error).reason
