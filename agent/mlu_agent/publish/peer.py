"""One connection of the publisher: what it asked for, what waits for it, and what it may cost."""

from __future__ import annotations

import collections
import itertools
import socket
import struct
from typing import TYPE_CHECKING

from . import zmtp

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_SUBSCRIPTIONS = 1024  # each source of a box, by name, for each of four kinds, and as much again
MAX_PREFIX = 257  # of a topic of the greatest length and its NUL: what is longer matches nothing
ALLOWANCE = 256 << 10  # bytes that a peer may send at once: all its subscriptions
ALLOWANCE_PER_S = 1024  # and from then on: signs of life, subscriptions that change
_FRAMES_AT_ONCE = 64
_BYTES_AT_ONCE = 256 << 10
_READ = 2048


class Gone(Exception):
    """The peer left."""


class Peer:
    """One connection, from its greeting on; used by the publisher's thread alone.

    ``who``       for people: process and user, or address.
    ``owner``     whose it is, as far as can be told: a process here, or another machine.
    ``since``     when it came, by the monotonic clock.
    ``moved``     when it last took something.
    ``prefixes``  what it asked for.
    ``listens``   whether it has said that it is a SUB socket.
    ``blocked``   whether it is waited for until it takes more.
    """

    def __init__(self, connection: socket.socket, now: float) -> None:
        connection.setblocking(False)
        self._connection = connection
        self.descriptor = connection.fileno()
        self.who, self.owner = _who(connection)
        self.since = self.moved = now
        self.prefixes: set[bytes] = set()
        self.listens = False
        self.queued = 0  # bytes
        self.blocked = False
        self._queue: collections.deque[bytes] = collections.deque()
        self._sent = 0  # bytes of the first in the queue
        self._decoder = zmtp.Decoder()
        self._allowance = float(ALLOWANCE)
        self._counted_at = now
        self._pong: bytes | None = None
        if connection.family != socket.AF_UNIX:
            _keep_alive(connection)
        self._push(zmtp.GREETING)

    def __len__(self) -> int:
        """Messages that wait."""
        return len(self._queue)

    def hear(self, now: float) -> Iterator[tuple[bool, bytes]]:
        """Reads a little: prefixes that it newly wants (True) or wants no more (False), in order. Raises Gone, and
        ProtocolError when it is to be cut off."""
        try:
            data = self._connection.recv(_READ)
        except BlockingIOError:
            return
        except OSError:
            raise Gone from None
        if not data:
            raise Gone
        self._spend(len(data), now)
        for frame in self._frames(data):
            yield from self._change(frame)

    def _spend(self, size: int, now: float) -> None:
        self._allowance = min(ALLOWANCE, self._allowance + (now - self._counted_at) * ALLOWANCE_PER_S) - size
        self._counted_at = now
        if self._allowance < 0:
            raise zmtp.ProtocolError(f"sends more than {ALLOWANCE} bytes, and {ALLOWANCE_PER_S} a second")

    def _frames(self, data: bytes) -> list[zmtp.Frame]:
        greeted = self._decoder.greeted
        frames = list(self._decoder.feed(data))
        if self._decoder.greeted and not greeted:
            self._push(zmtp.READY)
        if frames and not self.listens:
            if not zmtp.is_listener(frames.pop(0)):
                raise zmtp.ProtocolError("is no SUB socket")
            self.listens = True
        return frames

    def _change(self, frame: zmtp.Frame) -> list[tuple[bool, bytes]]:
        self._pong = zmtp.pong(frame) or self._pong
        asked = zmtp.subscription(frame)
        if asked is None or (asked[1] in self.prefixes) == asked[0]:
            return []
        wanted, prefix = asked
        if not wanted:
            self.prefixes.remove(prefix)
        elif len(prefix) > MAX_PREFIX:
            raise zmtp.ProtocolError(f"subscribes to more than {MAX_PREFIX} bytes")
        elif len(self.prefixes) >= MAX_SUBSCRIPTIONS:
            raise zmtp.ProtocolError(f"has more than {MAX_SUBSCRIPTIONS} subscriptions")
        else:
            self.prefixes.add(prefix)
        return [asked]

    def offer(self, data: bytes, longest: int, room: int) -> bool:
        """Takes a message into the queue unless that has ``longest`` messages or would have more than ``room`` bytes,
        but for one message, however large; whether it did."""
        if len(self._queue) >= longest or (self._queue and self.queued + len(data) > room):
            return False
        self._push(data)
        return True

    def _push(self, data: bytes) -> None:
        self._queue.append(data)
        self.queued += len(data)

    def flush(self, now: float) -> bool:
        """Sends some of what waits; whether more is left. Raises Gone."""
        if self._pong is not None and not self._sent:  # between two messages
            self._queue.appendleft(self._pong)
            self.queued += len(self._pong)
            self._pong = None
        if not self._queue:
            return False
        try:
            sent = self._connection.sendmsg(self._some())
        except BlockingIOError:
            return True
        except OSError:
            raise Gone from None
        self.moved = now
        self.queued -= sent
        sent += self._sent
        while self._queue and sent >= len(self._queue[0]):
            sent -= len(self._queue.popleft())
        self._sent = sent
        return bool(self._queue) or self._pong is not None

    def _some(self) -> list[memoryview | bytes]:
        first: memoryview | bytes = memoryview(self._queue[0])[self._sent :]
        some, size = [first], len(first)
        for data in itertools.islice(self._queue, 1, _FRAMES_AT_ONCE):
            if size > _BYTES_AT_ONCE:
                break
            some.append(data)
            size += len(data)
        return some

    def close(self) -> None:
        """Ends the connection; what the system has taken over still arrives."""
        try:
            self._connection.shutdown(socket.SHUT_WR)
            self._connection.recv(ALLOWANCE)  # what lies unread would make the system throw away what is on its way
        except OSError:
            pass
        self._connection.close()


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
