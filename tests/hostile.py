"""Peers that mean no good to a publisher, over raw sockets and over libzmq.

    python tests/hostile.py KIND ENDPOINT AMOUNT [SECONDS]

Sends what the kind is about until AMOUNT of it was sent, coming again whenever it was cut off, then holds what it has
until SECONDS have passed. Prints how many it sent and how often it was cut off.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import sys
import time
from typing import Callable

import zmq

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01NULL" + bytes(16) + b"\0" + bytes(31)
READY = b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03SUB"
AT_ONCE = 100
PATIENCE_S = 10.0


class Hostile:
    """One process' worth of it."""

    def __init__(self, endpoint: str, amount: int, seconds: float) -> None:
        self.endpoint = endpoint
        self.amount = amount
        self.end = time.monotonic() + seconds
        self.cut_off = 0
        self.sent = 0
        self.kept: list[socket.socket] = []

    def connect(self) -> socket.socket:
        """A connection on which nothing was said."""
        if self.endpoint.startswith("ipc://"):
            made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            made.settimeout(PATIENCE_S)
            made.connect(self.endpoint[6:])
            return made
        host, _, port = self.endpoint[6:].rpartition(":")
        return socket.create_connection((host, int(port)), PATIENCE_S)

    def subscriber(self) -> socket.socket:
        """A connection that has introduced itself as a subscriber."""
        made = self.connect()
        made.sendall(GREETING + READY)
        heard = b""
        while b"READY" not in heard:
            heard += made.recv(1000) or b"READY"  # the next to be sent will fail
        return made

    def pour(self, begin: Callable[[], socket.socket], make: Callable[[int], bytes]) -> None:
        """Sends ``make(0)``, ``make(1)`` and so on, as fast as they are taken."""
        while self.sent < self.amount and time.monotonic() < self.end:
            self._pour_once(begin, make)

    def _pour_once(self, begin: Callable[[], socket.socket], make: Callable[[int], bytes]) -> None:
        """By one connection."""
        try:
            with begin() as connection:
                while self.sent < self.amount and time.monotonic() < self.end:
                    connection.sendall(b"".join(make(self.sent + one) for one in range(AT_ONCE)))
                    self.sent += AT_ONCE
                time.sleep(max(0.0, self.end - time.monotonic()))
        except OSError:
            self.cut_off += 1
            time.sleep(0.001)

    def subscriptions(self) -> None:
        """Of 200 bytes each, as ZeroMQ sent them before 4.3."""
        self.pour(self.subscriber, lambda number: b"\0\xc9\1" + str(number).encode().ljust(200, b"x"))

    def commands(self) -> None:
        """The same as commands."""
        self.pour(self.subscriber, lambda number: b"\4\xd2\x09SUBSCRIBE" + str(number).encode().ljust(200, b"x"))

    def pings(self) -> None:
        """Signs of life without end, the answers never read."""
        self.pour(self.subscriber, lambda _: b"\4\x17\4PING\0\0" + b"p" * 16)

    def oversized(self) -> None:
        """Frames that are announced with a terabyte."""
        self.pour(self.subscriber, lambda _: b"\2" + (1 << 40).to_bytes(8, "big") + bytes(10_000))

    def garbage(self) -> None:
        """Anything but ZeroMQ."""
        made = random.Random(8)
        self.pour(self.connect, lambda _: made.randbytes(1000))

    def garbled(self) -> None:
        """ZeroMQ first, then anything."""
        made = random.Random(8)
        self.pour(self.subscriber, lambda _: made.randbytes(100))

    def silent(self) -> None:
        """Connections that never say a word, all at a time."""
        self.collect(self.connect)

    def deaf(self) -> None:
        """Subscribers of everything that never read, all at a time."""

        def begin() -> socket.socket:
            made = self.subscriber()
            made.sendall(b"\0\1\1")
            return made

        self.collect(begin)

    def collect(self, begin: Callable[[], socket.socket]) -> None:
        """Keeps as many connections as it may."""
        while time.monotonic() < self.end:
            try:
                if len(self.kept) < self.amount:
                    self.kept.append(begin())
                    self.sent += 1
                    continue
                time.sleep(0.05)
            except OSError:
                self.cut_off += 1
                time.sleep(0.01)

    def churn(self) -> None:
        """Comes and goes."""
        for _ in range(self.amount):
            if time.monotonic() < self.end:
                with contextlib.suppress(OSError):
                    self.connect().close()
                    self.sent += 1

    def libzmq(self) -> None:
        """The subscriptions by the library that everybody uses."""
        made = zmq.Context().socket(zmq.SUB)
        made.setsockopt(zmq.LINGER, 0)
        made.connect(self.endpoint)
        while self.sent < self.amount and time.monotonic() < self.end:
            made.subscribe(str(self.sent).encode().ljust(200, b"x"))
            self.sent += 1
        time.sleep(max(0.0, self.end - time.monotonic()))


KINDS = (
    "subscriptions", "commands", "pings", "oversized", "garbage", "garbled", "silent", "deaf", "churn", "libzmq",
)  # fmt: skip


def main() -> None:
    """By the command line."""
    kind, endpoint, amount, *seconds = sys.argv[1:]
    hostile = Hostile(endpoint, int(amount), float(seconds[0]) if seconds else 60.0)
    getattr(hostile, kind)()
    print(hostile.sent, hostile.cut_off, flush=True)
    os._exit(0)  # libzmq takes minutes to forget what it subscribed to


if __name__ == "__main__":
    main()
