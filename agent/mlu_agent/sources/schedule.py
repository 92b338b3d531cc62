"""Whose frame is looked at next, where several sources wait for the lanes of one model.

    1. Who is owed a frame by its guaranteed minimum: of those the one whose time is up first (earliest deadline).
    2. Else the most important, 1 before 9; of the same priority who was not served for the longest time.

A minimum of f frames a second owes one every 1 / f seconds, counted from when the last one was owed and not from when
it came, so that being late once lowers no rate; but no more than MADE_UP_FOR of them are made up for, after a time
without frames above all. Frames beyond the minimum are not held against a source: what is owed next counts from the
last one. Where the minima together are more than the device can do, the highest of them give way: the earliest deadline
goes first, and what is not made up for is lost (``minima.py`` notices).

This is a function of what it is told, the time included: no thread, no clock, one pass over those who wait.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..config import SourceConfig

MADE_UP_FOR = 2  # periods of a minimum that may be caught up with


@dataclass(frozen=True)
class Share:
    """What a source asks of the lanes. ``priority``: 1 is the most important. ``min_fps``: frames a second that it gets
    whatever others want; 0: none are promised."""

    priority: int = 5
    min_fps: float = 0.0


def share_of(config: SourceConfig) -> Share:
    """As it is configured."""
    return Share(config.priority, config.min_fps)


class _Turn:
    """Where one source stands. ``owed``: when its minimum owes it the next frame. ``served``: number of its last."""

    __slots__ = ("owed", "period", "priority", "served")

    def __init__(self, share: Share) -> None:
        self.priority = share.priority
        self.period = 1.0 / share.min_fps if share.min_fps else 0.0
        self.owed = float("-inf")
        self.served = 0


class Schedule:
    """The sources of one model by key. Not locked. Times: seconds of a clock that never goes back."""

    def __init__(self) -> None:
        self._turns: dict[str, _Turn] = {}
        self._served = 0

    def add(self, key: str, share: Share) -> None:
        """A source more, owed a frame at once if it has a minimum; or one that asks for something else from now on."""
        self._turns[key] = _Turn(share)

    def remove(self, key: str) -> None:
        """Forgets one."""
        del self._turns[key]

    def choose(self, waiting: Iterable[str], now: float) -> str | None:
        """Which of those that have a frame is next; None if there are none."""
        best, rank = None, (2, 0.0, 0)
        for key in waiting:
            turn = self._turns[key]
            owed = turn.period and turn.owed <= now
            mine = (0, turn.owed + turn.period, turn.served) if owed else (1, turn.priority, turn.served)
            if mine < rank:
                best, rank = key, mine
        return best

    def taken(self, key: str, now: float) -> None:
        """A frame of this source was taken."""
        turn = self._turns[key]
        self._served += 1
        turn.served = self._served
        if turn.period:
            turn.owed = min(max(turn.owed, now - MADE_UP_FOR * turn.period), now) + turn.period
