"""What the service manager is told, and how signals end the process.

The protocol is sd_notify(3): datagrams of NAME=value lines to the socket that NOTIFY_SOCKET names. Without it
everything here is silent.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Callable

if TYPE_CHECKING:
    from types import FrameType


class Notifications:
    """Datagrams to the service manager."""

    def __init__(self, address: str | None = None, watchdog_usec: str | None = None) -> None:
        self._address = address if address is not None else os.environ.get("NOTIFY_SOCKET", "")
        text = watchdog_usec if watchdog_usec is not None else os.environ.get("WATCHDOG_USEC", "")
        self.watchdog_s = int(text) / 1e6 if text.isdigit() else 0.0
        self._socket: socket.socket | None = None

    @property
    def wanted(self) -> bool:
        """Whether a service manager listens."""
        return self._address.startswith(("/", "@"))

    def send(self, **fields: str | int) -> None:
        """Sends one datagram, for example send(READY=1, STATUS="2 sources"). A manager that is gone changes nothing."""
        if not self.wanted:
            return
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        # a leading @ is how the abstract namespace is written in the environment
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        lines = "\n".join(f"{name}={str(value).replace(chr(10), ' ')}" for name, value in fields.items())
        with contextlib.suppress(OSError):
            self._socket.sendto(lines.encode(), address)

    def close(self) -> None:
        """Closes the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class Watchdog:
    """Feeds the service manager's watchdog only while work is really done.

    `progress()` is a number that grows with every piece of work finished; `idle()` is whether there is nothing
    to do (no     frame waiting, none in flight), so that silent cameras do not kill the daemon but a stuck device does.
    """

    def __init__(self, notifications: Notifications, progress: Callable[[], int], idle: Callable[[], bool]) -> None:
        self._notifications = notifications
        self._progress = progress
        self._idle = idle
        self._seen = -1
        self._next = 0.0

    def tick(self, now: float | None = None) -> bool:
        """Called by the main loop; whether the watchdog was fed. At most four times per watchdog period."""
        now = time.monotonic() if now is None else now
        if not self._notifications.watchdog_s or now < self._next:
            return False
        progress = self._progress()
        if progress == self._seen and not self._idle():
            return False
        self._seen = progress
        self._next = now + self._notifications.watchdog_s / 4
        self._notifications.send(WATCHDOG=1)
        return True


class Stopper:
    """SIGTERM and SIGINT ask for a clean end; a second one ends the process at once."""

    def __init__(self) -> None:
        self.requested = threading.Event()
        self.signal_name = ""
        self._previous: dict[int, Any] = {}

    def install(self) -> None:
        """Takes the signals over; main thread only."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._previous[number] = signal.signal(number, self._handle)

    def restore(self) -> None:
        """Gives the signals back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self.requested.is_set():
            os._exit(128 + number)
        self.signal_name = signal.Signals(number).name
        self.requested.set()
