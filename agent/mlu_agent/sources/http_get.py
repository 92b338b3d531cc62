"""One bounded HTTP request: so many bytes at most, within so many seconds in all, and ended from another thread."""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
import ssl
import threading
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from .base import CaptureError, Reason
from .http_login import Login

CHUNK = 1 << 16
LONGEST_WORDS = 100  # letters of a server's own words


@dataclass(frozen=True)
class Answer:
    """``arrived_s``, ``arrived_ns``: monotonic and wall clock when it began to arrive."""

    status: int
    words: str
    kind: str  # its Content-Type, in lower case
    data: bytes
    arrived_s: float
    arrived_ns: int


class Getter:
    """Asks one address again and again, each time on a new connection; used by one thread.

    A certificate is not verified, as with streams: cameras sign their own.
    """

    def __init__(self, url: str, timeout_s: float, most_bytes: int) -> None:
        parts = urlsplit(url)
        self._host, self._port, self._secure = parts.hostname or "", parts.port, parts.scheme.lower() == "https"
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._target = quote(target, safe="!#$%&'()*+,/:;=?@[]~")
        self._login = Login(unquote(parts.username or ""), unquote(parts.password or ""))
        self._timeout_s, self._most = timeout_s, most_bytes
        self._socket: socket.socket | None = None
        self._ended = threading.Event()

    def forget(self) -> None:
        """The next request is the first one: nobody asked for a password."""
        self._login.forget()

    def end(self) -> None:
        """Ends a request that runs, and all to come. Any thread."""
        self._ended.set()
        waiting = self._socket
        if waiting is not None:
            with contextlib.suppress(OSError):
                waiting.shutdown(socket.SHUT_RDWR)

    def get(self) -> Answer:
        """The answer, of any status. CaptureError if there is none, or none within the bounds."""
        deadline = time.monotonic() + self._timeout_s
        try:
            answer, challenges = self._ask(deadline)
            if answer.status == 401 and self._login.learn(challenges):
                answer, _ = self._ask(deadline)
            if answer.status != 401:
                self._login.accepted()
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _failure(error) from None
        finally:
            self._socket = None
        return answer

    def _ask(self, deadline: float) -> tuple[Answer, list[str]]:
        if self._ended.is_set():
            raise CaptureError("stopped")
        make: Any = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        more = {"context": _unverified()} if self._secure else {}
        connection = make(self._host, self._port, timeout=max(0.1, deadline - time.monotonic()), **more)
        with contextlib.ExitStack() as exits:
            exits.callback(connection.close)
            connection.connect()
            self._socket = connected = connection.sock
            exits.callback(connected.close)
            connection.sock = _Timed(connected, deadline)
            headers = {"Accept": "image/*", "Connection": "close", **self._login.header("GET", self._target)}
            connection.request("GET", self._target, headers=headers)
            response = connection.getresponse()
            arrived_s, arrived_ns = time.monotonic(), time.time_ns()
            kind = (response.getheader("Content-Type") or "").lower().strip()
            whole = response.status == 200 and not kind.startswith("multipart/")
            data = self._read(response) if whole else b""
            words = f"{response.status} {response.reason[:LONGEST_WORDS]}".strip()
            answer = Answer(response.status, words, kind, data, arrived_s, arrived_ns)
            return answer, response.headers.get_all("WWW-Authenticate") or []

    def _read(self, response: http.client.HTTPResponse) -> bytes:
        if (response.length or 0) > self._most:
            raise self._too_much(f"would send {response.length} bytes")
        chunks, size = [], 0
        while chunk := response.read1(CHUNK):
            chunks.append(chunk)
            size += len(chunk)
            if size > self._most:
                raise self._too_much("sends more")
        if response.length:
            raise CaptureError(f"it broke off {response.length} bytes before the end", code=Reason.BROKEN)
        return b"".join(chunks)

    def _too_much(self, what: str) -> CaptureError:
        return CaptureError(f"it {what}, and a picture may have {self._most} bytes", code=Reason.UNSUPPORTED)


class _Timed(io.RawIOBase):
    """A connected socket all of whose waits together end at ``deadline``, also where a server sends byte by byte.

    What ``http.client`` needs of one. It closes its own end before the answer is read: that does nothing here.
    """

    def __init__(self, connected: socket.socket, deadline: float) -> None:
        self._connected, self._deadline = connected, deadline

    def _wait_no_longer(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connected.settimeout(left)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._wait_no_longer()
        return self._connected.recv_into(buffer)

    def sendall(self, data: bytes) -> None:
        self._wait_no_longer()
        self._connected.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def close(self) -> None:
        """The socket itself is closed by who made it."""


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _failure(error: Exception) -> CaptureError:
    """What an error of connecting, asking or reading means, in a sentence without addresses."""
    if isinstance(error, socket.gaierror):
        return CaptureError("its name is known to no name server", code=Reason.UNREACHABLE)
    if isinstance(error, (TimeoutError, socket.timeout)):
        return CaptureError("no whole answer in time", code=Reason.TIMEOUT)
    if isinstance(error, ConnectionRefusedError):
        return CaptureError("the connection was refused: nothing listens there", code=Reason.REFUSED)
    if isinstance(error, ssl.SSLError):
        return CaptureError("it speaks no TLS that is understood here", code=Reason.UNSUPPORTED)
    if isinstance(error, OSError) and not isinstance(error, ConnectionError) and error.errno is not None:
        return CaptureError(f"it cannot be reached: {error.strerror}", code=Reason.UNREACHABLE)
    return CaptureError("its answer broke off, or is not HTTP", code=Reason.BROKEN)
