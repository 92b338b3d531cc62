"""The control socket: takes requests from other processes and hands them to the main loop.

Its threads parse and queue, and nothing else: what is asked is done elsewhere (``orders``), and the answer may come
from any thread. A peer costs one thread of a few, one line of bounded length, and a few seconds; a turn of the main
loop takes few requests, and turns with requests keep a distance. So whatever a peer does, detection goes on.
"""

from __future__ import annotations

import collections
import contextlib
import json
import math
import socket
import struct
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable

from ..errors import UserError
from .requests import MAX_LINE, Asked, parse
from .socket_file import SocketFile
from .waiting import SAID_AGAIN_S
from .wake import Wake

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..config import ControlConfig

MAX_PEERS = 16  # further ones wait in the system's queue until one is gone
MAX_ASKED = 100  # requests of one connection: then others get their turn
PEER_S = 5.0  # for a whole line, from the connection's or the last answer's time on; and for taking an answer
ACCEPT_EVERY_S = 0.01
BROKEN_S = 0.5  # after a connection that could not be taken: no descriptor or thread is left, which passes
PER_TURN = 4  # requests that one turn of the main loop takes
TURN_S = 0.05  # from one such turn to the next
LOOK_S = 2.0  # whether the file is still there, and when it is tried again
END_S = 0.2  # for those who wait for an answer when the agent stops
MAX_ANSWER = 16 << 20
STOPS = "the agent stops"
_CREDENTIALS = struct.Struct("3i")


@dataclass(frozen=True)
class Request:
    """What was asked, ``who`` by, and how it is answered: by any thread; whoever is gone by then hears nothing."""

    asked: Asked
    who: str
    answer: Callable[[Mapping[str, Any]], None]


class Control:
    """The socket of a configuration, from now until ``close``. ``wake()`` is called, by any thread, when there is
    something to ``take``. ``problem``: why there is no socket just now; "": there is one, or none is wanted."""

    def __init__(self, config: ControlConfig, log: Any, wake: Callable[[], None]) -> None:
        self.problem = ""
        self._log = log
        self._wake = wake
        self._file = SocketFile(config.socket, config.group, log) if config.socket is not None else None
        self._listener: socket.socket | None = None
        self._said_at = -math.inf
        self._queue: collections.deque[Request] = collections.deque()
        self._next_turn = 0.0
        self._peers: set[_Peer] = set()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._stirred = Wake()
        self._thread = threading.Thread(target=self._work, name="control", daemon=True)
        if self._file is not None:
            self._look_at_file(self._file)
            self._thread.start()

    # ---- for the main loop ----------------------------------------------------------------------------------------

    def take(self, now: float) -> list[Request]:
        """What is to be done in this turn; ``now``: monotonic seconds."""
        if now < self._next_turn or not self._queue:
            return []
        self._next_turn = now + TURN_S
        return [self._queue.popleft() for _ in range(min(PER_TURN, len(self._queue)))]

    @property
    def due(self) -> float:
        """When ``take`` is to be called next, unless ``wake`` is called before."""
        return self._next_turn if self._queue else math.inf

    def close(self) -> None:
        """Tells those who wait that the agent stops, and takes the file away; a second call does nothing."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._stirred.set()
        if self._file is not None:
            self._thread.join()
            self._stop_listening(self._file)
        with self._lock:
            peers = list(self._peers)
        end = time.monotonic() + END_S
        for peer in peers:
            peer.end()
        for peer in peers:
            peer.thread.join(max(0.0, end - time.monotonic()))
        self._stirred.close()

    # ---- the thread that listens ----------------------------------------------------------------------------------

    def _work(self) -> None:
        """Its whole life, which is the daemon's, whatever it meets."""
        while not self._closing.is_set():
            try:
                self._listen()
            except Exception as error:  # noqa: PERF203 - a bug, and no reason to be without a socket
                self._log.exception("the control socket fails", reason=f"{type(error).__name__}: {error}")
                self._closing.wait(LOOK_S)

    def _listen(self) -> None:
        next_look = time.monotonic() + LOOK_S
        while not self._closing.is_set():
            listener = self._listener if len(self._peers) < MAX_PEERS else None
            self._stirred.wait(next_look - time.monotonic(), [] if listener is None else [listener.fileno()])
            if listener is not None and not self._accept(listener):
                self._closing.wait(BROKEN_S)
            if time.monotonic() >= next_look and self._file is not None:
                next_look = time.monotonic() + LOOK_S
                self._look_at_file(self._file)

    def _look_at_file(self, file: SocketFile) -> None:
        """Makes the socket, and makes it again where its file was taken away."""
        if self._listener is not None and file.gone:
            self._log.warning("the control socket's file was gone: it is made again", path=str(file.path))
            self._stop_listening(file)
        if self._listener is not None:
            return
        try:
            self._listener = file.listen()
        except UserError as error:
            now = time.monotonic()
            if error.message != self.problem or now >= self._said_at + SAID_AGAIN_S:
                self.problem, self._said_at = error.message, now
                self._log.warning("no control socket", reason=error.message, retry_s=LOOK_S)
        else:
            self.problem = ""
            self._log.info("control socket", path=str(file.path))

    def _stop_listening(self, file: SocketFile) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        file.remove()

    def _accept(self, listener: socket.socket) -> bool:
        """Takes who waits, if anybody does; False if that is not possible now."""
        try:
            connection, _ = listener.accept()
        except (BlockingIOError, ConnectionError):  # nobody, or gone again
            return True
        except OSError:
            return False
        peer = _Peer(connection, self._enqueue, self._forget)
        with self._lock:
            self._peers.add(peer)
        try:
            peer.thread.start()
        except RuntimeError:
            connection.close()
            self._forget(peer)
            return False
        self._closing.wait(ACCEPT_EVERY_S)  # who comes again and again costs no more than that
        return True

    def _enqueue(self, request: Request) -> None:
        if self._closing.is_set():
            request.answer({"ok": False, "error": STOPS})
        self._queue.append(request)
        self._wake()

    def _forget(self, peer: _Peer) -> None:
        with self._lock:
            self._peers.discard(peer)
        self._stirred.set()


class _Reply:
    """What one request is answered; the first answer counts."""

    def __init__(self) -> None:
        self._given = threading.Event()
        self._answer: Mapping[str, Any] = {}

    def give(self, answer: Mapping[str, Any]) -> None:
        """Any thread."""
        if not self._given.is_set():
            self._answer = answer
            self._given.set()

    def wait(self) -> Mapping[str, Any]:
        """The answer, once it is there."""
        self._given.wait()
        return self._answer


class _Peer:
    """One connection: a line, its answer, the next line, in a thread of its own."""

    def __init__(
        self, connection: socket.socket, enqueue: Callable[[Request], None], forget: Callable[[_Peer], None]
    ) -> None:
        self._connection = connection
        self._enqueue = enqueue
        self._forget = forget
        self._who = _who(connection)
        self._received = b""
        self._reply: _Reply | None = None
        self.thread = threading.Thread(target=self._serve, name="control peer", daemon=True)

    def end(self) -> None:
        """No further request is heard, and who waits is told that the agent stops."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RD)
        if self._reply is not None:
            self._reply.give({"ok": False, "error": STOPS})

    def _serve(self) -> None:
        """The thread's whole life. Whoever is too slow or gone is left, without a word: that is no error."""
        try:
            with contextlib.closing(self._connection), contextlib.suppress(OSError):
                for _ in range(MAX_ASKED):
                    line = self._line(time.monotonic() + PEER_S)
                    if line is None:
                        return
                    answer = self._ask(line)
                    self._connection.settimeout(PEER_S)
                    self._connection.sendall(_encoded(answer))
                    if len(line) > MAX_LINE:
                        return
        finally:
            self._forget(self)

    def _line(self, deadline: float) -> bytes | None:
        """The next line, or what stands in place of one at the end; None if there is none. Of one that is too long no
        more comes than tells so."""
        while b"\n" not in self._received and len(self._received) <= MAX_LINE:
            self._connection.settimeout(max(0.001, deadline - time.monotonic()))
            data = self._connection.recv(MAX_LINE)
            self._received += data
            if not data:
                rest, self._received = self._received, b""
                return rest or None
        line, _, self._received = self._received.partition(b"\n")
        return line

    def _ask(self, line: bytes) -> Mapping[str, Any]:
        try:
            asked = parse(line)
        except UserError as error:
            time.sleep(TURN_S)  # garbage costs no more than requests do
            return {"ok": False, "error": error.message}
        self._reply = reply = _Reply()
        self._enqueue(Request(asked, self._who, reply.give))
        return reply.wait()


def _who(connection: socket.socket) -> str:
    """Who is at the other end, as the system knows it."""
    pid, uid, _ = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return f"uid {uid}, pid {pid}"


def _encoded(answer: Mapping[str, Any]) -> bytes:
    data = json.dumps(answer).encode() + b"\n"
    if len(data) > MAX_ANSWER:
        return _encoded({"ok": False, "error": f"the answer has more than {MAX_ANSWER} bytes"})
    return data
