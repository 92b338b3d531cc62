"""Network streams: RTSP, HTTP with MJPEG or a video format, HLS, RTMP, MPEG-TS over UDP and TCP."""

from __future__ import annotations

import contextlib
import time
from typing import Any
from urllib.parse import urlsplit

from ...config import SourceConfig
from ...ffmpeg import av, heard_log
from ..base import CaptureError, Reason
from ..retry import AccountPauses
from .capture import READ_TIMEOUT_S, VideoCapture
from .clock import LiveClock, Pace
from .failures import Log, failure, is_vague
from .reader import LIMITS, Reader
from .sender import SenderClock

NOTHING_DECODES_S = 15.0  # key frames of saving cameras are up to ten seconds apart
# what each may reach: never a local file
_WEB = "http,https,tcp,tls,crypto,data,httpproxy"
_PROTOCOLS = {
    "rtsp": "tcp,udp,rtp",
    "rtsps": "tcp,tls,udp,rtp,srtp",
    "rtmp": "rtmp,tcp",
    "http": _WEB,
    "https": _WEB,
    "udp": "udp",
    "tcp": "tcp",
}
STREAM_SCHEMES = tuple(f"{scheme}://" for scheme in _PROTOCOLS)
# as for files, and what is a stream only; sounds, because HLS opens its playlists of sound too
FORMATS = (
    "rtsp,hls,mpegts,flv,live_flv,mpjpeg,mjpeg,mov,matroska,avi,asf,ogg,mpeg,h264,hevc,m4v,ivf,nut,rm,dhav,"
    "aac,ac3,eac3,mp3,webvtt"
)
_TIMED = frozenset({"rtsp", "mpegts", "flv", "live_flv", "matroska,webm", "asf", "ogg", "nut"})
# the packets of these are put together by a parser, which knows the end of one by the beginning of the next
_PARSED = frozenset({"h264", "hevc", "mpeg4", "mpeg2video", "mpeg1video", "vc1", "h263"})


def is_stream(address: str) -> bool:
    """Whether an address names a network stream rather than a file or a camera."""
    return address.lower().startswith(STREAM_SCHEMES)


class StreamCapture(VideoCapture):
    """A network stream, with bounded waits. ``transport``: "tcp" or "udp", how RTSP carries its packets.

    ``open_timeout_s`` bounds connecting, asking for the stream and looking at its first packets, which needs no end to
    succeed; ``read_timeout_s`` every packet.
    """

    remote = True
    longest_s = NOTHING_DECODES_S

    def __init__(
        self,
        url: str,
        *,
        open_timeout_s: float = SourceConfig.open_timeout_s,
        read_timeout_s: float = READ_TIMEOUT_S,
        transport: str = SourceConfig.transport,
    ) -> None:
        super().__init__(url)
        self._timeouts = (open_timeout_s, read_timeout_s)
        self._transport = transport
        self._times = LiveClock(timed=False, held=False)
        self._live = True
        self._sender: SenderClock | None = None
        self._looked_at: Any = None  # the packet that the sender's clock saw last
        self._pace: Pace | None = None
        self._decoded_at = 0.0
        self._pauses = AccountPauses()
        self._said: dict[type[Exception], Log] = {}

    @property
    def interval_s(self) -> float:
        return self._times.interval_s or super().interval_s

    def open(self) -> None:
        start = time.monotonic()
        try:
            container = self._connect()
        except Exception as error:
            raise self._refused(error, time.monotonic() - start) from None
        try:
            reader = Reader(container, live=True)
        except CaptureError as error:
            container.close()
            raise CaptureError(f"the stream {error.reason}", code=error.code) from None
        self._pauses.reset()
        self._adopt(reader)
        self._begin(container, reader)

    def _connect(self) -> Any:
        scheme = urlsplit(self.address).scheme.lower()
        options = {
            **LIMITS,
            "protocol_whitelist": _PROTOCOLS.get(scheme, scheme),
            "format_whitelist": FORMATS,
            "fpsprobesize": "0",  # the rate is measured later anyway
            "analyzeduration": "500000",  # of microseconds
        }
        if scheme in ("rtsp", "rtsps"):
            # RTSP says beforehand what the stream is; sound is not asked for
            options.update(rtsp_transport=self._transport, allowed_media_types="video", analyzeduration="1")
        with self._interrupt.guard(self._timeouts[0]):
            return av.open(self.address, options=options, timeout=self._timeouts)

    def _refused(self, error: Exception, spent: float) -> CaptureError:
        """Why opening failed, after ``spent`` seconds."""
        if self._interrupt.asked:
            return CaptureError("stopped")
        answered = isinstance(error, (av.error.HTTPError, av.error.HTTPClientError))
        # FFmpeg calls a wait that was ended by different names
        if isinstance(error, av.error.ExitError) or (spent >= self._timeouts[0] and not answered):
            return CaptureError(f"no answer within {self._timeouts[0]:g} s", code=Reason.TIMEOUT)
        told = failure(error, self.address, self._words(error))
        if told.code is Reason.UNAUTHORIZED:
            return self._pauses.refused(told.reason)
        self._pauses.reset()
        if told.code is Reason.UNSUPPORTED and urlsplit(self.address).scheme.lower() in ("http", "https"):
            return CaptureError(f"{told.reason}; if it is one picture, write snapshot = for url =", code=told.code)
        return told

    def _words(self, error: Exception) -> Log:
        """What the server said, where the error does not tell: it is asked once more, once for each kind of error."""
        kind = type(error)
        if is_vague(error) and kind not in self._said:
            with heard_log() as log, contextlib.suppress(Exception):  # the log is what it is for
                self._connect().close()
            self._said[kind] = log
        return self._said.get(kind, [])

    def _begin(self, container: Any, reader: Reader) -> None:
        form = container.format.name
        parsed = reader.stream.codec_context.name in _PARSED
        # a film on a server has an end and comes as fast as the network brings it; nothing of it is old
        film = bool(container.duration) and form != "rtsp"
        self._live = not film and form != "hls"
        held = parsed and form in ("rtsp", "mpegts")
        self._times = LiveClock(timed=form in _TIMED, held=held)
        self._sender = SenderClock(held=held) if form == "rtsp" else None
        reader.on_packet = self._times.packet
        self._pace = Pace() if form == "hls" else None  # whose pictures come many seconds at once
        self._decoded_at = time.monotonic()
        self._damaged_before = self.damaged

    def advance(self) -> bool:
        while True:
            reader = self._reader
            if reader is None:
                raise CaptureError("the stream is not open", code=Reason.INTERNAL)
            frame = self._step(reader)
            if frame is None:
                self._check_decoding()
                continue
            self._decoded_at = reader.arrived
            self._position += 1
            age = self._times.age(frame.time) if self._live else 0.0
            if self._live and self._times.is_stale(age):
                self.stale += 1
                continue
            self._stand_at(frame, reader.arrived, age)
            if self._pace is not None:
                self._interrupt.wait(self._pace.wait(frame.time, time.monotonic()))
            return True

    def _stand_at(self, frame: Any, arrived: float, age: float) -> None:
        """``frame`` is the present picture; by our clock it was taken ``age`` seconds before its packet was there."""
        self.arrived_s = arrived
        came = time.time() - (time.monotonic() - arrived)
        taken = self._sender.taken(frame.time, came) if self._sender is not None else None
        if taken is not None:
            self._stand(frame, int(taken * 1e9), "rtcp_sr")
        else:
            self._stand(frame, int((came - age) * 1e9), "arrival")

    def _step(self, reader: Reader) -> Any:
        start = time.monotonic()
        try:
            with self._interrupt.guard():
                frame = reader.step()
            if self._sender is not None and reader.packet is not None and reader.packet is not self._looked_at:
                self._looked_at = reader.packet
                self._sender.packet(reader.packet, reader.stream, reader.arrived)
        except CaptureError:
            raise
        except Exception as error:
            if self._interrupt.asked:
                raise CaptureError("stopped") from None
            if isinstance(error, av.error.ExitError):
                raise self._silent() from None
            raise failure(error) from None
        if time.monotonic() - start >= self._timeouts[1]:
            # what was interrupted hands out the packet that its parser held back, and would wait as long once more
            raise self._silent()
        self.damaged = self._damaged_before + reader.damaged
        if reader.ended and frame is None:
            raise CaptureError("the camera ended the stream, or the connection broke off", code=Reason.BROKEN)
        return frame

    def _silent(self) -> CaptureError:
        return CaptureError(f"connected, but nothing came for {self._timeouts[1]:g} s", code=Reason.TIMEOUT)

    def _check_decoding(self) -> None:
        """A stream of which nothing can be decoded is opened again."""
        if time.monotonic() - self._decoded_at > NOTHING_DECODES_S:
            reason = f"data arrives, but no picture could be decoded for {NOTHING_DECODES_S:g} s"
            raise CaptureError(f"{reason} ({self.damaged} damaged so far)", code=Reason.BROKEN)
