"""Cameras with faults, for tests: small RTSP and HTTP servers on 127.0.0.1 that refuse, fall silent, break off or lie.

    with RtspCamera(faults=Faults(drop_after=20)) as camera:
        StreamCapture(camera.url)

RTSP is over TCP only and plays H.264 that PyAV encoded, in a loop. Faults may be changed while a camera runs, they hold
for what is sent next; ``stop`` and ``start`` unplug a camera and plug it in again at the same address. From a shell:

    python -m tests.faulty_cameras [--port N] [--kind rtsp|http|silent] [--fps 10] [--fault NAME=VALUE ...]
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import functools
import hashlib
import re
import socket
import struct
import threading
import time
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
from tests.clips import Clip, clip, jpegs, picture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["Blackhole", "Clip", "Faults", "HttpCamera", "RtspCamera", "clip", "closed_port", "picture"]
RTP_START = 0xFFFF0000  # where RTP times begin: they soon go round
PAYLOAD = 1300  # bytes of a RTP packet, as cameras send
NTP_1970 = 2208988800  # seconds from 1900, where NTP begins, to 1970
REALM, NONCE = "cam", "5f1c0de"


@dataclass
class Faults:
    """What is wrong with a camera; nothing by default."""

    silent: bool = False  # accepts the connection and never says a word
    silent_before_play: bool = False  # answers all but PLAY
    status: str = ""  # answer to DESCRIBE or GET, such as "404 Not Found"
    auth: str = ""  # "basic" or "digest": asks for user and password
    user: str = "admin"
    password: str = "secret"
    drop_after: int = 0  # breaks the connection off after so many frames
    half_open_after: int = 0  # sends no more after so many frames, and keeps the connection
    stop_sending: bool = False  # the same from now on, until it is taken back
    zero_times: bool = False  # all RTP times are 0
    burst: int = 0  # frames are sent so many at once, at the right rate on the whole
    garbage_from: int = 0  # from this frame on the pictures are noise
    cut_from: int = 0  # from this frame on each unit is cut in half: decoders make up what is missing
    clock_offset_s: float | None = None  # sends RTCP sender reports, by a clock so far from ours
    part: bool = False  # HTTP: half a picture, then nothing
    codec: str = "H264"  # what the description calls the stream


class _Server:
    """Listens, and serves each connection in a thread of its own until it is stopped."""

    scheme = "tcp"

    def __init__(self, port: int = 0, faults: Faults | None = None) -> None:
        self.faults = faults or Faults()
        self.port = port
        self.connections = 0
        self.requests: list[str] = []  # first lines, as they came
        self.frames_sent = 0
        self._listener: socket.socket | None = None
        self._open: set[socket.socket] = set()
        self._stopping = threading.Event()
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/stream"

    def url_with(self, user: str, password: str) -> str:
        return self.url.replace("://", f"://{user}:{password}@")

    def start(self) -> None:
        self._stopping = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener, self._stopping), daemon=True).start()

    def stop(self) -> None:
        """Refuses from now on, and breaks off what is connected."""
        self._stopping.set()
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _accept(self, listener: socket.socket, stopping: threading.Event) -> None:
        while not stopping.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve_one, args=(connection, stopping), daemon=True).start()

    def _serve_one(self, connection: socket.socket, stopping: threading.Event) -> None:
        with self._lock:
            self._open.add(connection)
        try:
            with contextlib.suppress(OSError):
                if self.faults.silent:
                    while not stopping.is_set() and connection.recv(4096):
                        pass
                else:
                    self._serve(connection, stopping)
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()

    def _serve(self, connection: socket.socket, stopping: threading.Event) -> None:
        raise NotImplementedError

    def _allowed(self, method: str, headers: dict[str, str]) -> bool:
        given, faults = headers.get("authorization", ""), self.faults
        if not faults.auth:
            return True
        if faults.auth == "basic":
            return given == "Basic " + base64.b64encode(f"{faults.user}:{faults.password}".encode()).decode()
        told = dict(re.findall(r'(\w+)="?([^",]*)"?', given))
        right = _md5(f"{faults.user}:{REALM}:{faults.password}")
        return told.get("response") == _md5(f"{right}:{NONCE}:" + _md5(f"{method}:{told.get('uri', '')}"))

    @property
    def _challenge(self) -> str:
        kind = "Basic" if self.faults.auth == "basic" else "Digest"
        return f'WWW-Authenticate: {kind} realm="{REALM}"' + (f', nonce="{NONCE}"' if kind == "Digest" else "")

    def _paced(self, fps: float, stopping: threading.Event) -> Iterator[int]:
        """Frame numbers, each when it is due; ends when the camera breaks off."""
        start = time.monotonic()
        number = 0
        while not stopping.is_set():
            faults = self.faults
            due = number - number % faults.burst + faults.burst if faults.burst else number
            if stopping.wait(max(0.0, start + due / fps - time.monotonic())):
                return
            if faults.drop_after and number >= faults.drop_after:
                return
            while self.faults.stop_sending or 0 < self.faults.half_open_after <= number:
                if stopping.wait(0.02):
                    return
            yield number
            self.frames_sent += 1
            number += 1


class Blackhole(_Server):
    """Accepts every connection and never says a word."""

    def __init__(self, port: int = 0) -> None:
        super().__init__(port, Faults(silent=True))

    scheme = "rtsp"


class RtspCamera(_Server):
    """Plays clips: the next one after ``each`` frames, the last one for ever."""

    scheme = "rtsp"

    def __init__(
        self,
        clips: Sequence[Clip] = (),
        *,
        fps: float = 25.0,
        each: int = 25,
        port: int = 0,
        faults: Faults | None = None,
    ) -> None:
        super().__init__(port, faults)
        self._clips = tuple(clips) or (clip(),)
        self._fps, self._each = fps, each

    def _serve(self, connection: socket.socket, stopping: threading.Event) -> None:
        gone = threading.Event()
        try:
            for method, target, headers in _requests(connection):
                self.requests.append(f"{method} {target}")
                sequence = headers.get("cseq", "0")
                reply = functools.partial(_reply, connection, sequence)
                if method != "OPTIONS" and not self._allowed(method, headers):
                    reply("401 Unauthorized", self._challenge)
                elif method == "DESCRIBE" and self.faults.status:
                    reply(self.faults.status)
                elif method == "PLAY" and not self.faults.silent_before_play:
                    reply("200 OK", "Session: 1", f"RTP-Info: url={target};seq=0;rtptime={RTP_START}")
                    threading.Thread(target=self._play, args=(connection, stopping, gone), daemon=True).start()
                elif method == "TEARDOWN":
                    return
                elif method != "PLAY":
                    reply(
                        "200 OK",
                        *_ANSWERS.get(method, ()),
                        body=_SDP.format(codec=self.faults.codec) if method == "DESCRIBE" else "",
                    )
        finally:
            gone.set()

    def _play(self, connection: socket.socket, stopping: threading.Event, gone: threading.Event) -> None:
        rtp = _Rtp(connection)
        with contextlib.suppress(OSError):
            for number in self._paced(self._fps, stopping):
                if gone.is_set():
                    return
                faults = self.faults
                pictures = self._clips[min(number // self._each, len(self._clips) - 1)].pictures
                units: Sequence[bytes] = pictures[number % self._each % len(pictures)]
                if 0 < faults.garbage_from <= number:
                    units = [bytes([unit[0]]) + np.random.default_rng(number).bytes(len(unit) - 1) for unit in units]
                if 0 < faults.cut_from <= number:
                    units = [unit[: len(unit) // 2] for unit in units]
                timestamp = 0 if faults.zero_times else (RTP_START + int(number * 90000 / self._fps)) & 0xFFFFFFFF
                if faults.clock_offset_s is not None and number % int(self._fps) == 0:
                    rtp.report(time.time() + faults.clock_offset_s, timestamp)
                rtp.send(units, timestamp)
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


class HttpCamera(_Server):
    """Plays JPEG pictures as multipart/x-mixed-replace, as cameras' /video addresses do."""

    scheme = "http"

    def __init__(self, *, fps: float = 25.0, port: int = 0, faults: Faults | None = None) -> None:
        super().__init__(port, faults)
        self._fps = fps
        self._pictures = jpegs()

    def _serve(self, connection: socket.socket, stopping: threading.Event) -> None:
        method, target, headers = next(_requests(connection))
        self.requests.append(f"{method} {target}")
        if not self._allowed(method, headers):
            return _reply(connection, "", "401 Unauthorized", self._challenge, protocol="HTTP/1.1")
        if self.faults.status:
            return _reply(connection, "", self.faults.status, protocol="HTTP/1.1")
        kind = "Content-Type: multipart/x-mixed-replace; boundary=frame"
        _reply(connection, "", "200 OK", kind, protocol="HTTP/1.1")
        for number in self._paced(self._fps, stopping):
            data = self._pictures[number % len(self._pictures)]
            part = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(data)
            if self.faults.part:
                connection.sendall(part + data[: len(data) // 2])
                stopping.wait()
            connection.sendall(part + data + b"\r\n")
        return None


def http_head(kind: str = "image/jpeg", length: int | None = None, status: str = "200 OK") -> bytes:
    """The lines before an answer's bytes."""
    size = "" if length is None else f"Content-Length: {length}\r\n"
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{size}\r\n".encode()


class SnapshotCamera(HttpCamera):
    """Answers each request with one picture, or with what ``send(connection, stopping)`` sends."""

    def __init__(
        self, send: Callable[[socket.socket, threading.Event], object] | None = None, faults: Faults | None = None
    ) -> None:
        super().__init__(faults=faults)
        self._send = send or self._send_picture
        self.given: list[str] = []  # Authorization headers

    def _send_picture(self, connection: socket.socket, _: threading.Event) -> None:
        connection.sendall(http_head(length=len(self._pictures[0])) + self._pictures[0])

    def _serve(self, connection: socket.socket, stopping: threading.Event) -> None:
        method, target, headers = next(_requests(connection))
        self.requests.append(f"{method} {target}")
        self.given.append(headers.get("authorization", ""))
        if not self._allowed(method, headers):
            return _reply(connection, "", "401 Unauthorized", self._challenge, protocol="HTTP/1.1")
        if self.faults.status:
            return _reply(connection, "", self.faults.status, protocol="HTTP/1.1")
        self._send(connection, stopping)
        return None


def closed_port() -> int:
    """A port of 127.0.0.1 at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


_SDP = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\nc=IN IP4 0.0.0.0\r\n"
    "a=rtpmap:96 {codec}/90000\r\na=control:track1\r\n"
)
_ANSWERS = {
    "OPTIONS": ("Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER",),
    "DESCRIBE": ("Content-Type: application/sdp",),
    "SETUP": ("Session: 1", "Transport: RTP/AVP/TCP;unicast;interleaved=0-1"),
}


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def _reply(
    connection: socket.socket, sequence: str, status: str, *headers: str, body: str = "", protocol: str = "RTSP/1.0"
) -> None:
    lines = [f"{protocol} {status}", *([f"CSeq: {sequence}"] if sequence else []), *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    connection.sendall(("\r\n".join(lines) + "\r\n\r\n" + body).encode())


def _requests(connection: socket.socket) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Method, target and headers (names in small letters) of each request; RTCP between them is passed over."""
    data = b""
    while True:
        while data[:1] == b"$" and len(data) >= 4 and len(data) >= 4 + struct.unpack(">H", data[2:4])[0]:
            data = data[4 + struct.unpack(">H", data[2:4])[0] :]
        if data[:1] == b"$" or b"\r\n\r\n" not in data:
            received = connection.recv(4096)
            if not received:
                return
            data += received
            continue
        head, data = data.split(b"\r\n\r\n", 1)
        first, *rest = head.decode("latin-1").split("\r\n")
        method, target = first.split(" ")[:2]
        headers = dict(line.split(":", 1) for line in rest if ":" in line)
        yield method, target, {name.lower(): value.strip() for name, value in headers.items()}


@dataclass
class _Rtp:
    """RTP packets of one stream, interleaved into its RTSP connection."""

    connection: socket.socket
    sequence: int = 0
    sent: int = 0
    octets: int = 0

    def send(self, units: Sequence[bytes], timestamp: int) -> None:
        """One picture; long units are split as RFC 6184 section 5.8 does (FU-A)."""
        parts: list[bytes] = []
        for unit in units:
            if len(unit) <= PAYLOAD:
                parts.append(unit)
                continue
            header, body = unit[0], unit[1:]
            pieces = [body[start : start + PAYLOAD] for start in range(0, len(body), PAYLOAD)]
            for number, piece in enumerate(pieces):
                begin, end = number == 0, number == len(pieces) - 1
                parts.append(bytes([header & 0xE0 | 28, begin << 7 | end << 6 | header & 31]) + piece)
        data = b""
        for number, part in enumerate(parts):
            marker = (number == len(parts) - 1) << 7
            packet = struct.pack(">BBHII", 0x80, 96 | marker, self.sequence & 0xFFFF, timestamp, 0x1234) + part
            data += b"$\0" + struct.pack(">H", len(packet)) + packet
            self.sequence += 1
            self.sent += 1
            self.octets += len(part)
        self.connection.sendall(data)

    def report(self, clock_s: float, timestamp: int) -> None:
        """A sender report (RFC 3550 section 6.4.1): at ``clock_s``, seconds since 1970, the RTP time is this."""
        seconds, fraction = int(clock_s) + NTP_1970, int(clock_s % 1 * (1 << 32))
        report = struct.pack(
            ">BBHIIIIII", 0x80, 200, 6, 0x1234, seconds, fraction, timestamp, self.sent, self.octets & 0xFFFFFFFF
        )
        self.connection.sendall(b"$\1" + struct.pack(">H", len(report)) + report)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serves one camera until it is killed; prints its URL."""
    parser = argparse.ArgumentParser(description="a camera with faults on 127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--kind", choices=("rtsp", "http", "silent"), default="rtsp")
    parser.add_argument("--fps", type=float, default=10.0)
    parser.add_argument("--size", default="320x240")
    parser.add_argument("--fault", action="append", default=[], metavar="NAME=VALUE")
    given = parser.parse_args(arguments)
    kinds: dict[str, Callable[[str], object]] = {
        "bool": lambda text: text not in {"", "0", "false"}, "int": int, "str": str, "float | None": float,
    }  # fmt: skip
    types = {entry.name: kinds[str(entry.type)] for entry in fields(Faults)}
    told = dict(text.partition("=")[::2] for text in given.fault)
    faults = Faults(**{name: types[name](value) for name, value in told.items()})
    width, height = map(int, given.size.split("x"))
    makers: dict[str, Callable[[], _Server]] = {
        "rtsp": lambda: RtspCamera([clip(width, height)], fps=given.fps, port=given.port, faults=faults),
        "http": lambda: HttpCamera(fps=given.fps, port=given.port, faults=faults),
        "silent": lambda: Blackhole(given.port),
    }
    with makers[given.kind]() as camera:
        print(f"ready {camera.url}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
