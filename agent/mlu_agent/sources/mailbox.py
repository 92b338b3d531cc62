"""Bounded hand-offs from the sources' threads to the one that feeds the engine, which takes turns by ``Schedule``."""

from __future__ import annotations

import collections
import functools
import math
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from .minima import Traffic
from .schedule import Schedule, Share

if TYPE_CHECKING:
    from typing import Callable

T = TypeVar("T")
USUAL = Share()
FILE_CAPACITY = 2


@dataclass(frozen=True)
class Outcome:
    """What became of a put: ``replaced`` older items gave way; not ``accepted`` when stopped while waiting for room."""

    accepted: bool
    replaced: int = 0


_ACCEPTED = Outcome(accepted=True)
_REPLACED = Outcome(accepted=True, replaced=1)


class Mailbox(Generic[T]):
    """One source's hand-off, made by ``Exchange.mailbox``. Live: the newest item. Else a full box makes put wait."""

    def __init__(self, changed: threading.Condition, live: bool, share: Share, ask: Callable[[Share], None]) -> None:
        self._changed = changed
        self._ask = ask
        self.live = live
        self.reshare(share)
        self.came = self.taken = self.emptied = 0
        self._items: collections.deque[T] = collections.deque()
        self._closed = False

    def reshare(self, share: Share) -> None:
        """From now on it asks for this of the lanes."""
        with self._changed:
            self.share = share
            self._ask(share)

    def traffic(self) -> Traffic:
        """What went through it, beside what it was promised."""
        return Traffic(self.share.min_fps, self.came, self.taken, self.emptied, not self.live and bool(self._items))

    def put(self, item: T, stop: threading.Event) -> Outcome:
        """Hands an item over. A waiting put gives up once ``stop`` is set (and the exchange woken) or the box shut."""
        with self._changed:
            outcome = _ACCEPTED
            if self.live and self._items:
                self._items.clear()
                outcome = _REPLACED
            while len(self._items) >= FILE_CAPACITY and not stop.is_set() and not self._closed:
                self._changed.wait(0.5)  # bounded: stop is not ours and nobody may have woken us
            if stop.is_set() or self._closed:
                return Outcome(accepted=False, replaced=outcome.replaced)
            self._items.append(item)
            self.came += 1
            self._changed.notify_all()
            return outcome

    def pop(self) -> T:
        """Takes the oldest item out; by the exchange, which has the lock."""
        item = self._items.popleft()
        self.taken += 1
        self.emptied += not self._items
        return item

    def clear(self) -> int:
        """Empties and shuts the box for good; the number of items thrown away."""
        with self._changed:
            count = len(self._items)
            self._items.clear()
            self._closed = True
            self._changed.notify_all()
            return count

    def __len__(self) -> int:
        return len(self._items)


class Exchange(Generic[T]):
    """All mailboxes together. ``take`` gives them their turns by ``Schedule``; an empty one costs nobody anything."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._boxes: dict[str, Mailbox[T]] = {}
        self._schedule = Schedule()
        self._open = True

    def mailbox(self, key: str, live: bool, share: Share = USUAL) -> Mailbox[T]:
        """A new mailbox; ``take`` names it by its key, which no other one has."""
        with self._changed:
            if key in self._boxes:
                raise ValueError(f"there is a mailbox of {key!r} already")
            box: Mailbox[T] = Mailbox(self._changed, live, share, functools.partial(self._schedule.add, key))
            self._boxes[key] = box
        return box

    def remove(self, key: str) -> None:
        """Forgets a mailbox; what is left in it goes nowhere."""
        with self._changed:
            self._boxes.pop(key).clear()
            self._schedule.remove(key)

    def traffic(self) -> dict[str, Traffic]:
        """What went through each box since it was made."""
        with self._changed:
            return {key: box.traffic() for key, box in self._boxes.items()}

    def take(
        self,
        timeout: float | None,
        live_from: Callable[[], float] = lambda: 0.0,
        unwanted: Callable[[], bool] = lambda: False,
    ) -> tuple[str, T] | None:
        """The key of the mailbox whose turn it is and its oldest item; None after ``timeout`` seconds (None: for ever),
        when closed, or once ``unwanted()``, which is asked after ``look_again`` too.

        ``live_from()``: from when on live boxes may be emptied, monotonic seconds: until then newer items still replace
        theirs. It is asked when it is a live one's turn, whenever something may have changed, and after ``look_again``.
        Nobody else takes that turn meanwhile: a file, which always has a frame, would leave no lane to others.
        """
        end = math.inf if timeout is None else time.monotonic() + timeout
        with self._changed:
            while self._open and not unwanted():
                now = time.monotonic()
                key = self._schedule.choose((key for key, box in self._boxes.items() if box), now)
                at = math.inf if key is None else live_from() if self._boxes[key].live else now
                if key is not None and now >= at:
                    return key, self._pop(key, now)
                if now >= end:
                    return None
                wait = min(end, at) - now
                self._changed.wait(None if math.isinf(wait) else wait)
            return None

    def _pop(self, key: str, now: float) -> T:
        box = self._boxes[key]
        self._schedule.taken(key, now)
        self._changed.notify_all()
        return box.pop()

    def look_again(self) -> None:
        """Makes a waiting ``take`` ask once more from when on live items may be taken."""
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """Wakes a waiting ``take``, which returns None from now on."""
        with self._changed:
            self._open = False
            self._changed.notify_all()
