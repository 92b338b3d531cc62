"""Pictures, one after the other, of the video in an opened input."""

from __future__ import annotations

import collections
import math
import time
from typing import Any, Callable

from ...ffmpeg import av
from ..base import CaptureError, Reason
from ..limits import MAX_PIXELS, size_problem

MAX_PLAUSIBLE_FPS = 1000.0
MAX_DAMAGED_IN_A_ROW = 100  # reads of a file that fail, each of which may be followed by one that does not
ONE_THREAD_PIXELS = 1920 * 1088
# FFmpeg refuses larger pictures by their header, before it takes memory for them; also in mid-stream
LIMITS = {"max_pixels": str(MAX_PIXELS)}


class Reader:
    """Decodes the first video stream of ``container``. CaptureError if it has none, or one that cannot be decoded.

    ``live``: one thread decodes, which takes the least of a processor and holds no picture back; large pictures, which
    one processor may not be fast enough for, are decoded by several where the camera made them of several slices. Else
    every processor decodes.
    """

    def __init__(self, container: Any, *, live: bool) -> None:
        self.container = container
        video = container.streams.video
        if not video or video[0].codec_context is None:
            what = "no video that FFmpeg can decode" if container.streams else "nothing to decode"
            raise CaptureError(f"holds {what}", code=Reason.UNSUPPORTED, permanent=not live)
        self.stream = video[0]
        self._live = live
        self._codec = self.stream.codec_context
        self._check_size(self._codec.width, self._codec.height)
        self._codec.options = dict(LIMITS)
        small = self._codec.width * self._codec.height <= ONE_THREAD_PIXELS
        self._codec.thread_type = "SLICE" if live else "AUTO"
        self._codec.thread_count = 1 if live and small else 0
        self._packets = container.demux(self.stream)
        self._waiting: collections.deque[Any] = collections.deque()
        self.damaged = 0  # packets and pictures that could not be decoded, or not well
        self.ended = False
        self.packet: Any = None  # the last one
        self.arrived = 0.0  # monotonic clock when the last packet was there
        # told of every packet: its presentation time, when it was there, how long it was waited for; seconds
        self.on_packet: Callable[[float | None, float, float], None] = lambda *_: None

    def _check_size(self, width: int, height: int) -> None:
        problem = size_problem(width, height) if width and height else ""
        if problem:
            raise CaptureError(problem, code=Reason.UNSUPPORTED, permanent=not self._live)

    @property
    def rate(self) -> float:
        """Frames per second as the input says, 0 if it does not."""
        rate = self.stream.average_rate or self.stream.guessed_rate
        fps = float(rate) if rate else 0.0
        return fps if math.isfinite(fps) and 0 < fps <= MAX_PLAUSIBLE_FPS else 0.0

    def step(self) -> Any:
        """The next picture if it takes no more than one packet to decode it, else None; ``ended`` tells the end.

        What FFmpeg raises while it waits for a packet is raised.
        """
        if not self._waiting and not self.ended:
            self._decode(self._next_packet())
        return self._waiting.popleft() if self._waiting else None

    def next(self) -> Any:
        """The next picture, None at the end. Reads on over damaged places, up to a limit."""
        failures = 0
        while not self.ended or self._waiting:
            try:
                frame = self.step()
            except av.error.FFmpegError:
                failures += 1
                self.damaged += 1
                if failures > MAX_DAMAGED_IN_A_ROW:
                    self.ended = True
                self._packets = self.container.demux(self.stream)  # a generator that raised is over
                continue
            if frame is not None:
                return frame
        return None

    def close(self) -> None:
        """Releases the input."""
        # decoding threads that still work while the decoder is freed could wait for the lock that we hold then
        self._codec.flush_buffers()
        self._waiting.clear()
        self.packet = None
        self._packets = iter(())
        self.container.close()

    def _next_packet(self) -> Any:
        start = time.monotonic()
        packet = self.packet = next(self._packets, None)
        self.arrived = time.monotonic()
        if packet is None:
            self.ended = True
        elif packet.size:  # the last one has none: it empties the decoder
            pts = packet.pts
            self.on_packet(
                float(pts * packet.time_base) if pts is not None else None, self.arrived, self.arrived - start
            )
        return packet

    def _decode(self, packet: Any) -> None:
        if packet is None:
            return
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            self.damaged += 1
            return
        for frame in frames:
            self._check_size(frame.width, frame.height)
            if frame.is_corrupt or packet.is_corrupt:
                self.damaged += 1
            else:
                self._waiting.append(frame)
