"""What the main loop sleeps on: it ends when another thread or a signal asks for it, when a descriptor has something to
read, or when the time is over."""

from __future__ import annotations

import contextlib
import select
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

SHORTEST_S = 0.001  # a time that is just about to come is not worth a turn of its own
LONGEST_S = 3600.0  # far below what the operating system can count


class Wake:
    """One sleeper; any thread and any signal handler may wake it, also in advance."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def set(self) -> None:
        """Ends the present ``wait``, or else the next one at once."""
        with contextlib.suppress(OSError):  # a full buffer wakes as well as one more byte does
            self._writer.send(b"\0")

    def wait(self, seconds: float, descriptors: Iterable[int] = ()) -> None:
        """Sleeps for ``seconds``, an hour at most; ends early when ``set`` was called or a descriptor can be read."""
        poll = select.poll()
        for descriptor in (self._reader.fileno(), *descriptors):
            if descriptor >= 0:
                poll.register(descriptor, select.POLLIN)
        poll.poll(min(max(SHORTEST_S, seconds), LONGEST_S) * 1000)
        with contextlib.suppress(BlockingIOError):
            while self._reader.recv(4096):
                pass

    def close(self) -> None:
        """Nobody sleeps here any more."""
        self._writer.close()
        self._reader.close()
