"""Answering who asks for figures, by HTTP: GET /metrics, one answer a connection.

Whoever connects costs little whatever he does: a few at once, each for a few seconds and a few bytes, and the figures
are made once a second at most. Nothing here is waited for by anybody else, and it decides nothing: an address that
another process has is tried again.
"""

from __future__ import annotations

import contextlib
import math
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Callable

from ..config import is_local_endpoint
from ..config.metrics import split_listen

if TYPE_CHECKING:
    from ..config import MetricsConfig

WORKERS = 4  # connections that are answered at once; a few more wait
MAX_REQUEST = 8192  # bytes of it
REQUEST_S = 5.0  # for a whole connection, however slow its other end
PAUSE_S = 0.01  # of a worker between two connections: who comes again and again takes no more than that
FRESH_S = 1.0  # figures are no older, and made no more often
RETRY_S = 10.0


class Scrapes:
    """Gives out what ``render`` makes, from now until ``close``, in threads of its own.

    ``endpoint``: "HOST:PORT" where it is bound, "" until then.
    """

    def __init__(self, config: MetricsConfig, render: Callable[[], bytes], content_type: str, log: Any) -> None:
        self.endpoint = ""
        self._config = config
        self._render = render
        self._type = content_type
        self._log = log
        self._lock = threading.Lock()
        self._made_at, self._made = -math.inf, b""
        self._ending = threading.Event()
        self._socket: socket.socket | None = None
        if not is_local_endpoint(f"tcp://{config.listen}"):
            log.warning(
                "figures are given out without encryption and authentication beyond this machine",
                endpoint=config.listen,
                remedy="listen on 127.0.0.1, or see that the network is trusted",
            )
        if not self._start(self._begin):
            log.error("figures cannot be given out: no thread can be had", endpoint=config.listen)

    def close(self) -> None:
        """Takes no more connections; those that there are end within their time."""
        self._ending.set()
        with self._lock:
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)  # wakes accept
                self._socket.close()

    def _start(self, work: Callable[[], None]) -> bool:
        """Whether a thread could be had."""
        try:
            threading.Thread(target=work, name="metrics", daemon=True).start()
        except RuntimeError:
            return False
        return True

    def _begin(self) -> None:
        """The first worker's whole life."""
        told = False
        while not self._ending.is_set():
            try:
                self._bind()
            except OSError as failure:
                if not told:
                    told = True
                    listen, reason = self._config.listen, failure.strerror or str(failure)
                    self._log.warning("figures cannot be given out", endpoint=listen, reason=reason, retry_s=RETRY_S)
                self._ending.wait(RETRY_S)
                continue
            self._log.info("figures are given out", endpoint=self.endpoint)
            more = sum(self._start(self._work) for _ in range(WORKERS - 1))
            if more < WORKERS - 1:
                self._log.warning("figures are given out by fewer threads: no more can be had", threads=1 + more)
            self._work()

    def _bind(self) -> None:
        address = split_listen(self._config.listen)
        made = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_STREAM)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(address)
            made.listen(WORKERS)
        except OSError:
            made.close()
            raise
        with self._lock:
            self._socket = made
            host, port = made.getsockname()[:2]
            self.endpoint = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            if self._ending.is_set():
                made.close()

    def _work(self) -> None:
        """A worker's whole life, once it is bound."""
        assert self._socket is not None
        while not self._ending.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:  # closed, or no descriptor is free
                self._ending.wait(PAUSE_S)
                continue
            with connection, contextlib.suppress(OSError):
                self._serve(connection, time.monotonic() + REQUEST_S)
            self._ending.wait(PAUSE_S)

    def _serve(self, connection: socket.socket, deadline: float) -> None:
        """One answer. OSError when the other end takes too long, or is gone."""
        request = b""
        while b"\r\n\r\n" not in request and len(request) < MAX_REQUEST:
            connection.settimeout(_left(deadline))
            piece = connection.recv(MAX_REQUEST - len(request))
            if not piece:
                break
            request += piece
        rest = memoryview(self._answer(request))
        while rest:
            connection.settimeout(_left(deadline))
            rest = rest[connection.send(rest) :]

    def _answer(self, request: bytes) -> bytes:
        words = request.split(b"\r\n", 1)[0].split(b" ")
        if b"\r\n\r\n" not in request or len(words) != 3 or not words[2].startswith(b"HTTP/1."):
            return _response("400 Bad Request", "text/plain", b"this is no request; GET /metrics\n")
        if words[0] not in (b"GET", b"HEAD"):
            return _response("405 Method Not Allowed", "text/plain", b"figures are only read; GET /metrics\n")
        if words[1].split(b"?")[0] != b"/metrics":
            return _response("404 Not Found", "text/plain", b"figures are at /metrics\n")
        try:
            response = _response("200 OK", self._type, self._figures())
        except Exception as error:  # a fault of ours, which must not end a worker
            self._log.error("figures could not be made", reason=repr(error))
            return _response("500 Internal Server Error", "text/plain", b"figures could not be made; see the log\n")
        return response if words[0] == b"GET" else response[: response.index(b"\r\n\r\n") + 4]

    def _figures(self) -> bytes:
        with self._lock:
            now = time.monotonic()
            if now - self._made_at >= FRESH_S:
                self._made, self._made_at = self._render(), now
            return self._made


def _left(deadline: float) -> float:
    """Seconds; TimeoutError if there are none."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _response(status: str, content_type: str, body: bytes) -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode("ascii") + body
