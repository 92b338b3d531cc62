"""The way of frames through one model: a thread that fills slots, and one that delivers what comes out of them.

mailboxes -> feeder: preprocess, submit -> device -> deliverer: collect, postprocess, publish

Another model may take the place of the one in service between two frames. The feeder gives it all frames from then on,
and the deliverer goes to it once the old one has delivered what it had: so none is lost, doubled or out of order.
"""

from __future__ import annotations

import dataclasses
import functools
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable

import numpy as np

from ..errors import MluAgentError, RuntimeFailure
from ..ledger import DEVICE
from ..publish.messages import without_data
from ..sources import Exchange, Grab, Minima

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..engine.served import Done, ServedModel
    from ..engine.slot import Slot
    from ..frame import Frame
    from ..geometry import Letterbox
    from ..postprocess import Choice, Result
    from ..sources import Source
    from .announcer import Announcer

ALONE_S = 0.2  # for a feeder without a deliverer to end
_NO_PIXELS = np.empty((0, 0, 3), np.uint8)


@dataclass(frozen=True, eq=False)
class Pending:
    """One frame in flight; its pixels are gone, the network's input has them. ``choice``: what its source
    wants of the model."""

    source: Source
    choice: Choice
    frame: Frame
    letterbox: Letterbox
    grab_ms: float
    wait_ms: float
    preprocess_ms: float
    flags: tuple[str, ...]


class Line:
    """The two threads of one model in service, and the mailboxes of the sources that it looks at.

    ``served``: the model that new frames go to; ``swap`` changes it.

    ``sources``: by id, as they are now. ``empty_frames``: whether frames without detections are published; may be set.
    ``on_failure(error)`` is called when the device or a thread cannot go on; ``on_settled()`` when the last frames of a
    source that came to its end may have left. Both in a thread of the line.
    """

    def __init__(
        self,
        served: ServedModel[list[Pending]],
        sources: Mapping[str, Source],
        announcer: Announcer,
        log: Any,
        *,
        empty_frames: bool,
        on_failure: Callable[[MluAgentError], None],
        on_settled: Callable[[], None],
    ) -> None:
        self.served = served
        self.exchange: Exchange[Grab] = Exchange()
        self._minima = Minima()
        self._minima_missed = False
        self._sources = sources
        self._announcer = announcer
        self._log = log
        self.empty_frames = empty_frames
        self._on_failure = on_failure
        self._on_settled = on_settled
        self._delivering = served  # the one before ``served`` for as long as that has frames in flight
        self._retired = threading.Event()
        self._feeder = threading.Thread(target=self._guard, args=(self._feed,), name="feeder", daemon=True)
        self._deliverer = threading.Thread(target=self._guard, args=(self._deliver,), name="deliverer", daemon=True)

    def start(self) -> None:
        """Starts both threads, or none: RuntimeError if they cannot be had."""
        self._feeder.start()
        try:
            self._deliverer.start()
        except RuntimeError:
            self.exchange.close()
            self._feeder.join(ALONE_S)
            raise

    def swap(self, served: ServedModel[list[Pending]]) -> threading.Event:
        """All frames that are taken from now on go to this model. The event is set once the one before has delivered
        its last; until then there is no other swap."""
        if self._delivering is not self.served:
            raise ValueError("the model before the present one has frames in flight still")
        self._retired = threading.Event()
        self.served = served
        self.exchange.look_again()  # the feeder may wait for a frame that does not come
        return self._retired

    def close(self) -> threading.Event:
        """No frame is taken any more; the event is set once the last one was delivered, and both threads end."""
        self._retired = threading.Event()
        self.exchange.close()
        return self._retired

    def check_minima(self, now: float) -> None:
        """Notices that sources do not get what they were promised, counts it, and says it when it begins and ends."""
        verdict = self._minima.look(now, self.exchange.traffic())
        if verdict is None:
            return
        for source_id, frames in verdict.missed.items():
            self._sources[source_id].account.count_missed(frames)
        promised, taken = round(verdict.promised_fps, 2), round(verdict.taken_fps, 2)
        if verdict.missed and not self._minima_missed:
            self._log.warning(
                "sources do not get their min_fps: all together they are more than the device can do",
                missed=verdict.missed, promised_fps=promised, taken_fps=taken,
            )  # fmt: skip
        elif self._minima_missed and not verdict.missed:
            self._log.info("all sources get their min_fps again", promised_fps=promised, taken_fps=taken)
        self._minima_missed = bool(verdict.missed)

    def stop_feeding(self, deadline: float) -> bool:
        """Waits for the feeder, whose exchange was closed; whether it has ended."""
        return _join(self._feeder, deadline)

    def stop_delivering(self, deadline: float) -> bool:
        """Ends the deliverer, whatever is in flight; whether it has ended."""
        for served in self._both():
            served.engine.interrupt()
        return _join(self._deliverer, deadline)

    def abandon(self) -> None:
        """The device hangs: no call of it any more, and what is in flight has failed."""
        for served in self._both():
            served.engine.abandon()
        self.exchange.close()
        for served in self._both():
            for group in served.groups:
                self.count_failed(group)

    @property
    def pending(self) -> int:
        """Groups submitted and not delivered."""
        return sum(served.pending for served in self._both())

    @property
    def lost(self) -> bool:
        """Whether the device was given up."""
        return any(served.lost for served in self._both())

    def _both(self) -> set[ServedModel[list[Pending]]]:
        return {self._delivering, self.served}

    def _guard(self, work: Callable[[], None]) -> None:
        """A thread that dies of a bug must not leave a daemon that looks alive."""
        try:
            work()
        except Exception as error:
            # before it is said: saying it may be what fails
            self._on_failure(RuntimeFailure(f"internal error: {type(error).__name__}: {error}"))
            self._log.exception("internal error", thread=threading.current_thread().name)

    # ---- the feeder -----------------------------------------------------------------------------------------------

    def _feed(self) -> None:
        more, served = True, self._delivering  # there may have been a swap before the start
        while more:
            while more and served is self.served:
                more = self._feed_one(served)
            # nothing comes to it any more: the deliverer leaves it once it is empty
            served.engine.interrupt()
            served = self.served

    def _feed_one(self, served: ServedModel[list[Pending]]) -> bool:
        """Gives it what is ready, waited for; False if nothing will be any more."""
        slot = served.engine.acquire()
        if slot is None:
            return False
        taken = self.exchange.take(None, functools.partial(served.engine.due, slot), lambda: served is not self.served)
        if taken is None:
            served.engine.release(slot)
            return served is not self.served
        start = time.monotonic()
        slot = served.engine.swap(slot)
        group = self._gather(served, slot, taken)
        if not group:
            served.engine.release(slot)
            return True
        # a failure is told when it is collected: one thread makes the device ready again
        served.account.count_batch(len(group))
        served.submit(slot, group, defer=True)
        served.engine.pace.prepared(time.monotonic() - start)
        return True

    def _gather(self, served: ServedModel[list[Pending]], slot: Slot, taken: tuple[str, Grab] | None) -> list[Pending]:
        """Fills a slot: with the frame that was taken, then with what is there or comes within ``batch_wait_s``."""
        group: list[Pending] = []
        leaves = time.monotonic() + served.batch_wait_s
        while taken is not None:
            source_id, grab = taken
            pending = self._prepare(served, self._sources[source_id], grab, slot, len(group))
            if pending is not None:
                group.append(pending)
            full = len(group) == served.engine.batch
            taken = None if full else self.exchange.take(max(0.0, leaves - time.monotonic()))
        return group

    def _prepare(
        self, served: ServedModel[list[Pending]], source: Source, grab: Grab, slot: Slot, index: int
    ) -> Pending | None:
        frame = source.to_frame(grab)
        start = time.monotonic_ns()
        try:
            letterbox = served.place(frame.pixels, slot, index, source.config.roi)
        except Exception as error:  # whatever a decoder hands over must not stop the other sources
            source.account.count_failed("preprocess")
            self._log.error(
                "a frame could not be prepared", source=frame.source_id, seq=frame.sequence, reason=str(error)
            )
            self._settle(source)
            return None
        end = time.monotonic_ns()
        return Pending(
            source=source,
            choice=served.choice(source.config.classes, source.config.confidence),
            frame=dataclasses.replace(frame, pixels=_NO_PIXELS),
            letterbox=letterbox,
            grab_ms=grab.grab_ms,
            wait_ms=(start - grab.grabbed_ns) / 1e6,
            preprocess_ms=(end - start) / 1e6,
            flags=(*(("replayed",) if source.config.kind == "path" else ()), *source.doubts),
        )

    # ---- the deliverer --------------------------------------------------------------------------------------------

    def _deliver(self) -> None:
        while True:
            served = self._delivering
            while self._deliver_one(served):
                pass
            last = served is self.served
            self._delivering = self.served
            self._retired.set()
            if last:
                return

    def _deliver_one(self, served: ServedModel[list[Pending]]) -> bool:
        """Delivers what comes out next, waited for; False if nothing will any more."""
        try:
            done = served.collect()
        except RuntimeFailure as error:  # of the golden frame; what is in flight fails as it is collected
            self._on_failure(error)
            return True
        if done is None:
            return False
        self.exchange.look_again()  # a lane may be free sooner than was expected
        try:
            self._finish(served, done)
        finally:
            # released only now: nothing pending means that everything has left
            served.release(done)
        for pending in done.group:
            self._settle(pending.source)
        return True

    def _finish(self, served: ServedModel[list[Pending]], done: Done[list[Pending]]) -> None:
        if done.slot is None:
            self._fail(done.group, done.failure or RuntimeFailure("the device gave no outputs"))
            return
        for index, pending in enumerate(done.group):
            self._publish(served, done.slot, index, pending)

    def _publish(self, served: ServedModel[list[Pending]], slot: Slot, index: int, pending: Pending) -> None:
        frame, account = pending.frame, pending.source.account
        start = time.monotonic_ns()
        try:
            result = served.read(slot, index, pending.letterbox, pending.choice)
        except Exception as error:  # one bad output must not end the daemon
            account.count_failed("postprocess")
            self._log.error("outputs could not be read", source=frame.source_id, seq=frame.sequence, reason=str(error))
            return
        stages = {
            "grab": pending.grab_ms,
            "wait": pending.wait_ms,
            "preprocess": pending.preprocess_ms,
            "device": slot.device_us / 1000,
            "postprocess": (time.monotonic_ns() - start) / 1e6,
        }
        if result.invalid:
            self._count_invalid(pending, result)
        account.count_filtered(result.filtered)
        if not len(result) and not self.empty_frames:
            account.count_empty()
            return
        counters = account.counters()
        kind = self._announcer.frame(
            frame, result, pending.letterbox, pending.choice.info, stages, counters, flags=pending.flags
        )
        account.count_published(stages, kind, without_data(result))

    def _count_invalid(self, pending: Pending, result: Result) -> None:
        """Numbers that are none come from a broken model or device, never from a picture."""
        if not pending.source.account.count_invalid(result.invalid):
            self._log.warning(
                "the outputs hold numbers that are not finite, or no confidences: they are thrown away and counted",
                source=pending.frame.source_id,
                seq=pending.frame.sequence,
                candidates=result.invalid,
            )

    @staticmethod
    def count_failed(group: list[Pending]) -> None:
        """The device costs these frames."""
        for pending in group:
            pending.source.account.count_failed(DEVICE)

    def _fail(self, group: list[Pending], error: RuntimeFailure) -> None:
        self.count_failed(group)
        self._log.error("frames are lost: the device failed", frames=len(group), reason=error.message)
        self._on_failure(error)

    def _settle(self, source: Source) -> None:
        if source.over:
            self._on_settled()


def _join(thread: threading.Thread, deadline: float) -> bool:
    if thread.ident is not None:
        thread.join(max(0.0, deadline - time.monotonic()))
    return not thread.is_alive()
