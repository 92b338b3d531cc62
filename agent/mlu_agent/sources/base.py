"""What every source of frames has in common: a capture that reads, a thread that keeps it going, states and what
is counted of it.

A capture knows one kind of input and may block or fail. The ``Source`` around it owns the thread: reconnects, notices
stalls, hands frames to its mailbox and counts what happens to them. Nothing that one source does touches another.
"""

from __future__ import annotations

import abc
import enum
import math
import random
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable

from ..config.addresses import scrub
from ..frame import Frame
from .rate import Rate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..config import SourceConfig
    from ..ledger import SourceAccount
    from .mailbox import Mailbox

STALL_INTERVALS = 3
BACKOFF_JITTER = 0.2
DROPPED_NEWER = "dropped_newer_frame"
DROPPED_RATE = "dropped_max_fps"
DROPPED_STOPPING = "dropped_stopping"


class SourceState(str, enum.Enum):
    """What a source is doing, in the words of the wire (``mlu_client.codec.STATES``)."""

    CONNECTING = "connecting"
    LIVE = "live"
    STALLED = "stalled"
    LOST = "lost"
    ENDED = "ended"
    FAILED = "failed"


FINAL_STATES = (SourceState.ENDED, SourceState.FAILED)


@dataclass(frozen=True)
class SourceStatus:
    """A state, why, and since when (wall clock, nanoseconds)."""

    state: SourceState
    reason: str
    since_ns: int


@dataclass(frozen=True, eq=False)
class Grab:
    """One decoded picture as a capture reads it; ``pixels`` uint8 (H, W, 3) BGR.

    ``grabbed_ns``: monotonic clock when the pixels were there. ``grab_ms``: from the picture's arrival to that moment:
    decoding a picture file, converting a video's frame.
    """

    pixels: NDArray[np.uint8]
    capture_time_ns: int
    clock: str
    position: int
    grabbed_ns: int
    name: str = ""
    grab_ms: float = 0.0


class Reason(str, enum.Enum):
    """Why an input cannot be opened or stopped answering, in one word for programs."""

    UNAUTHORIZED = "unauthorized"
    NOT_FOUND = "not_found"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    UNSUPPORTED = "unsupported"
    BROKEN = "broken"


class CaptureError(Exception):
    """The input cannot be opened or stopped answering: ``reason`` in a sentence, ``code`` in a word.

    ``permanent`` if trying again is pointless.
    """

    def __init__(self, reason: str, *, code: Reason = Reason.BROKEN, permanent: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code
        self.permanent = permanent


class Capture(abc.ABC):
    """One kind of input. Used by one thread at a time.

    Reading has two steps, so that a picture that is not wanted costs no pixels: ``advance`` waits for the next one,
    ``take`` makes its pixels.
    """

    remote = (
        False  # whether it can be lost and come back: a lost one is opened again for ever, a silent one has stalled
    )
    unreadable = 0  # pictures that were skipped because they cannot be decoded
    media_s: float | None = None  # time of the present picture in its file, seconds from the start; None for live ones

    @abc.abstractmethod
    def open(self) -> None:
        """Opens the input; CaptureError if it cannot be."""

    @abc.abstractmethod
    def advance(self) -> bool:
        """Waits for the next picture, then the present one; False at the end, CaptureError if the input is lost."""

    @abc.abstractmethod
    def take(self) -> Grab:
        """The present picture with its pixels; once after each ``advance`` at most."""

    def read(self) -> Grab | None:
        """The next picture, None at the end; CaptureError if the input is lost."""
        return self.take() if self.advance() else None

    @abc.abstractmethod
    def close(self) -> None:
        """Releases the input; may be opened again."""

    @property
    def interval_s(self) -> float:
        """Expected seconds between frames, 0 where unknown."""
        return 0.0

    @property
    def cut_off(self) -> bool:
        """Whether the input came to its end before the end that it promised."""
        return False

    @property
    def end_reason(self) -> str:
        """How the input came to its end, once ``advance`` said so."""
        return "the input came to its end"


class Backoff:
    """Pauses between the starts of attempts: doubling from ``first`` to ``limit`` seconds, each with +-20 % jitter.

    An attempt that took long itself has used its pause up, but for the first one: an input that answers again while an
    attempt times out must not wait for a whole pause on top.
    """

    def __init__(self, first: float = 0.5, limit: float = 3.0, generator: random.Random | None = None) -> None:
        self._random = generator or random.Random()
        self._first = first
        self._limit = limit
        self._delay = first

    def next(self, spent: float = 0.0) -> float:
        """Seconds to wait before the next attempt, when the last one took ``spent`` seconds."""
        delay = max(self._first, self._delay - spent)
        self._delay = min(self._delay * 2, self._limit)
        return delay * self._random.uniform(1 - BACKOFF_JITTER, 1 + BACKOFF_JITTER)

    def reset(self) -> None:
        """After a success."""
        self._delay = self._first


class Source:
    """A capture kept going by a thread of its own, feeding one mailbox.

    ``on_state(source)`` is called, in whatever thread noticed it, after every change of state; ``on_over()`` by the
    source's own when no frame will come any more.
    """

    def __init__(
        self,
        config: SourceConfig,
        capture: Capture,
        mailbox: Mailbox[Grab],
        account: SourceAccount,
        on_state: Callable[[Source], None],
        on_over: Callable[[], None] = lambda: None,
    ) -> None:
        self.config = config
        self.source_id = config.id
        self.capture = capture
        self.account = account
        self._mailbox = mailbox
        self._on_state = on_state
        self._on_over = on_over
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._sequence = 0
        self._last_frame = 0.0
        self._last_sign = 0.0  # start of the last attempt, or its last frame
        self._pace_start = 0.0
        self._rate = Rate(config.max_fps) if config.max_fps else None
        self._status = SourceStatus(SourceState.CONNECTING, "starting", time.time_ns())
        self._thread = threading.Thread(target=self._work, name=f"source-{config.id}", daemon=True)

    @property
    def status(self) -> SourceStatus:
        """The present state with its reason."""
        return self._status

    @property
    def sequence(self) -> int:
        """Frames handed out so far: the next one's number."""
        return self._sequence

    @property
    def over(self) -> bool:
        """Whether nothing more will be read."""
        return self._over.is_set()

    @property
    def finished(self) -> bool:
        """Whether no frame will come any more: ended or failed, and the mailbox is empty."""
        return self._status.state in FINAL_STATES and self.over and not len(self._mailbox)

    @property
    def died(self) -> bool:
        """Whether the thread ended without reaching a final state: a bug, which must not look like a silent camera."""
        return self.over and self._status.state not in FINAL_STATES

    @property
    def stall_due(self) -> float:
        """When ``check_stall`` may notice something, monotonic seconds; infinite as long as nothing can stall."""
        can_stall = self.capture.remote and self._status.state is SourceState.LIVE
        return self._last_frame + self._stall_limit if can_stall else math.inf

    @property
    def _stall_limit(self) -> float:
        return max(self.config.stall_timeout_s, STALL_INTERVALS * self.capture.interval_s)

    def start(self) -> None:
        """Starts reading."""
        self._thread.start()

    def stop(self) -> None:
        """Asks the thread to end; does not wait."""
        self._stop.set()

    def join(self, timeout: float) -> bool:
        """Waits for the thread; False if it is still inside a blocking read after ``timeout`` seconds."""
        if self._thread.ident is None:  # told to stop before it was started
            return True
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def to_frame(self, grab: Grab) -> Frame:
        """Gives a grab taken out of the mailbox its sequence number. One consumer thread."""
        frame = Frame(
            pixels=grab.pixels,
            source_id=self.source_id,
            sequence=self._sequence,
            capture_time_ns=grab.capture_time_ns,
            clock=grab.clock,
            position=grab.position,
        )
        self._sequence += 1
        return frame

    def discard_waiting(self) -> None:
        """Counts what is left in the mailbox as dropped: the pipeline is stopping."""
        self.account.count_dropped(DROPPED_STOPPING, self._mailbox.clear())

    def check_stall(self, now: float) -> None:
        """Notices a live source that is connected and silent; ``now`` of the monotonic clock. Part of every tick."""
        if now > self.stall_due:
            reason = f"connected, but no frame for more than {self._stall_limit:.1f} s"
            self.account.count_stall()
            self._set(SourceState.STALLED, reason, SourceState.LIVE)

    def _set(self, state: SourceState, reason: str, only_from: SourceState | None = None) -> None:
        with self._lock:
            if only_from is not None and self._status.state is not only_from:
                return
            if (self._status.state, self._status.reason) == (state, reason):
                return
            since = time.time_ns() if state is not self._status.state else self._status.since_ns
            self._status = SourceStatus(state, reason, since)
        self._on_state(self)

    def _work(self) -> None:
        """The thread's whole life."""
        try:
            self._run()
        finally:
            self._over.set()
            self._on_over()

    def _run(self) -> None:
        backoff = Backoff(self.config.reconnect_min_s, self.config.reconnect_max_s)
        self._set(SourceState.CONNECTING, "opening the input")
        while not self._stop.is_set():
            try:
                self._last_sign = time.monotonic()
                self._session(backoff)
            except Exception as error:  # noqa: PERF203 - a session lasts seconds to years
                reason, permanent = explain(error)
                reason = scrub(reason, self.config.location)  # it may be a library's, or a camera's, own
                if permanent or not self.capture.remote:
                    self._set(SourceState.FAILED, reason)
                    return
                self._wait_to_retry(reason, backoff)
            else:
                if not self.config.loop:
                    self._set(SourceState.ENDED, "stopped" if self._stop.is_set() else self.capture.end_reason)
                    return
        self._set(SourceState.ENDED, "stopped")

    def _wait_to_retry(self, reason: str, backoff: Backoff) -> None:
        self.account.count_reconnect()
        self._set(SourceState.LOST, reason)
        self._stop.wait(backoff.next(time.monotonic() - self._last_sign))

    def _session(self, backoff: Backoff) -> None:
        """From one open to the end or the loss of the input."""
        try:
            self.capture.open()
            self._pace_start = time.monotonic()
            first = True
            while not self._stop.is_set():
                if not self.capture.advance():
                    if first:
                        raise CaptureError("the input holds no readable picture", permanent=not self.capture.remote)
                    return
                first = False
                backoff.reset()
                self._hand_out()
        finally:
            self.capture.close()

    def _hand_out(self) -> None:
        """Passes the capture's present picture on, or drops it before it costs any pixels."""
        self._last_frame = self._last_sign = time.monotonic()
        if self._status.state is not SourceState.LIVE:
            self._set(SourceState.LIVE, "frames arrive")
        if self.config.realtime and self.capture.media_s is not None:
            self._stop.wait(max(0.0, self._pace_start + self.capture.media_s - time.monotonic()))
        if self._rate is not None and not self._keep(self._rate):
            self.account.count_read()
            self.account.count_dropped(DROPPED_RATE)
            return
        grab = self.capture.take()
        # counted before it can be seen by the consumer, so that the balance never shows more out than in
        self.account.count_read()
        outcome = self._mailbox.put(grab, self._stop)
        self.account.count_dropped(DROPPED_NEWER, outcome.replaced)
        if not outcome.accepted:
            self.account.count_dropped(DROPPED_STOPPING)

    def _keep(self, rate: Rate) -> bool:
        """Whether a frame fits the configured rate; where no frame may be dropped, waits until it does."""
        now = time.monotonic()
        early = rate.wait(now)
        if early and self.config.live:
            return False
        if early:
            self._stop.wait(early)
        rate.passed(now)
        return True


def explain(error: Exception) -> tuple[str, bool]:
    """Why a session ended, and whether trying again is pointless. A bug must not take the other sources down either."""
    if isinstance(error, CaptureError):
        return error.reason, error.permanent
    return f"internal error: {type(error).__name__}: {error}", False
