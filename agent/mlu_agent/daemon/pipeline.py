"""From sources to messages: a thread for each source, a line of two for each model, and the caller's ``tick``.

    Source -> mailbox -> Line: feeder -> device -> deliverer -> sinks

Both hand-offs are bounded: the mailboxes (live: newest frame only; files: wait) and the engine's slots (wait).
For each source
    frames_read == published + dropped (by reason) + failed + in_flight
holds at any time; after the end in_flight is 0.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Callable

from ..engine.health import LOST, Health, worst
from ..errors import DeviceLost, MluAgentError, RuntimeFailure
from ..sources import TROUBLED, Source, make_capture, share_of
from .announcer import Announcer
from .line import Line
from .service import Worker

if TYPE_CHECKING:
    import threading

    from ..config import Config, PublishConfig, SourceConfig
    from ..ledger import Ledger
    from ..publish.sink import Outlet
    from .models import InService, Models, Served

SOURCES_PATIENCE_S = 0.5
LAST_JOIN_S = 0.2


class Pipeline:
    """The daemon's work. The caller owns models and sinks, calls ``start``, ``tick`` whenever it is due, and ``stop``.

    ``failure``: set when the device cannot go on; the caller stops the pipeline and ends with it.
    ``sources``: by id; ``add`` and ``remove`` change them, in the thread that calls ``tick``.
    ``wake()`` is called by any thread when a ``tick`` is due before ``due`` said.
    """

    def __init__(
        self,
        config: Config,
        models: Models,
        outlet: Outlet,
        ledger: Ledger,
        log: Any,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self.models = models
        self.ledger = ledger
        self.sources: dict[str, Source] = {}
        self.failure: MluAgentError | None = None
        self._publish = config.publish
        self._outlet = outlet
        self._log = log
        self._wake = wake
        self._announcer = Announcer(config.box, config.publish.heartbeat_s, outlet)
        self.boot_id = self._announcer.boot_id
        self._lines = {name: self._make_line(served) for name, served in models.items()}
        self._running = False  # the lines
        self._reading = False  # the sources
        self._no_threads = ""  # why a source could not be begun, once that was said
        self._started = time.monotonic()
        self._next_heartbeat = 0.0
        self._ended: set[str] = set()
        self._at: dict[str, Line] = {}  # where the frames of each source go
        self._leaving: dict[str, SourceConfig | None] = {}  # with what comes in its place
        self._paused: dict[str, str] = {}  # why, by source; it outlives a source that is made anew
        for source in config.sources:
            self.add(source)

    def _make_line(self, served: Served) -> Line:
        return Line(
            served,
            self.sources,
            self._announcer,
            self._log,
            empty_frames=self._publish.empty_frames,
            on_failure=self.give_up,
            on_settled=self._wake,
        )

    # ---- for the caller -------------------------------------------------------------------------------------------

    def add(self, config: SourceConfig, *, held: bool = False) -> Source:
        """A source more; it starts with the pipeline, or at once if that runs; ``held``: it reads nothing until
        ``release``. ValueError if its id is taken, RuntimeError if no thread can be had: then it is not there."""
        source = self._make_source(config)
        if self._reading:
            try:
                source.start(held=held)
            except RuntimeError:
                self._forget(source)
                raise
        return source

    def release(self, source_id: str) -> None:
        """A source that was added ``held`` begins."""
        self.sources[source_id].release()

    def _make_source(self, config: SourceConfig) -> Source:
        account = self.ledger.source(config.id)

        def unreadable(sentence: str) -> None:
            account.count_unreadable()
            self._log.warning("a picture was skipped", source=config.id, reason=sentence)

        line = self._lines[self.models.name_of(config)]
        mailbox = line.exchange.mailbox(config.id, config.live, share_of(config))
        capture = make_capture(config, unreadable)
        source = Source(config, capture, mailbox, account, self._changed, on_over=self._wake)
        self.sources[config.id] = source
        self._at[config.id] = line
        if config.id in self._paused:
            source.pause(self._paused[config.id])
        return source

    def pause(self, source_id: str, why: str) -> None:
        """Lets a source, and whatever takes its place, read nothing until ``resume``."""
        self._paused = {name: told for name, told in self._paused.items() if name in self.sources}
        self._paused[source_id] = why
        self.sources[source_id].pause(why)

    def resume(self, source_id: str) -> None:
        """Ends a pause."""
        self._paused.pop(source_id, None)
        self.sources[source_id].resume()

    def remove(self, source_id: str, successor: SourceConfig | None = None) -> None:
        """Ends a source: what waits is dropped, what is in flight published, its ``end`` sent, and it is forgotten.

        A ``successor`` of that id begins where it ended, without an ``end``.
        """
        source = self.sources[source_id]
        self._leaving[source_id] = successor
        source.stop()
        source.discard_waiting()

    def adjust(self, config: SourceConfig) -> None:
        """Other options for a source, of those that are ``ADJUSTABLE``; it reads on."""
        if config.id in self._leaving:
            self._leaving[config.id] = config
            return
        self.sources[config.id].adjust(config)

    def swap(self, model: InService) -> threading.Event:
        """Another model in the place of that of its name, between two frames; set when the old one has delivered."""
        self.models.put(model)
        return self._lines[model.config.name].swap(model.served)

    def add_model(self, model: InService) -> None:
        """A model more."""
        name = model.config.name
        line = self._make_line(model.served)
        if self._running:
            line.start()
        self.models.put(model)
        self._lines[name] = line

    def remove_model(self, name: str) -> threading.Event:
        """A model less, whose sources were all removed; set when it has delivered its last frame."""
        self.models.keep([other for other, _ in self.models.items() if other != name])
        return self._lines.pop(name).close()

    def configure(self, publish: PublishConfig) -> None:
        """What of publishing changes while it runs."""
        self._publish = publish
        self._announcer.interval_s = publish.heartbeat_s
        self._next_heartbeat = 0.0
        for line in self._lines.values():
            line.empty_frames = publish.empty_frames

    def start(self) -> None:
        """Starts all threads."""
        self.start_models()
        self.start_sources()

    def start_models(self) -> None:
        """From now on ``tick`` is to be called: everything works, but no frame is read yet."""
        self._started = time.monotonic()
        self._running = True
        for line in self._lines.values():
            line.start()

    def start_sources(self) -> None:
        """Frames are read."""
        self._reading = True
        self._next_heartbeat = 0.0
        for source in self.sources.values():
            source.start()

    def tick(self, now: float) -> bool:
        """Does what is due: stalls, ends, heartbeats, states for new subscribers. ``now``: monotonic seconds.

        Whether there are new subscribers.
        """
        if self._reading:
            self._start_late()
        for source in list(self.sources.values()):
            source.check_stall(now)
            self._end_if_done(source)
            if source.died:
                self.give_up(RuntimeFailure(f"source {source.source_id}: its thread died of an internal error"))
        heartbeat_due = now >= self._next_heartbeat
        came = self._outlet.look_for_subscribers()
        if came or heartbeat_due:
            for source in self.sources.values():
                self._announcer.state(source, source.account.counters())
        if heartbeat_due:
            self._next_heartbeat = now + self._publish.heartbeat_s
            for line in self._lines.values():
                line.check_minima(now)
            self._heartbeat(now)
        return came

    def _heartbeat(self, now: float) -> None:
        states = {source_id: source.status.state.value for source_id, source in self.sources.items()}
        totals = self.ledger.snapshot().totals
        health = worst(served.health() for served in self.models)
        if isinstance(self.failure, DeviceLost):
            health = Health(LOST, self.failure.message)
        self._announcer.heartbeat(self.models.main.info, states, totals, health, uptime_s=now - self._started)

    @property
    def due(self) -> float:
        """When ``tick`` is to be called next, monotonic seconds, unless ``wake`` is called before."""
        now = time.monotonic()
        return min([self._next_heartbeat, *(source.stall_due(now) for source in self.sources.values())])

    @property
    def finished(self) -> bool:
        """Whether every source came to its end and every frame left."""
        return self.sources.keys() <= self._ended and not self._leaving

    def workers(self) -> list[Worker]:
        """What every thread of the pipeline does: one entry for the two of a line, which finish frames together.

        A source is idle, but for a call that did deliver and does not return any more: that another process may mend.
        """
        now = time.monotonic()
        sources = list(self.sources.values())
        reading = [Worker(f"source {one.source_id}", one.sequence, not one.hung(now)) for one in sources]
        return [*(self._worker(name) for name in self._lines), *reading]

    def _worker(self, name: str) -> Worker:
        """A line is idle while no frame of its sources is on its way: none waits, none is being prepared, none is in
        the engine. Making the device ready again takes less than a watchdog's period, by the deadlines of its calls."""
        line = self._lines[name]
        accounts = [one.account for source_id, one in self.sources.items() if self._at[source_id] is line]
        idle = not any(account.counters()["in_flight"] for account in accounts)
        return Worker(f"model {name}", sum(account.progress for account in accounts), idle)

    def stop(self, timeout: float) -> bool:
        """Ends in order: sources, feeders, what is in flight, ``end`` messages. False if ``timeout`` s do not do."""
        deadline = time.monotonic() + timeout
        lines = list(self._lines.values())
        for source in self.sources.values():
            source.stop()
        for line in lines:
            line.exchange.close()
        for source in self.sources.values():
            source.discard_waiting()
        clean = [line.stop_feeding(deadline) for line in lines]
        while any(self._drains(line) for line in lines) and time.monotonic() < deadline:
            time.sleep(0.005)
        # those inside a blocking read are left behind: they hold no device memory and their mailboxes are shut
        patience = min(deadline, time.monotonic() + SOURCES_PATIENCE_S)
        for source in self.sources.values():
            source.join(max(0.0, patience - time.monotonic()))
        for source in self.sources.values():
            self._send_end(source, "the agent stops")
        clean += [not line.pending for line in lines]
        if self.failure is not None:
            self._heartbeat(time.monotonic())
        last = max(deadline, time.monotonic() + LAST_JOIN_S)
        clean += [line.stop_delivering(last) for line in lines]
        return all(clean)

    def _drains(self, line: Line) -> bool:
        """Whether what is in flight will still come out: a device that hangs holds what it has; one that was given up
        lets the deliverer count the rest as failed."""
        return bool(line.pending) and (self.failure is None or line.lost)

    def give_up(self, error: MluAgentError) -> None:
        """The daemon cannot go on; the first reason counts. Any thread may call."""
        if self.failure is None:
            self.failure = error
        self._wake()

    def abandon(self) -> None:
        """Ends without a call of the device and without waiting, since it hangs: frames on their way are counted as
        failed, the last heartbeat and the ends of all sources are sent."""
        for source in self.sources.values():
            source.stop()
        for line in self._lines.values():
            line.abandon()
        for source in self.sources.values():
            source.discard_waiting()
            self._send_end(source, "the device hangs")
        self._heartbeat(time.monotonic())

    # ---- within ---------------------------------------------------------------------------------------------------

    def _changed(self, source: Source) -> None:
        """Called by a source's thread on every change of state."""
        status = source.status
        log = self._log.warning if status.state in TROUBLED else self._log.info
        log("source", source=source.source_id, state=status.state.value, reason=status.reason, code=status.code)
        self._announcer.state(source, source.account.counters())
        self._wake()  # for the next stall that is possible now

    def _end_if_done(self, source: Source) -> None:
        if not source.finished or source.account.counters()["in_flight"]:
            return
        if source.source_id not in self._leaving:
            self._send_end(source, source.status.reason)
            return
        successor = self._leaving.pop(source.source_id)
        if successor is None:
            self._send_end(source, source.status.reason)
        self._forget(source)
        if successor is not None:
            self._make_source(successor)
            if self._reading:
                self._start_late()

    def _start_late(self) -> None:
        """Those that came in the place of others: one for which no thread can be had now gets one later."""
        trouble = ""
        for source in self.sources.values():
            try:
                source.start()
            except RuntimeError as error:  # noqa: PERF203 - of a few sources
                trouble = str(error)
                if not self._no_threads:
                    self._log.warning("a source cannot begin yet", source=source.source_id, reason=trouble)
        self._no_threads = trouble

    def _forget(self, source: Source) -> None:
        self._at.pop(source.source_id).exchange.remove(source.source_id)
        self._ended.discard(source.source_id)
        del self.sources[source.source_id]
        self.ledger.close_source(source.source_id)

    def _send_end(self, source: Source, reason: str) -> None:
        if source.source_id in self._ended:
            return
        self._ended.add(source.source_id)
        counters = source.account.counters()
        self._announcer.state(source, counters)
        self._announcer.end(source, counters, reason)
        self._log.info("source ended", source=source.source_id, reason=reason, **counters)
