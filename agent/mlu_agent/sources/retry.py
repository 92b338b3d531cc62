"""When a lost input is tried again, and how often it is said that this was in vain. Both are told what time it is."""

from __future__ import annotations

import random
import re

from .base import CaptureError, Reason

BACKOFF_JITTER = 0.2
FIRST_REMINDER_S = 60.0
LAST_REMINDER_S = 3600.0
UNAUTHORIZED_RETRY_S = 300.0
UNAUTHORIZED_RETRY_LIMIT_S = 1800.0
WRONG_LOGIN = "user or password is wrong, or this user may not see it"
MAX_KINDS = 32  # of failures that are told apart


class Backoff:
    """Pauses between the starts of attempts: doubling from ``first`` to ``limit`` seconds, each with +-20 % jitter.

    An attempt that took long itself has used its pause up, but for the first one: an input that answers again while an
    attempt times out must not wait for a whole pause on top.
    """

    def __init__(self, first: float, limit: float, generator: random.Random | None = None) -> None:
        self._random = generator or random.Random()
        self._first = first
        self._limit = limit
        self._delay = first

    def next(self, spent: float = 0.0, at_least: float = 0.0) -> float:
        """Seconds to wait before the next attempt, when the last one took ``spent`` seconds; ``at_least``: what the
        input itself asks for, whatever was spent."""
        delay = max(self._first, self._delay - spent, at_least)
        self._delay = min(self._delay * 2, self._limit)
        return delay * self._random.uniform(1 - BACKOFF_JITTER, 1 + BACKOFF_JITTER)

    def reset(self) -> None:
        """After a success."""
        self._delay = self._first


class AccountPauses:
    """Pauses after a wrong user or password: cameras lock an account after a few of them, for five minutes and more."""

    def __init__(self) -> None:
        self._next = UNAUTHORIZED_RETRY_S

    def refused(self, said: str) -> CaptureError:
        """What the camera ``said``, with the pause from now on; it is twice as long the next time, up to a limit."""
        pause = self._next
        self._next = min(pause * 2, UNAUTHORIZED_RETRY_LIMIT_S)
        reason = f"{said}; asked again in {pause / 60:g} minutes, because cameras lock accounts"
        return CaptureError(reason, code=Reason.UNAUTHORIZED, retry_after_s=pause)

    def reset(self) -> None:
        """The camera answered something else."""
        self._next = UNAUTHORIZED_RETRY_S


class Reminders:
    """Which of many failures is worth a line: the first of its kind, then one after 1, 2, 4 ... 60 minutes.

    Two failures are of one kind if their sentences differ in numbers only. All are counted.
    """

    def __init__(self) -> None:
        self._kinds: dict[str, tuple[int, float, float]] = {}  # failures so far, distance to the next line, its time

    def count(self, sentence: str, now: float) -> tuple[int, bool]:
        """A failure at ``now``, monotonic seconds: how many of its kind there were, and whether it is to be said."""
        kind = re.sub(r"\d+", "0", sentence)
        if kind not in self._kinds and len(self._kinds) >= MAX_KINDS:
            self._kinds.clear()
        failures, distance, due = self._kinds.get(kind, (0, FIRST_REMINDER_S / 2, now))
        said = now >= due
        if said:
            distance = min(distance * 2, LAST_REMINDER_S)
            due = now + distance
        self._kinds[kind] = (failures + 1, distance, due)
        return failures + 1, said

    def forget(self) -> None:
        """All is well again: the next failure is news."""
        self._kinds.clear()
