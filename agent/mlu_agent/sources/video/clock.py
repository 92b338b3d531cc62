"""When the pictures of a live stream were taken, and which of them are a backlog.

A packet is there when it is read, which may be long after it arrived: the process was stopped, the network held it up,
the connection was just opened and several waited already. But presentation times tell how far apart two pictures were
taken, so the packet that was the least late of all that came lately tells when each of the others was due.
"""

from __future__ import annotations

import collections
import statistics

STALE_S = 1.0  # a picture that is older, and older than three frame intervals, is part of a backlog
STALE_INTERVALS = 3
WINDOW_S = 5.0  # of presentation time, two of them: for so long a packet that was not late is remembered
BACK_S = 1.0  # times that go back further than pictures are reordered begin anew
CATCH_UP = 0.1  # a backlog shrinks at least so fast; lateness that does not is the camera's: it paused its clock
REBASE_S = 2.0
FRESH_WAIT_S = 0.005  # a packet that was waited for longer was not there yet
DRAIN_S = 2.0
RECENT = 25  # pictures
PACE_S = 10.0


class LiveClock:
    """Follows one connection. Times: seconds, of the monotonic clock and of the stream's own.

    ``timed``: whether the stream carries the camera's times (raw pictures over HTTP carry none). ``held``: whether a
    packet is only given out when the next one begins to arrive, as FFmpeg does where packets do not tell their end.
    """

    def __init__(self, *, timed: bool, held: bool) -> None:
        self._timed = timed
        self._held = held
        self._offset: float | None = None  # monotonic time minus presentation time of the least late packet
        self._windows: tuple[float, float, float] = (0.0, 0.0, 0.0)  # start, least of this one, least of the one before
        self._late_since: tuple[float, float] | None = None
        self._highest = 0.0
        self._last_pts: float | None = None
        self._arrived = self._before = 0.0
        self._draining_since: float | None = None
        self._steps: collections.deque[float] = collections.deque(maxlen=RECENT)
        self._usable = False
        self._fresh = False

    @property
    def interval_s(self) -> float:
        """Seconds between frames as they came lately, 0 as long as too few did."""
        return statistics.median(self._steps) if len(self._steps) >= RECENT // 5 else 0.0

    @property
    def _limit(self) -> float:
        """Older is stale."""
        return max(STALE_S, STALE_INTERVALS * statistics.median(self._steps or [0.0]))

    def packet(self, pts: float | None, now: float, waited: float) -> None:
        """A packet was read at ``now``, after ``waited`` seconds; ``pts``: its presentation time, if it has one."""
        first = self._draining_since is None
        gap = 0.0 if first else now - self._arrived
        self._before, self._arrived = (now if first else self._arrived), now
        self._usable = self._timed and pts is not None and pts != self._last_pts
        self._steps_on(pts, gap, first)
        self._drain(first, gap, waited)
        if self._usable and pts is not None:
            self._follow(pts, self._before if self._held and not first else now, now)
        self._last_pts = pts

    def age(self, pts: float | None) -> float:
        """Seconds since the picture with this presentation time was taken, at the moment of the last packet."""
        if not self._usable or pts is None or self._offset is None:
            return 0.0
        return max(0.0, self._arrived - (pts + self._offset))

    def is_stale(self, age: float) -> bool:
        """Whether a picture of this age, of the packet that came last, is part of a backlog."""
        return not self._fresh or age > self._limit

    def _steps_on(self, pts: float | None, gap: float, first: bool) -> None:
        if first:
            return
        if not self._usable:
            self._steps.append(gap)
        elif pts is not None and self._last_pts is not None and 0 < pts - self._last_pts < BACK_S * 60:
            self._steps.append(pts - self._last_pts)

    def _drain(self, first: bool, gap: float, waited: float) -> None:
        """What was there already when the connection began, or after a silence without times, is not of this moment."""
        silence = not self._usable and gap > self._limit
        if first or silence:
            self._draining_since, self._fresh = self._arrived, False
        if silence:  # a read that ends a silence has waited, but perhaps only for a process that was stopped
            return
        began = self._draining_since or 0.0
        usual = 0.0 if self._usable else min(self.interval_s / 4, 0.1)
        if waited > max(FRESH_WAIT_S, usual) or self._arrived - began > DRAIN_S:
            self._fresh = True

    def _follow(self, pts: float, arrived: float, now: float) -> None:
        """Moves the offset: the least of two windows of presentation time, as long as nothing is late."""
        delay = arrived - pts
        start, least, before = self._windows
        if self._offset is None or pts < self._highest - BACK_S:
            self._begin(pts, delay)
            return
        self._highest = max(self._highest, pts)
        least = min(least, delay)
        self._offset = min(least, before)
        lateness = delay - self._offset
        if lateness > self._limit:
            self._late(pts, delay, lateness, now)
            return
        self._late_since = None
        if pts > start + WINDOW_S:
            start, least, before = pts, delay, least
        self._windows = (start, least, before)

    def _begin(self, pts: float, delay: float) -> None:
        self._offset, self._highest, self._late_since = delay, pts, None
        self._windows = (pts, delay, delay)

    def _late(self, pts: float, delay: float, lateness: float, now: float) -> None:
        if self._late_since is None:
            self._late_since = (now, lateness)
            return
        since, at_first = self._late_since
        if now - since > REBASE_S and lateness > at_first - CATCH_UP * (now - since):
            self._begin(pts, delay)


class Pace:
    """Spreads pictures that come many at once over the time that they were taken in."""

    def __init__(self) -> None:
        self._start: float | None = None  # monotonic clock at presentation time 0

    def wait(self, pts: float | None, now: float) -> float:
        """Seconds until the picture of this presentation time is due; those too late or far ahead begin anew."""
        if pts is None:
            return 0.0
        if self._start is None or not -PACE_S < self._start + pts - now < PACE_S:
            self._start = now - pts
        return max(0.0, self._start + pts - now)
