"""How long a call of the runtime library may take, and the thread that watches that none takes longer.

    an invocation's calls    the longer of the configured time and FACTOR x the 99th percentile of good invocations,
                             but no more than LONGEST_S unless the configured time is longer
    all others               opening, loading, making and destroying: the configured time to start, and what reading
                             the model's file may take; an invocation too, before the first one was good

What is learnt comes from the host's clock alone, from invocations that went well, and from the last WINDOW of them: one
slow invocation in a hundred changes nothing, and a device that tells wrong times even less.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from typing import TYPE_CHECKING, Callable

from ..errors import DeviceLost

if TYPE_CHECKING:
    from ..cnrt.calls import Call, Calls

FACTOR = 5
PERCENTILE = 0.99
LONGEST_S = 20.0
WINDOW = 500
READ_BYTES_PER_S = 20e6  # of the flash memory of a slow box
LOOK_S = 0.2
LONGEST_LOOK_S = 0.5  # what one look may add to a call's age: in more than that the process itself stood still
INVOCATION = frozenset(
    {
        "cnrtSetCurrentDevice",
        "cnrtMemcpy",
        "cnrtQueueWaitNotifier",
        "cnrtPlaceNotifier",
        "cnrtInvokeRuntimeContext",
        "cnrtWaitNotifier",
        "cnrtSyncQueue",
        "cnrtNotifierDuration",
    }
)


class Deadlines:
    """The deadlines of one model on its device.

    ``timeout_s``, ``start_timeout_s``: as configured; ``model_bytes``: the size of the model's file.
    """

    def __init__(self, timeout_s: float, start_timeout_s: float, model_bytes: int) -> None:
        self._read_s = model_bytes / READ_BYTES_PER_S
        self._good: list[float] = []
        self._count = 0
        self.configure(timeout_s, start_timeout_s)

    def configure(self, timeout_s: float, start_timeout_s: float) -> None:
        """As in the constructor; what was learnt stays. Any thread."""
        self._timeout_s = timeout_s
        self.start_s = start_timeout_s + self._read_s

    def note(self, seconds: float) -> None:
        """An invocation went well and took so long, by the host's clock."""
        if len(self._good) < WINDOW:
            self._good.append(seconds)
        else:
            self._good[self._count % WINDOW] = seconds
        self._count += 1

    @property
    def invocation_s(self) -> float:
        """For each call that an invocation is made of."""
        good = sorted(self._good)
        if not good:
            return max(self._timeout_s, self.start_s)
        usual = good[math.ceil(PERCENTILE * len(good)) - 1]
        return max(self._timeout_s, min(FACTOR * usual, LONGEST_S))

    def of(self, name: str) -> float:
        """Seconds that a call of that function may take."""
        return self.invocation_s if name in INVOCATION else self.start_s


class CallWatch:
    """Looks at who is inside the library, in a thread of its own: the others may all be in there.

    ``on_hang(lost)`` is called there, once, for the first call that took longer than it may. A context manager.
    """

    def __init__(
        self, calls: Calls, deadlines: Deadlines, on_hang: Callable[[DeviceLost], None], now: float | None = None
    ) -> None:
        self._calls = calls
        self._deadlines = deadlines
        self._on_hang = on_hang
        self._looked = time.monotonic() if now is None else now
        self._awake = 0.0
        self._seen: dict[Call, tuple[float, float]] = {}  # entered when, first seen at which time awake
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="device-watch", daemon=True)

    def look(self, now: float) -> DeviceLost | None:
        """Why the device has to be given up, if a call takes too long; ``now`` of the monotonic clock.

        Ages are counted in time that the process was awake: after SIGSTOP, or a box that slept, nothing is overdue."""
        self._awake += min(now - self._looked, LONGEST_LOOK_S)
        self._looked = now
        inside = self._calls.inside()
        before, self._seen = self._seen, {}
        for call, name, since in inside:
            entered, first = before.get(call, (since, self._awake))
            if entered != since:
                first = self._awake
            self._seen[call] = since, first
            limit = self._deadlines.of(name)
            if self._awake - first > limit:
                option = "device_timeout_s" if name in INVOCATION else "device_start_timeout_s"
                return DeviceLost(
                    f"the device hangs: {name} has not returned for more than {limit:.1f} s; "
                    f"if it is only slow, raise service.{option}",
                    hung=True,
                )
        return None

    def _watch(self) -> None:
        while not self._stop.wait(LOOK_S):
            lost = self.look(time.monotonic())
            if lost is not None:
                self._on_hang(lost)
                return

    def __enter__(self) -> CallWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if threading.current_thread() is not self._thread:
            with contextlib.suppress(RuntimeError):
                self._thread.join(LOOK_S)
