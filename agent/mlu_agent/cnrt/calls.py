"""What each thread is doing inside the runtime library, and since when: written by who calls, read by who watches.

Two attributes are written before a call and one after it, without a lock and without an allocation. ``since`` is
written before ``name`` and read after it: whoever reads meanwhile sees a call as younger than it is, never as older.
"""

from __future__ import annotations

import threading


class Call:
    """One thread's place. ``name``: the function that it is in, "" outside of all; ``since``: monotonic seconds."""

    __slots__ = ("_thread", "name", "since")

    def __init__(self, thread: threading.Thread) -> None:
        self._thread = thread
        self.name = ""
        self.since = 0.0

    @property
    def over(self) -> bool:
        """Whether its thread has ended."""
        return not self._thread.is_alive()


class Calls:
    """The places of all threads that ever called."""

    def __init__(self) -> None:
        self._local = threading.local()
        self._lock = threading.Lock()
        self._all: list[Call] = []

    def here(self) -> Call:
        """The calling thread's own place."""
        try:
            call: Call = self._local.call
        except AttributeError:
            call = self._local.call = Call(threading.current_thread())
            with self._lock:
                self._all = [*(one for one in self._all if not one.over), call]
        return call

    def inside(self) -> list[tuple[Call, str, float]]:
        """Who is inside the library now: place, function, since when."""
        found = [(call, call.name, call.since) for call in self._all]
        return [entry for entry in found if entry[1]]
