"""What the service manager is told, and how signals end the process.

The protocol is sd_notify(3): datagrams of NAME=value lines to the socket that NOTIFY_SOCKET names. Without it
everything here is silent.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import socket
import threading
import time
from typing import TYPE_CHECKING, Callable

from ..errors import RuntimeFailure

if TYPE_CHECKING:
    from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)
NO_SIGNAL = b"\0"
LAST_WORD_S = 0.1
MEALS_PER_PERIOD = 4  # of the watchdog
LOOKS_PER_PERIOD = 16  # for a reason to feed it


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

    ``progress()`` is a number that grows with every piece of work finished; ``idle()`` is whether there is nothing
    to do (no frame waiting, none in flight), so that silent cameras do not kill the daemon but a stuck device does.
    """

    def __init__(self, notifications: Notifications, progress: Callable[[], int], idle: Callable[[], bool]) -> None:
        self._notifications = notifications
        self._progress = progress
        self._idle = idle
        self._seen = -1
        self._next = 0.0

    def due(self, now: float) -> float:
        """When ``tick`` is to be called next: when it may feed, or soon again if nothing was done to feed it."""
        if not self._notifications.watchdog_s:
            return math.inf
        return self._next if self._next > now else now + self._notifications.watchdog_s / LOOKS_PER_PERIOD

    def tick(self, now: float | None = None) -> bool:
        """Called by the main loop; whether the watchdog was fed. At most four times per watchdog period."""
        now = time.monotonic() if now is None else now
        if not self._notifications.watchdog_s or now < self._next:
            return False
        progress = self._progress()
        if progress == self._seen and not self._idle():
            return False
        self._seen = progress
        self._next = now + self._notifications.watchdog_s / MEALS_PER_PERIOD
        self._notifications.send(WATCHDOG=1)
        return True


class Stopper:
    """SIGTERM and SIGINT ask for a clean end; a second one, or an end that takes too long, ends the process at once.

    A Python signal handler runs in the main thread between two of its instructions: never while that one is inside a
    device call that hangs. So the bytes that the C handler writes are read by a thread of our own, which needs nobody.
    """

    def __init__(
        self,
        limit_s: float = 0.0,
        on_late: Callable[[], None] | None = None,
        on_request: Callable[[], None] = lambda: None,
    ) -> None:
        """``limit_s``: seconds from the first request to the hard end, 0 for no limit; ``on_late`` is called before it.

        ``on_request`` is called when a signal asked for the end, also within the signal's handler."""
        self.requested = threading.Event()
        self.signal_name = ""
        self.limit_s = limit_s
        self._on_late = on_late
        self._on_request = on_request
        self._previous_fd = -1
        self._reader, self._writer = socket.socketpair()
        self._thread = threading.Thread(target=self._watch, name="signals", daemon=True)

    def install(self) -> None:
        """Takes the signals over; main thread only."""
        self._writer.setblocking(False)
        self._previous_fd = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in SIGNALS:
            signal.signal(number, self._handle)
        self._thread.start()

    def close(self) -> None:
        """Ends the thread: from now on nothing limits the process, and nothing ends it early. It is about to exit, and
        a signal that comes meanwhile must not make a clean end look like a killed process."""
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        signal.set_wakeup_fd(self._previous_fd)
        self._writer.close()
        self._thread.join()
        self._reader.close()

    def request(self) -> None:
        """Lets ``limit_s`` count from now on, for an end that no signal asked for."""
        with contextlib.suppress(OSError):
            self._writer.send(NO_SIGNAL)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        # the thread sees the same signal; this makes it visible to the main thread's next instruction
        if not self.requested.is_set():
            self.signal_name = signal.Signals(number).name
            self.requested.set()
            self._on_request()

    def _watch(self) -> None:
        """Reads requests until ``close``; the thread's whole life."""
        deadline = 0.0
        signals = 0
        while True:
            self._reader.settimeout(max(0.001, deadline - time.monotonic()) if deadline else None)
            try:
                number = self._reader.recv(1)
            except socket.timeout:
                self._end_late()
                return
            if not number:
                return
            if number[0] in SIGNALS:
                signals += 1
                self._handle(number[0], None)
            if signals > 1:
                os._exit(128 + number[0])
            if self.limit_s and not deadline:
                deadline = time.monotonic() + self.limit_s

    def _end_late(self) -> None:
        if self._on_late is not None:
            # it writes a line, and a reader that hangs may be the very reason for being late
            last_word = threading.Thread(target=self._on_late, daemon=True)
            last_word.start()
            last_word.join(LAST_WORD_S)
        os._exit(RuntimeFailure.exit_code)
