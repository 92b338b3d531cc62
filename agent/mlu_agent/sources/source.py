"""A capture kept going by a thread: reconnects, notices stalls, hands frames to its mailbox and counts what happens.

Nothing that one source does touches another.
"""

from __future__ import annotations

import collections
import math
import threading
import time
from typing import TYPE_CHECKING, Callable

from ..config.addresses import scrub
from ..frame import Frame
from .base import CaptureError, Reason, explain
from .liveness import Liveness
from .pause import Pause
from .rate import Rate
from .retry import Backoff, Reminders
from .schedule import share_of
from .states import FINAL_STATES, FLOWING, PICTURE_STATES, SourceState, SourceStatus
from .watch import watch_of

if TYPE_CHECKING:
    from ..config import SourceConfig
    from ..ledger import SourceAccount
    from .base import Capture, Grab
    from .mailbox import Mailbox

STALL_INTERVALS = 3
MOST_WANTED = 8  # who waits for a picture of a source that gives none gives up, and must not be kept for it
DROPPED_NEWER = "dropped_newer_frame"
DROPPED_RATE = "dropped_max_fps"
DROPPED_STALE = "dropped_stale"
DROPPED_STOPPING = "dropped_stopping"
PASSING = (Reason.NOT_FOUND, Reason.UNAUTHORIZED)  # of a path: a mount that comes later, a folder that is opened up

# Options that a source takes over while it runs; with any other one it begins anew.
ADJUSTABLE = frozenset(
    {"max_fps", "min_fps", "priority", "classes", "confidence", "roi", "stall_timeout_s", "reconnect_min_s",
     "reconnect_max_s", "watch", "password_file"}
)  # fmt: skip


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
        self._pause = Pause()
        self._wanted: collections.deque[Callable[[Grab], None]] = collections.deque(maxlen=MOST_WANTED)
        self._liveness = Liveness(remote=capture.remote, longest_s=max(config.open_timeout_s, capture.longest_s))
        self._reminders = Reminders()
        self._last_sign = 0.0  # start of the last attempt, or its last frame
        self._pace_start = 0.0
        self._left_out = (0, 0)  # stale and damaged ones of the capture, as counted so far
        self._backoff = Backoff(config.reconnect_min_s, config.reconnect_max_s)
        self._rate = self._rate_of(config)
        self._watch = watch_of(config)
        self._status = self._before_pause = SourceStatus(SourceState.CONNECTING, "starting", time.time_ns())
        self._thread = threading.Thread(target=self._work, name=f"source-{config.id}", daemon=True)

    def _rate_of(self, config: SourceConfig) -> Rate | None:
        return Rate(config.max_fps) if config.max_fps and not self.capture.keeps_rate else None

    def adjust(self, config: SourceConfig) -> None:
        """Other options of those that are ADJUSTABLE; what is not another one goes on. Any thread."""
        before, self.config = self.config, config
        if before.max_fps != config.max_fps:
            self._rate = self._rate_of(config)
        if before.watch != config.watch:  # what it was watched for begins anew
            self._watch = watch_of(config)
        self._backoff = Backoff(config.reconnect_min_s, config.reconnect_max_s)
        self._mailbox.reshare(share_of(config))

    @property
    def status(self) -> SourceStatus:
        """The present state with its reason."""
        return self._status

    @property
    def sequence(self) -> int:
        """Frames handed out so far: the next one's number. It goes on if a source of that id comes again."""
        return self.account.numbered

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
    def doubts(self) -> list[str]:
        """What is wrong with the pictures that it delivers now, as flags of their messages."""
        state = self._status.state
        return [state.value] if state in PICTURE_STATES else []

    @property
    def _stall_limit(self) -> float:
        return max(self.config.stall_timeout_s, STALL_INTERVALS * self.capture.interval_s)

    def start(self, *, held: bool = False) -> None:
        """Starts reading, if ``held`` after ``release``; not once it is stopped. RuntimeError if there is no thread."""
        if held:
            self._pause.begin()
        if self._thread.ident is None and not self._stop.is_set():
            self._thread.start()

    def release(self) -> None:
        """One that was started ``held`` opens its input, unless it is paused."""
        if self._status.state is not SourceState.PAUSED:
            self._pause.end()

    def stop(self) -> None:
        """Asks the thread to end; does not wait. One that never started is over."""
        self._stop.set()
        self._pause.end()
        self.capture.interrupt()
        if self._thread.ident is None:
            self._set(SourceState.ENDED, "stopped")
            self._over.set()

    def pause(self, why: str) -> None:
        """No frame is read until ``resume``: what can be opened again is closed, as soon as the call that reads it
        returns; a path stands still at its place. Nothing happens to one that is over."""
        with self._lock:
            if self._pause or self._status.state in FINAL_STATES:
                return
            self._before_pause = self._status
            self._pause.begin()
        self._set(SourceState.PAUSED, why)

    def resume(self) -> None:
        """Reads again; one that was lost is tried again when that was due anyway."""
        self._pause.end()
        before = self._before_pause
        lost = before.state is SourceState.LOST
        state, reason = (SourceState.LOST, before.reason) if lost else (SourceState.CONNECTING, "resumed")
        self._set(state, reason, Reason(before.code) if lost and before.code else None, only_from=(SourceState.PAUSED,))

    def want_picture(self, take: Callable[[Grab], None]) -> None:
        """``take`` gets the next picture that is handed on, in the source's thread: it is quick and changes none."""
        self._wanted.append(take)

    def join(self, timeout: float) -> bool:
        """Waits for the thread; False if it is still inside a blocking read after ``timeout`` seconds."""
        if self._thread.ident is not None:  # else told to stop before it was started
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def to_frame(self, grab: Grab) -> Frame:
        """Gives a grab taken out of the mailbox its sequence number. One consumer thread."""
        return Frame(
            pixels=grab.pixels,
            source_id=self.source_id,
            sequence=self.account.number(),
            capture_time_ns=grab.capture_time_ns,
            clock=grab.clock,
            position=grab.position,
        )

    def discard_waiting(self) -> None:
        """Counts what is left in the mailbox as dropped: the pipeline is stopping."""
        self.account.count_dropped(DROPPED_STOPPING, self._mailbox.clear())

    # ---- silence; called by the main loop, times are monotonic seconds --------------------------------------------

    def check_stall(self, now: float) -> None:
        """Notices that no frame comes: the input is connected and silent, or a call that reads it does not return.

        Part of every tick.
        """
        if self._pause:
            return
        silence = self._liveness.silence(now, self._stall_limit)
        if silence is None or self._told is silence.code:
            return
        # a lost one that is silent once more stays lost, or each of its attempts would be told as two changes
        from_states: tuple[SourceState, ...] = (SourceState.CONNECTING, *FLOWING)
        if silence.code is Reason.STUCK:
            from_states = (*from_states, SourceState.STALLED, SourceState.LOST)
        if self._set(SourceState.STALLED, silence.reason, silence.code, only_from=from_states):
            self.account.count_stall()

    def stall_due(self, now: float) -> float:
        """When ``check_stall`` may notice something; infinite once nothing will be read."""
        if self.over or self._thread.ident is None or self._pause:
            return math.inf
        told = Reason.SILENT if self._status.state is SourceState.LOST else self._told
        return self._liveness.due(now, self._stall_limit, told)

    def hung(self, now: float) -> bool:
        """Whether the thread is stuck for good, where another process could do better: see ``Liveness.hung``."""
        return not self.over and not self._pause and self._liveness.hung(now, self._stall_limit)

    @property
    def _told(self) -> Reason | None:
        """What kind of silence the present state tells of."""
        status = self._status
        return Reason(status.code) if status.state is SourceState.STALLED and status.code else None

    def _set(
        self,
        state: SourceState,
        reason: str,
        code: Reason | None = None,
        *,
        only_from: tuple[SourceState, ...] = (),
        quietly: bool = False,
    ) -> bool:
        """Whether it is so now and was not before. ``quietly``: a change that is not worth telling at once."""
        word = code.value if code is not None else ""
        with self._lock:
            before = self._status
            if only_from and before.state not in only_from:
                return False
            if self._pause and state not in (SourceState.PAUSED, *FINAL_STATES):
                return False  # of the last call before the pause
            if (before.state, before.reason, before.code) == (state, reason, word):
                return False
            since = time.time_ns() if state is not before.state else before.since_ns
            self._status = SourceStatus(state, reason, since, word)
        if state is not before.state or not quietly:
            self._on_state(self)
        return True

    # ---- the thread -----------------------------------------------------------------------------------------------

    def _work(self) -> None:
        """The thread's whole life."""
        try:
            self._run()
        finally:
            self._over.set()
            self._on_over()

    def _run(self) -> None:
        self._set(SourceState.CONNECTING, "opening the input")
        while self._may_go_on():
            try:
                self._last_sign = time.monotonic()
                ended = self._session()
            except Exception as error:  # noqa: PERF203 - a session lasts seconds to years
                if self._stop.is_set():
                    break
                failure = explain(error)
                if self._is_final(failure):
                    self._set(SourceState.FAILED, scrub(failure.reason, self.config.location), failure.code)
                    return
                self._wait_to_retry(failure)
            else:
                if ended and not self.config.loop:
                    self._set(SourceState.ENDED, self.capture.end_reason)
                    return
        self._set(SourceState.ENDED, "stopped")

    def _may_go_on(self) -> bool:
        """Waits while it is paused; False once it is to end."""
        self._pace_start += self._pause.wait()
        return not self._stop.is_set()

    def _is_final(self, failure: CaptureError) -> bool:
        """Whether nothing but another configuration helps. A path that is not there may come with a mount; one that is
        played for ever is like a camera; a file that breaks in the middle would be played twice."""
        if self.config.kind == "path" and failure.code in PASSING:
            return False
        return failure.permanent or not (self.capture.remote or self.config.loop)

    def _wait_to_retry(self, failure: CaptureError) -> None:
        self.account.count_reconnect()
        now = time.monotonic()
        reason = scrub(failure.reason, self.config.location)  # it may be a library's, or a camera's, own
        failures, said = self._reminders.count(reason, now)
        if failures > 1:
            reason = f"{reason} (tried {failures} times)"
        self._set(SourceState.LOST, reason, failure.code, quietly=not said)
        # looking at a path costs little, and nothing is gained by hurrying
        at_least = self.config.reconnect_max_s if self.config.kind == "path" else 0.0
        self._stop.wait(self._backoff.next(now - self._last_sign, max(at_least, failure.retry_after_s)))

    def _session(self) -> bool:
        """From one open to the end or the loss of the input; whether it came to its end, rather than was left."""
        capture, inside = self.capture, self._liveness.inside
        try:
            with inside("opening it"):
                capture.open()
            self._pace_start = time.monotonic()
            self._liveness.opened(self._pace_start)
            first = True
            while not self._stop.is_set():
                with inside("reading it"):
                    found = capture.advance()
                if not found:
                    if first:
                        raise CaptureError("the input holds no readable picture", permanent=not capture.remote)
                    return not self._stop.is_set()
                first = False
                if self._pause and self.config.kind != "path":
                    return False
                if self._may_go_on():
                    self._hand_out()
            return False
        finally:
            self._count_left_out()
            self._liveness.closed()
            with inside("closing it"):
                capture.close()

    def _hand_out(self) -> None:
        """Passes the capture's present picture on, or drops it before it costs any pixels."""
        self._count_left_out()
        self._note_frame()
        if self.config.realtime and self.capture.media_s is not None:
            self._stop.wait(max(0.0, self._pace_start + self.capture.media_s - time.monotonic()))
        rate, watch = self._rate, self._watch  # another thread may exchange them
        if rate is not None and not self._keep(rate):
            self.account.count_read()
            self.account.count_dropped(DROPPED_RATE)
            return
        with self._liveness.inside("decoding it"):
            grab = self.capture.take()
        while self._wanted:
            self._wanted.popleft()(grab)
        if watch is not None:
            watch.look(grab.pixels, time.monotonic(), self.capture.key_frames)
            self._show_picture(FLOWING)
        # counted before it can be seen by the consumer, so that the balance never shows more out than in
        self.account.count_read()
        outcome = self._mailbox.put(grab, self._stop)
        self.account.count_dropped(DROPPED_NEWER, outcome.replaced)
        if not outcome.accepted:
            self.account.count_dropped(DROPPED_STOPPING)

    def _count_left_out(self) -> None:
        """Counts what the capture itself left out of what it read."""
        before, self._left_out = self._left_out, (self.capture.stale, self.capture.damaged)
        stale = self._left_out[0] - before[0]
        self.account.count_read(stale)
        self.account.count_dropped(DROPPED_STALE, stale)
        self.account.count_unreadable(self._left_out[1] - before[1])

    def _note_frame(self) -> None:
        """Live is what delivers its first frame, and after any trouble what delivers frames again, not one."""
        now = self._last_sign = time.monotonic()
        arrived = self.capture.arrived_s or now
        in_row = self._liveness.frame(arrived, now, self._stall_limit)
        if self._status.state in FLOWING:
            return
        if in_row or self._status.state is SourceState.CONNECTING:
            self._backoff.reset()
            self._reminders.forget()
            self._show_picture(())

    def _show_picture(self, only_from: tuple[SourceState, ...]) -> None:
        """Live, or what is wrong with the picture of what would be live."""
        watch = self._watch
        finding = watch.finding if watch is not None else None
        self._set(*(finding or (SourceState.LIVE, "frames arrive")), only_from=only_from)

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
