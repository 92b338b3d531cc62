"""Whether frames really arrive, and how long a thread has been inside a call. Told what time it is: monotonic seconds.

The source's thread tells what happens, the main loop asks; each value is replaced as a whole, so there is no lock.
"""

from __future__ import annotations

import contextlib
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .base import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

AGAIN_FRAMES = 2  # in a row make a source live again: a single late one does not
CALL_MARGIN_S = 2.0  # until a call that should have ended counts as stuck
HUNG_S = 30.0  # stuck for so long: nothing but another process helps


@dataclass(frozen=True)
class Silence:
    """No frame, why in one word, and how many seconds are too many."""

    code: Reason
    limit_s: float
    call: str

    @property
    def reason(self) -> str:
        """For people."""
        if self.code is not Reason.STUCK:
            return f"connected, but no frame for more than {self.limit_s:.1f} s"
        return (
            f"no frame: {self.call} has not returned for more than {self.limit_s:.1f} s; "
            "the disk, the network's file system, the driver or a decoder does not answer"
        )


class Liveness:
    """``remote``: frames come by themselves, and calls have deadlines of their own, the last after ``longest_s``."""

    def __init__(self, *, remote: bool, longest_s: float) -> None:
        self._remote = remote
        self._longest_s = longest_s
        self._call: tuple[str, float] | None = None
        self._sign = math.inf  # the last frame, or the end of opening; infinite where none is expected
        self._in_row = 0
        self._delivered = False

    @contextlib.contextmanager
    def inside(self, call: str) -> Iterator[None]:
        """The calling thread is inside ``call`` of the capture meanwhile."""
        self._call = (call, time.monotonic())
        try:
            yield
        finally:
            self._call = None

    def opened(self, now: float) -> None:
        """From now on frames are expected."""
        self._sign = now
        self._in_row = 0

    def closed(self) -> None:
        """No frame is expected until it is opened again."""
        self._sign = math.inf

    def frame(self, arrived: float, now: float, stall_s: float) -> bool:
        """A frame, which arrived before it was there if a decoder kept it; whether it is one of several in a row."""
        self._delivered = True
        if self._remote and now - arrived > stall_s:
            return False  # what a decoder gives back of a stream that is dead
        in_time = not self._remote or arrived - self._sign <= stall_s
        self._in_row = self._in_row + 1 if in_time else 1
        self._sign = arrived
        return self._in_row >= AGAIN_FRAMES

    def silence(self, now: float, stall_s: float) -> Silence | None:
        """What keeps frames from coming, if it is for longer than it may be. A call that is stuck says more than
        silence; waiting for room or for the pace of a file is neither."""
        call = self._call
        limit = self._limit(stall_s)
        if call is not None and now - call[1] > limit:
            return Silence(Reason.STUCK, limit, call[0])
        if self._remote and now - self._sign > stall_s:
            return Silence(Reason.SILENT, stall_s, "")
        return None

    def due(self, now: float, stall_s: float, told: Reason | None) -> float:
        """When ``silence`` may tell something else than it has told, or of a call that begins now."""
        call = self._call
        if told is Reason.STUCK:
            return now + stall_s
        stuck = (call[1] if call is not None else now) + self._limit(stall_s)
        return min(stuck, self._sign + stall_s if self._remote and told is None else math.inf)

    def hung(self, now: float, stall_s: float) -> bool:
        """Whether the thread will not return by itself, and another process could do better: the input did deliver in
        this one. What has hung from the start would hang there as well."""
        call = self._call
        return self._delivered and call is not None and now - call[1] > self._limit(stall_s) + HUNG_S

    def _limit(self, stall_s: float) -> float:
        return max(stall_s, self._longest_s) + CALL_MARGIN_S if self._remote else stall_s
