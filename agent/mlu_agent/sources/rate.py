"""A rate that frames are kept to; it is told what time it is."""

from __future__ import annotations


class Rate:
    """At most ``per_second`` frames a second. Counted from when each was due, so that those which come a little late do
    not lower the rate; after a pause one frame is made up for, not all. Times: seconds of a clock that never goes back.
    """

    def __init__(self, per_second: float) -> None:
        self._interval = 1.0 / per_second
        self._due = 0.0

    def wait(self, now: float) -> float:
        """Seconds until a frame may pass, 0 if one may now."""
        return max(0.0, self._due - now)

    def passed(self, now: float) -> None:
        """Counts a frame that passes at ``now``."""
        self._due = max(self._due, now - self._interval) + self._interval
