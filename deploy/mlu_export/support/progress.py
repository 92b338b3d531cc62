"""Progress on stderr, the one door of tqdm: a bar where a person watches, elsewhere a line now and then.

The lines of one piece of work are few, however long it takes: none until EVERY_S after the last line, of whatever work,
or after the start (what was loaded or done silently meanwhile counts), then one at each tenth, EVERY_S apart at least,
and between tenths after pauses of which each is twice the one before: 22 in a day.
"""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Callable, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Item = TypeVar("Item")
EVERY_S = 10.0
STEPS = 10


class _Told:
    """When this process told anything last, in monotonic seconds; at first when its command began."""

    at = time.monotonic()


_told = _Told()


def begin() -> None:
    """A command begins: from now on silence counts."""
    _told.at = time.monotonic()


def show_progress(items: Sequence[Item], description: str, unit: str = "picture") -> Iterator[Item]:
    """The items one by one; what was worked on counts as done when the next one is asked for."""
    with count_progress(len(items), description, unit) as count:
        for item in items:
            yield item
            count(item)


@contextmanager
def count_progress(total: int, description: str, unit: str = "picture") -> Iterator[Callable[[object], bool]]:
    """For work that others do: a function to call with each result; it returns False, for "go on"."""
    if sys.stderr is not None and not sys.stderr.isatty():
        lines = Lines(total, description, unit, silent_since=_told.at)
        try:
            yield lambda _: lines.step()
        finally:
            _told.at = lines.last
        return
    from tqdm import tqdm  # type: ignore[import-untyped,unused-ignore] # noqa: PLC0415 - only where a person watches

    with tqdm(total=total, desc=description, unit=unit, disable=None) as bar:
        yield lambda _: bar.update() is None and False


class Lines:
    """Tells how far a piece of work is; ``clock`` in seconds. ``silent_since``: when the last line was; None: now."""

    def __init__(
        self,
        total: int,
        description: str,
        unit: str,
        clock: Callable[[], float] = time.monotonic,
        silent_since: float | None = None,
    ) -> None:
        self._total, self._description, self._unit, self._clock = total, description, unit, clock
        self._done = 0
        self._start = clock()
        self.last = self._start if silent_since is None else silent_since
        self._pause = EVERY_S
        self._step = 1  # the tenth that is next

    def step(self) -> bool:
        """One more is done. False, for "go on"."""
        self._done += 1
        now = self._clock()
        reached = self._done * STEPS >= self._step * self._total
        waited = now - self.last
        if self._done < self._total and waited >= EVERY_S and (reached or waited >= self._pause):
            self._say(now)
            self._pause *= 1 if reached else 2
            self.last = now
        if reached:
            self._step = self._done * STEPS // self._total + 1
        return False

    def _say(self, now: float) -> None:
        left = (now - self._start) / self._done * (self._total - self._done)
        print(
            f"mlu-export: {self._description}: {self._done * 100 // self._total}% ({self._done} of {self._total} "
            f"{self._unit}{'es' if self._unit.endswith('ch') else 's'}), {duration(left)} left",
            file=sys.stderr,
            flush=True,
        )


def duration(seconds: float) -> str:
    """In words that a person reads at once: "45 s", "12 min", "3 h 20 min"."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
