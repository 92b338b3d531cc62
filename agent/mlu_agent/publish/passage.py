"""One peer's way through the gate: its connection, the one to ZeroMQ's socket for it, and what it may cost."""

from __future__ import annotations

import socket
import struct

ALLOWANCE = 32 << 10  # bytes that a peer may send at once: all its subscriptions
ALLOWANCE_PER_S = 32  # and from then on: signs of life, subscriptions that change now and then
YOUNG_S = 600.0  # in which all that is said is taken for subscriptions that had to be made
_READ = 2048  # from a peer at once: all that ever waits for ZeroMQ's socket
_WRITE = 64 << 10  # to a peer at once: all that ever waits for it here


class Gone(Exception):
    """One of the two ends left."""


class Greedy(Exception):
    """The peer sends too much; the sentence's end, without its subject."""


class Passage:
    """Hands bytes through, whatever they say; used by the gate's thread alone.

    ``who``    for people: process and user, or address. ``owner``: whose it is, as far as can be told: a process here,
               or another machine.
    ``since``  when it came, ``moved``: when it last took something; by the monotonic clock.
    ``received``  bytes that the peer sent so far.
    """

    def __init__(self, connection: socket.socket, inner: str, now: float) -> None:
        connection.setblocking(False)
        self.outer = connection
        self.inner: socket.socket | None = None
        self.who, self.owner = _who(connection)
        self.since = self.moved = now
        self.received = 0
        self.watched = False  # whether the gate waits for what ZeroMQ's socket has for it, or can take
        self._inner_path = inner
        self._in = b""  # on its way to ZeroMQ's socket
        self._out = memoryview(b"")  # on its way to the peer
        self._allowance = float(ALLOWANCE)
        self._counted_at = now
        if connection.family != socket.AF_UNIX:
            _keep_alive(connection)

    @property
    def full(self) -> bool:
        """Whether the peer has to take something before more can be handed out."""
        return bool(self._out)

    @property
    def choked(self) -> bool:
        """Whether ZeroMQ's socket has to take something before more can be handed in."""
        return bool(self._in)

    def costs(self, now: float) -> float:
        """Bytes a second that it sends in the long run: who subscribes without end leads."""
        return self.received / (now - self.since + YOUNG_S)

    def hand_in(self, now: float) -> int:
        """Takes a little from the peer for ZeroMQ's socket; how many bytes. Raises Gone, Greedy."""
        try:
            data = self.outer.recv(_READ)
        except BlockingIOError:
            return 0
        except OSError:
            raise Gone from None
        if not data:
            raise Gone
        self.received += len(data)
        self._spend(len(data), now)
        self._in += data
        self.push_in()
        return len(data)

    def _spend(self, size: int, now: float) -> None:
        self._allowance = min(ALLOWANCE, self._allowance + (now - self._counted_at) * ALLOWANCE_PER_S) - size
        self._counted_at = now
        if self._allowance < 0:
            raise Greedy(f"sends more than {ALLOWANCE} bytes, and {ALLOWANCE_PER_S} a second")

    def push_in(self) -> None:
        """Gives ZeroMQ's socket what waits for it. Raises Gone."""
        try:
            if self.inner is None:  # only now: who says nothing costs ZeroMQ nothing
                self.inner = _connected(self._inner_path)
            self._in = self._in[self.inner.send(self._in) :]
        except BlockingIOError:
            return
        except OSError:
            raise Gone from None

    def hand_out(self, now: float) -> None:
        """Gives the peer what waits for it, and one portion more of what ZeroMQ's socket sends. Raises Gone."""
        try:
            if not self._out and self.inner is not None:
                self._out = memoryview(self.inner.recv(_WRITE))
                if not self._out:
                    raise Gone
            sent = self.outer.send(self._out)
        except BlockingIOError:
            return
        except OSError:
            raise Gone from None
        self._out = self._out[sent:]
        self.moved = now

    def close(self) -> None:
        """Ends both connections; what the system has taken over for the peer still arrives."""
        try:
            self.outer.shutdown(socket.SHUT_WR)
            self.outer.recv(ALLOWANCE)  # what lies unread would make the system throw away what is on its way
        except OSError:
            pass
        self.outer.close()
        if self.inner is not None:
            self.inner.close()


def _connected(path: str) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made.setblocking(False)
        made.connect(path)
    except BaseException:
        made.close()
        raise
    return made


def _who(connection: socket.socket) -> tuple[str, str]:
    """In words, and whose it is."""
    try:
        if connection.family == socket.AF_UNIX:
            process, user, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            return f"process {process} of user {user}", str(process)
        host, port = connection.getpeername()[:2]
    except OSError:
        return "somebody who left at once", ""
    return f"{host} port {port}", host


def _keep_alive(connection: socket.socket) -> None:
    """A peer that vanished without a word is noticed within 15 s, whether something waits for it or not."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in ((socket.TCP_KEEPIDLE, 5), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 2)):
        connection.setsockopt(socket.IPPROTO_TCP, option, value)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 15_000)
