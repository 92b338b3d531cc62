"""What the service manager is told.

The protocol is sd_notify(3): datagrams of NAME=value lines to the socket that NOTIFY_SOCKET names. Without it
everything here is silent.
"""

from __future__ import annotations

import collections
import errno
import math
import os
import socket
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable

if TYPE_CHECKING:
    from collections.abc import Iterable

MEALS_PER_PERIOD = 4  # of the watchdog
LOOKS_PER_PERIOD = 16  # for a reason to feed it
STARVING_PERIODS = 0.5  # after which it is said that nothing feeds it
RETRY_S = 0.1  # what a manager that does not read has to be told is tried again
MAX_UNSENT = 16
REPEATED = {"STATUS", "WATCHDOG"}  # fields that are told again anyway


class Notifications:
    """Datagrams to the service manager; any thread may send, and none waits for it.

    ``watchdog_s``: how often it wants to hear WATCHDOG=1, seconds; 0: it does not. ``lost``: datagrams that it could
    not take and that were not worth keeping.
    """

    def __init__(self, address: str | None = None, watchdog_usec: str | None = None) -> None:
        self._address = address if address is not None else os.environ.get("NOTIFY_SOCKET", "")
        if watchdog_usec is None:
            process = os.environ.get("WATCHDOG_PID", "")
            watchdog_usec = os.environ.get("WATCHDOG_USEC", "") if process in ("", str(os.getpid())) else ""
        self.watchdog_s = int(watchdog_usec) / 1e6 if watchdog_usec.isdigit() else 0.0
        self.lost = 0
        self._unsent: collections.deque[bytes] = collections.deque(maxlen=MAX_UNSENT)
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        if self.wanted:  # made now: later there may be no descriptor left
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)

    @property
    def wanted(self) -> bool:
        """Whether a service manager listens."""
        return self._address.startswith(("/", "@"))

    def send(self, **fields: str | int) -> None:
        """Sends one datagram, for example send(READY=1, STATUS="2 sources"). A manager that is gone changes nothing;
        for one that does not read, what it must know is kept until ``flush``."""
        lines = "\n".join(f"{name}={str(value).replace(chr(10), ' ')}" for name, value in fields.items())
        with self._lock:
            if self._socket is None:
                return
            if fields.keys() <= REPEATED:
                self.lost += bool(self._unsent) or not self._sent(lines.encode())
            else:
                self._unsent.append(lines.encode())
                self._flush()

    def extend(self, seconds: float, status: str) -> None:
        """Start or end may take so much longer from now on, and why."""
        self.send(EXTEND_TIMEOUT_USEC=int(seconds * 1e6), STATUS=status)

    def reloading(self) -> None:
        """A reload begins; READY=1 says that it is over."""
        self.send(RELOADING=1, MONOTONIC_USEC=time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000)

    def flush(self) -> None:
        """Tries again to send what was kept."""
        with self._lock:
            self._flush()

    def due(self, now: float) -> float:
        """When ``flush`` is to be called next."""
        return now + RETRY_S if self._unsent else math.inf

    def _flush(self) -> None:
        while self._unsent and self._sent(self._unsent[0]):
            self._unsent.popleft()

    def _sent(self, data: bytes) -> bool:
        """Whether it is gone, to the manager or because there is none any more."""
        # a leading @ is how the abstract namespace is written in the environment
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            if self._socket is not None:
                self._socket.sendto(data, socket.MSG_DONTWAIT, address)
        except OSError as error:
            return error.errno not in (errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM)
        return True

    def close(self) -> None:
        """Closes the socket, with a last try to send what was kept."""
        with self._lock:
            if self._socket is not None:
                self._flush()
                self._socket.close()
                self._socket = None


@dataclass(frozen=True)
class Worker:
    """What one thread of the daemon does: ``progress`` changes with every piece of work that it finished; ``idle``:
    whether it has nothing to do now, or waits for something within a bound of its own."""

    name: str
    progress: int
    idle: bool


class Watchdog:
    """Feeds the service manager's watchdog only while every worker does its work.

    Since the last meal each one must have been idle or have made progress: silent cameras do not kill the daemon, but
    a stuck device or thread does. ``tick`` is called by the main loop, which is a worker too.
    """

    def __init__(self, notifications: Notifications, workers: Callable[[], Iterable[Worker]]) -> None:
        self._notifications = notifications
        self._workers = workers
        self._seen: dict[str, int] = {}
        self._well: set[str] = set()
        self._next = 0.0
        self._hungry_since = math.inf

    def due(self, now: float) -> float:
        """When ``tick`` is to be called next: when it may feed, or soon again if nothing was done to feed it."""
        if not self._notifications.watchdog_s:
            return math.inf
        return self._next if self._next > now else now + self._notifications.watchdog_s / LOOKS_PER_PERIOD

    def tick(self, now: float | None = None) -> bool:
        """Called by the main loop; whether the watchdog was fed. At most four times per watchdog period."""
        now = time.monotonic() if now is None else now
        period = self._notifications.watchdog_s
        if not period or now < self._next:
            return False
        if self._look():
            self._hungry_since = min(self._hungry_since, now)
            return False
        self._well.clear()
        self._hungry_since = math.inf
        self._next = now + period / MEALS_PER_PERIOD
        self._notifications.send(WATCHDOG=1)
        return True

    def starving(self, now: float) -> list[str]:
        """The workers because of whom the watchdog has gone hungry for long; empty while it is well."""
        starving = now - self._hungry_since > STARVING_PERIODS * self._notifications.watchdog_s
        return self._look() if starving else []

    def _look(self) -> list[str]:
        """Who has not been seen well since the last meal."""
        workers = list(self._workers())
        self._well |= {worker.name for worker in workers if worker.idle or self._moved(worker)}
        self._seen = {worker.name: worker.progress for worker in workers}
        return [worker.name for worker in workers if worker.name not in self._well]

    def _moved(self, worker: Worker) -> bool:
        return worker.progress != self._seen.get(worker.name)
