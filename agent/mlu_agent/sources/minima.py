"""Whether sources get the frames that they were promised: noticed, counted and said, not silently broken.

Over WINDOW_S a source should have been taken as many frames of as it was promised, or as many as it delivered if those
are fewer. One less is no miss: it may be on its way at either end of the window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

WINDOW_S = 10.0
ON_ITS_WAY = 1


class Traffic(NamedTuple):
    """Of one source: the minimum that it was promised, how many frames came and how many were taken so far; of a file,
    which brings the next one only when one was taken, how often it had none left, and whether it has one now."""

    min_fps: float
    came: int
    taken: int
    emptied: int = 0
    waits: bool = False


class Verdict(NamedTuple):
    """What a window showed. ``missed``: by source, the frames that it was promised, had and was not taken. ``promised``
    and ``taken``: frames a second of all sources, promised to those that delivered them, and taken of all."""

    missed: dict[str, int]
    promised_fps: float
    taken_fps: float


class Minima:
    """Compares what went through the boxes with what was promised. Times: seconds of a clock that never goes back."""

    def __init__(self) -> None:
        self._since = 0.0
        self._before: dict[str, Traffic] | None = None

    def look(self, now: float, traffic: Mapping[str, Traffic]) -> Verdict | None:
        """The verdict on a window that is over; None within one. A source that came meanwhile, or whose minimum was
        changed, is looked at from the next one on."""
        if self._before is not None and now < self._since + WINDOW_S:
            return None
        before, seconds = self._before, now - self._since
        self._before, self._since = dict(traffic), now
        if before is None:
            return None
        missed, promised, taken = {}, 0, 0
        for key, last in traffic.items():
            first = before.get(key)
            if first is None or last.came < first.came:
                continue
            count = last.taken - first.taken
            due = int(last.min_fps * seconds)
            if not _always_had_one(first, last):
                due = min(due, last.came - first.came)
            taken += count
            promised += due
            if first.min_fps == last.min_fps and due - count > ON_ITS_WAY:
                missed[key] = due - count
        return Verdict(missed, promised / seconds, taken / seconds)


def _always_had_one(first: Traffic, last: Traffic) -> bool:
    """Whether a file had a frame at any time between the two: it could have brought as many as were asked for."""
    return first.waits and last.waits and first.emptied == last.emptied
