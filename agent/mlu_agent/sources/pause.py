"""A pause that somebody else decides on: a thread waits for its end."""

from __future__ import annotations

import threading
import time


class Pause:
    """Not paused at first."""

    def __init__(self) -> None:
        self._go = threading.Event()
        self._go.set()

    def __bool__(self) -> bool:
        """Whether it is paused."""
        return not self._go.is_set()

    def begin(self) -> None:
        """From now on ``wait`` waits."""
        self._go.clear()

    def end(self) -> None:
        """Whoever waits goes on."""
        self._go.set()

    def wait(self) -> float:
        """Waits for the end, if it is paused; how many seconds that took."""
        if self._go.is_set():
            return 0.0
        begin = time.monotonic()
        self._go.wait()
        return time.monotonic() - begin
