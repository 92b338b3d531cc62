"""From sources to messages: one thread per source, one that feeds the engine, one that delivers, and the caller's
`tick`.

    Source -> mailbox -> feeder: preprocess, submit -> device -> deliverer: collect, postprocess, publish

Both hand-offs are bounded: the mailboxes (live: newest frame only; files: wait) and the engine's slots (wait). For
each source
    frames_read == published + dropped (by reason) + failed + in_flight
holds at any time; after the end in_flight is 0.
"""

from __future__ import annotations

import collections
import dataclasses
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..engine.recovery import Recovery
from ..errors import DeviceLost, MluAgentError, RuntimeFailure
from ..postprocess import postprocess
from ..preprocess import Preprocessor
from ..sources import Exchange, Grab, Source, SourceState, make_capture
from .announcer import Announcer, effective_thresholds
from .metrics import DEVICE, Metrics

if TYPE_CHECKING:
    from ..config import Config
    from ..detections import Detections
    from ..engine import Engine
    from ..engine.slot import Slot
    from ..frame import Frame
    from ..geometry import Letterbox
    from ..model.bundle import ModelSpec
    from ..publish.publisher import Publisher

DROPPED_EMPTY = "dropped_empty"
RECOVERY_S = 10.0  # for one step of making the device ready again
SLOWEST_FACTOR = 20
SLOWEST_FADES = 0.999
SOURCES_PATIENCE_S = 0.5
LAST_JOIN_S = 0.2
_NO_PIXELS = np.empty((0, 0, 3), np.uint8)


@dataclass(frozen=True, eq=False)
class _Pending:
    """One frame in flight; its pixels are gone, the network's input has them."""

    frame: Frame
    letterbox: Letterbox
    grab_ms: float
    wait_ms: float
    preprocess_ms: float
    replayed: bool


class Pipeline:
    """The daemon's work. The caller owns engine and publisher, calls `start`, then `tick` often, then `stop`.

    `failure`: set when the device cannot go on; the caller stops the pipeline and ends with it.
    """

    def __init__(self, config: Config, spec: ModelSpec, engine: Engine, publisher: Publisher, log: Any) -> None:
        self.metrics = Metrics()
        self.failure: MluAgentError | None = None
        self._config = config
        self._spec = spec
        self._engine = engine
        self._publisher = publisher
        self._log = log
        self._preprocess = Preprocessor(spec.input)
        self._thresholds = effective_thresholds(config, spec)
        self._announcer = Announcer(config, spec, engine.library.kind, self._thresholds, publisher)
        self._exchange: Exchange[Grab] = Exchange()
        self.sources = [self._make_source(number) for number in range(len(config.sources))]
        self._by_id = {source.source_id: source for source in self.sources}
        self._pending: collections.deque[list[_Pending]] = collections.deque()
        self.recovery = Recovery(engine, log)
        self._slowest_s = 0.0
        self._feeder = threading.Thread(target=self._guard, args=(self._feed,), name="feeder", daemon=True)
        self._deliverer = threading.Thread(target=self._guard, args=(self._deliver,), name="deliverer", daemon=True)
        self._started = time.monotonic()
        self._next_heartbeat = 0.0
        self._ended: set[str] = set()

    def _make_source(self, number: int) -> Source:
        config = self._config.sources[number]

        def unreadable(sentence: str) -> None:
            self._log.warning("a picture was skipped", source=config.id, reason=sentence)

        return Source(config, make_capture(config, unreadable), self._exchange.mailbox(config.live), self._changed)

    # ---- for the caller -------------------------------------------------------------------------------------------

    def self_test(self) -> float:
        """Sends one grey picture through model and device before anything is served; its device time in
        milliseconds."""
        slot = self._engine.acquire(0)
        if slot is None:
            raise RuntimeFailure("self-test: the engine has no free slot")
        picture = np.full((self._spec.input.height, self._spec.input.width, 3), 128, np.uint8)
        letterbox = self._preprocess(picture, slot.inputs[0][0])
        start = time.monotonic()
        self._engine.submit(slot)
        done = self._engine.collect()
        if done is None:
            raise RuntimeFailure("self-test: the engine was closed")
        self._detect(done, 0, letterbox)
        self._slowest_s = time.monotonic() - start
        self._engine.release(done)
        return done.device_us / 1000

    def start(self) -> None:
        """Starts all threads."""
        self._started = time.monotonic()
        self._feeder.start()
        self._deliverer.start()
        for source in self.sources:
            source.start()

    def tick(self, now: float) -> None:
        """What has to happen regularly: stalls, ends, heartbeats, states for new subscribers. `now`: monotonic
        seconds."""
        for source in self.sources:
            source.check_stall(now)
            self._end_if_done(source)
            if source.died:
                self._give_up(RuntimeFailure(f"source {source.source_id}: its thread died of an internal error"))
        self._check_device(now)
        heartbeat_due = now >= self._next_heartbeat
        if self._publisher.look_for_subscribers() or heartbeat_due:
            for source in self.sources:
                self._announcer.state(source, self.counters(source))
        if heartbeat_due:
            self._next_heartbeat = now + self._config.publish.heartbeat_s
            self._announcer.heartbeat(
                {source: self.counters(source) for source in self.sources},
                self.device_counters(),
                uptime_s=now - self._started,
            )

    @property
    def finished(self) -> bool:
        """Whether every source came to its end and every frame left."""
        return len(self._ended) == len(self.sources)

    @property
    def idle(self) -> bool:
        """Whether no frame is on its way anywhere: none waits, none is being prepared, none is in the engine."""
        return not any(self.counters(source)["in_flight"] for source in self.sources)

    def stop(self, timeout: float) -> bool:
        """Ends in order: sources, feeder, what is in flight, the `end` messages. False if `timeout` seconds did not
        do."""
        deadline = time.monotonic() + timeout
        for source in self.sources:
            source.stop()
        self._exchange.close()
        for source in self.sources:
            source.discard_waiting()
        clean = self._join(self._feeder, deadline)
        # a device that hangs holds what it has; one that was given up lets the deliverer count the rest as failed
        while self._pending and (self.failure is None or self.recovery.lost) and time.monotonic() < deadline:
            time.sleep(0.005)
        # those inside a blocking read are left behind: they hold no device memory and their mailboxes are shut
        patience = min(deadline, time.monotonic() + SOURCES_PATIENCE_S)
        for source in self.sources:
            source.join(max(0.0, patience - time.monotonic()))
        for source in self.sources:
            self._send_end(source, "the agent stops")
        clean = clean and not self._pending
        self._engine.interrupt()
        return self._join(self._deliverer, max(deadline, time.monotonic() + LAST_JOIN_S)) and clean

    def counters(self, source: Source) -> dict[str, int]:
        """What happened to the frames of a source since the start; they add up."""
        dropped = dict(source.dropped)
        failed = sum(self.metrics.failed(source.source_id).values())
        published = self.metrics.published(source.source_id)
        read = source.frames_read
        return {
            "frames_read": read,
            "published": published,
            "failed": failed,
            "in_flight": read - published - failed - sum(dropped.values()),
            "dropped": sum(dropped.values()),
            "reconnects": source.reconnects,
            "stalls": source.stalls,
            "unreadable": source.capture.unreadable,
            "invalid_candidates": self.metrics.invalid(source.source_id),
            **dropped,
        }

    def device_counters(self) -> dict[str, int]:
        """What was done because the device failed, each only there once it happened."""
        return {f"device_{step}": count for step, count in self.recovery.counts.items() if count}

    def summary(self) -> str:
        """One line for people."""
        live = sum(source.status.state is SourceState.STREAMING for source in self.sources)
        seconds = max(1e-9, time.monotonic() - self._started)
        rate = self.metrics.published_total() / seconds
        return f"{live} of {len(self.sources)} sources live, {rate:.1f} frames/s on the {self._engine.library.kind}"

    # ---- threads --------------------------------------------------------------------------------------------------

    def _guard(self, work: Any) -> None:
        """A thread that dies of a bug must not leave a daemon that looks alive."""
        try:
            work()
        except Exception as error:
            # before it is said: saying it may be what fails
            self._give_up(RuntimeFailure(f"internal error: {type(error).__name__}: {error}"))
            self._log.exception("internal error", thread=threading.current_thread().name)

    def _feed(self) -> None:
        while True:
            slot = self._engine.acquire()
            if slot is None:
                return
            group = self._gather(slot)
            if not group:
                self._engine.release(slot)
                return
            # before submitting: the deliverer takes it as soon as it has collected
            self._pending.append(group)
            # a failure is told when it is collected: one thread makes the device ready again
            self._engine.submit(slot, defer=True)

    def _gather(self, slot: Slot) -> list[_Pending]:
        """Fills a slot: waits for one frame, then takes what else is ready, up to the batch. Empty when stopping."""
        group: list[_Pending] = []
        while len(group) < self._engine.batch:
            taken = self._exchange.take(0 if group else None)
            if taken is None:
                break
            number, grab = taken
            pending = self._prepare(self.sources[number], grab, slot, len(group))
            if pending is not None:
                group.append(pending)
        return group

    def _prepare(self, source: Source, grab: Grab, slot: Slot, index: int) -> _Pending | None:
        frame = source.to_frame(grab)
        start = time.monotonic_ns()
        try:
            letterbox = self._preprocess(frame.pixels, slot.inputs[0][index])
        except Exception as error:  # whatever a decoder hands over must not stop the other sources
            self.metrics.count_failed(frame.source_id, "preprocess")
            self._log.error(
                "a frame could not be prepared", source=frame.source_id, seq=frame.sequence, reason=str(error)
            )
            return None
        end = time.monotonic_ns()
        return _Pending(
            frame=dataclasses.replace(frame, pixels=_NO_PIXELS),
            letterbox=letterbox,
            grab_ms=grab.grab_ms,
            wait_ms=(start - grab.grabbed_ns) / 1e6,
            preprocess_ms=(end - start) / 1e6,
            replayed=source.config.kind == "path",
        )

    def _deliver(self) -> None:
        while True:
            try:
                slot = self._engine.collect(recover=self.recovery)
            except RuntimeFailure as error:
                self._fail(self._pending[0], error)
                self._pending.popleft()
                continue
            if slot is None:
                return
            try:
                for index, pending in enumerate(self._pending[0]):
                    self._publish(slot, index, pending)
            finally:
                # taken away only now: an empty deque means that everything has left
                self._pending.popleft()
                self._engine.release(slot)

    def _detect(self, slot: Slot, index: int, letterbox: Letterbox) -> Detections:
        outputs = [output[index] for output in slot.outputs]
        return postprocess(outputs, self._spec, letterbox, self._thresholds, image=index)

    def _publish(self, slot: Slot, index: int, pending: _Pending) -> None:
        frame = pending.frame
        start = time.monotonic_ns()
        try:
            detections = self._detect(slot, index, pending.letterbox)
        except Exception as error:  # one bad output must not end the daemon
            self.metrics.count_failed(frame.source_id, "postprocess")
            self._log.error("outputs could not be read", source=frame.source_id, seq=frame.sequence, reason=str(error))
            return
        stages = {
            "grab": pending.grab_ms,
            "wait": pending.wait_ms,
            "preprocess": pending.preprocess_ms,
            "device": slot.device_us / 1000,
            "postprocess": (time.monotonic_ns() - start) / 1e6,
        }
        # fades, so that one slow invocation does not stretch the deadline for ever
        self._slowest_s = max(self._slowest_s * SLOWEST_FADES, slot.device_us / 1e6)
        source = self._by_id[frame.source_id]
        if detections.invalid:
            self._count_invalid(frame, detections.invalid)
        if not len(detections) and not self._config.publish.empty_frames:
            source.count_dropped(DROPPED_EMPTY)
            self.metrics.count_progress()
            return
        self._announcer.frame(
            frame, detections, pending.letterbox, stages, self.counters(source), replayed=pending.replayed
        )
        self.metrics.count_published(frame.source_id, stages)

    def _count_invalid(self, frame: Frame, count: int) -> None:
        """Numbers that are none come from a broken model or device, never from a picture."""
        if not self.metrics.count_invalid(frame.source_id, count):
            self._log.warning(
                "the outputs hold numbers that are not finite: those candidates are thrown away and counted",
                source=frame.source_id,
                seq=frame.sequence,
                candidates=count,
            )

    # ---- failures -------------------------------------------------------------------------------------------------

    def _fail(self, group: list[_Pending], error: RuntimeFailure) -> None:
        for pending in group:
            self.metrics.count_failed(pending.frame.source_id, DEVICE)
        self._log.error("frames are lost: the device failed", frames=len(group), reason=error.message)
        self._give_up(error)

    def _check_device(self, now: float) -> None:
        limit = max(self._config.service.device_timeout_s, SLOWEST_FACTOR * self._slowest_s)
        if self._engine.recovering:
            limit = max(limit, RECOVERY_S)
        if self._engine.stuck_for(now) > limit:
            self._give_up(DeviceLost(f"the device has not finished an invocation for more than {limit:.1f} s"))

    def _give_up(self, error: MluAgentError) -> None:
        if self.failure is None:
            self.failure = error

    # ---- messages besides frames ----------------------------------------------------------------------------------

    def _changed(self, source: Source) -> None:
        """Called by a source's thread on every change of state."""
        status = source.status
        good = status.state not in (SourceState.FAILED, SourceState.STALLED, SourceState.RECONNECTING)
        log = self._log.info if good else self._log.warning
        log("source", source=source.source_id, state=status.state.value, reason=status.reason)
        self._announcer.state(source, self.counters(source))

    def _end_if_done(self, source: Source) -> None:
        if source.finished and not self.counters(source)["in_flight"]:
            self._send_end(source, source.status.reason)

    def _send_end(self, source: Source, reason: str) -> None:
        if source.source_id in self._ended:
            return
        self._ended.add(source.source_id)
        counters = self.counters(source)
        self._announcer.state(source, counters)
        self._announcer.end(source, counters, reason)
        self._log.info("source ended", source=source.source_id, reason=reason, **counters)

    @staticmethod
    def _join(thread: threading.Thread, deadline: float) -> bool:
        if thread.ident is not None:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not thread.is_alive()
