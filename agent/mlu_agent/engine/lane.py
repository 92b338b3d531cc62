"""One lane of an engine, and when its next invocation has to be ready.

A live frame that waits for the device grows old although a newer one could take its place. So the engine says when a
frame is to be taken: just as much before a lane is expected to be free as preparing the frame takes.

    due = end of what the lane has to do - lead        end = when the lane began it + the median of durations
                                                       lead = the 90th percentile of preparing + SLACK_S

Of durations the host sees late ones, hardly early ones; a frame that is prepared late costs the device's time, one that
is early only waits.
"""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..cnrt import Context, Notifier

WINDOW = 32
SLACK_S = 0.001


class Pace:
    """How long the last WINDOW invocations took, and preparing them, in seconds. Any thread."""

    def __init__(self) -> None:
        self._took: list[float] = []
        self._prepared: list[float] = []
        self._counts = [0, 0]
        self.duration_s = 0.0
        self.lead_s = math.inf  # until something is known, frames are taken at once

    def took(self, seconds: float) -> None:
        """An invocation took so long, from when its lane was free for it."""
        self._counts[0] = _keep(self._took, self._counts[0], seconds)
        self.duration_s = _quantile(self._took, 0.5)

    def prepared(self, seconds: float) -> None:
        """From taking a frame until its invocation was submitted."""
        self._counts[1] = _keep(self._prepared, self._counts[1], seconds)
        self.lead_s = _quantile(self._prepared, 0.9) + SLACK_S


class Lane:
    """A context, the mark at the end of the invocation that was submitted to it last, when the host saw the end of the
    one that ended last, and when all that it has to do is expected to end (0: it has nothing to do)."""

    def __init__(self, number: int, context: Context, pace: Pace) -> None:
        self.number = number
        self.context = context
        self.last: Notifier | None = None
        self.idle_since = 0.0
        self.ends = 0.0
        self._pace = pace
        self._inside = 0
        self._lock = threading.Lock()

    def begin(self, now: float) -> None:
        """An invocation was submitted."""
        with self._lock:
            self.ends = max(now, self.ends) + self._pace.duration_s
            self._inside += 1

    def end(self, now: float) -> None:
        """One ended, well or not."""
        with self._lock:
            self._inside -= 1
            self.idle_since = now
            self.ends = now + self._inside * self._pace.duration_s if self._inside else 0.0


def _keep(window: list[float], count: int, value: float) -> int:
    if len(window) < WINDOW:
        window.append(value)
    else:
        window[count % WINDOW] = value
    return count + 1


def _quantile(values: list[float], share: float) -> float:
    return sorted(values)[int(share * (len(values) - 1))]
