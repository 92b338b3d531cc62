"""The daemon: everything that a process holds, from the model to the last message."""

from __future__ import annotations

import contextlib
import functools
import math
import os
import signal
import time
from typing import TYPE_CHECKING, Any

from ..config import load_config, remarks
from ..config.files import size_if_there
from ..engine.deadlines import Deadlines
from ..errors import CannotUnpack, DataError, DeviceLost, UserError
from ..ledger import Ledger
from ..preprocess import resize_in_one_thread
from ..publish.sinks import open_outlet
from ..sources import SourceState
from . import last_good, signals
from .changer import Changer
from .desk import Desk
from .hangs import Hangs, end_now
from .models import InService, Models, put_into_service
from .pipeline import Pipeline
from .plan import resolved
from .process import Process
from .service import Notifications, Watchdog
from .waiting import EXTENSION_S, Patience, Settling, Stopped
from .wake import Wake

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from ..config import Config, ModelConfig
    from ..model.bundle import ModelSpec
    from .answers import Answer
    from .signals import Signals

STATUS_INTERVAL_S = 5.0
START_CALLS = 3  # of the device, that may each take all of their time
ANSWER_INTERVAL_S = 0.5  # a flood of signals must not be one of log lines
HARD_END_MARGIN_S = 0.2
CLEANUP_SHARE = 0.7  # of the time to stop, at most: for the frames in flight; the rest is for sockets and the device
LEAST_CLEANUP_S = 0.2
RELOAD_S = 30.0  # that a reload may take, as the service manager is told; loading models comes to it


def serve(config: Config, log: Any, *, wait_for_subscriber_s: float = 0.0, process: Process | None = None) -> int:
    """Runs until a signal, or until all sources came to their end; main thread only.

    0 after a signal; 2 if all came to their end and one of them failed for good. Raises what ``Daemon`` raises.
    """
    limit = config.service.stop_timeout_s
    process = process or Process()
    flush = process.flush
    wake = Wake()
    asked = signals.of_process()

    def late() -> None:
        log.error("not stopped in time: ending the process")
        flush()

    asked.attach(limit - HARD_END_MARGIN_S, late, wake.set)
    notifications = Notifications(watchdog_usec=None if config.service.watchdog else "0")
    try:
        with contextlib.ExitStack() as exits:
            daemon = Daemon(config, log, asked, notifications, wake, exits, process)
            return daemon.serve(wait_for_subscriber_s)
    except DeviceLost as lost:
        if lost.hung:
            end_now(flush)
        raise
    except Stopped:
        log.info("stopped before the start was over", reason=asked.signal_name)
        return 0
    finally:
        notifications.close()
        asked.close()
        wake.close()


class Daemon:
    """Models, sinks and pipeline, made in order and released by ``exits`` in the opposite one.

    What is not there yet is waited for. Raises UserError, DataError and RuntimeFailure: what keeps a configuration from
    running, and from ``serve`` what ended it; Stopped if the end was asked for before.
    """

    def __init__(
        self,
        config: Config,
        log: Any,
        asked: Signals,
        notifications: Notifications,
        wake: Wake,
        exits: contextlib.ExitStack,
        process: Process,
    ) -> None:
        self._config = config = resolved(config)
        self._log = log
        self._asked = asked
        self._notifications = notifications
        self._wake = wake
        self._ready = False
        self._next_answer = self._next_summary = 0.0
        self._reload_asked = False
        self._process = process
        self._starving: list[str] = []
        self._left_behind = False  # a thread, inside a call of the device
        self.ledger = Ledger()
        self.desk = Desk(config, log, wake.set, exits, process)
        patience = Patience(log, notifications, self._sleep_at_start, self.desk.waits_for)
        self._hangs = Hangs(log, notifications, process.flush)
        self.models = Models()
        exits.callback(self.models.close)
        exits.callback(self._end_if_left_behind)
        for model in config.models:
            self.models.put(self._start_model(model, config, patience))
        # closed before the engine: the exit stack runs backwards
        self.outlet = patience.until(lambda: open_outlet(config.publish, self.ledger, log, wake.set, exits))
        self.endpoint = self.outlet.endpoint
        resize_in_one_thread()
        self.pipeline = Pipeline(config, self.models, self.outlet, self.ledger, log, wake.set)
        for name, served in self.models.items():
            self._go_on()
            log.info("self-test passed", model=name, device_ms=round(served.self_test(), 3))
            last_good.remember(self.models[name].config, served.spec, log, config.models)
        self._go_on()
        self.changer = Changer(
            config, self.pipeline, log, read=self._read, load=self._load_beside, options=self._take_over, wake=wake.set
        )
        self.desk.orders.reload, self.desk.orders.swap = self.reload, self.swap
        self._watchdog = Watchdog(notifications, self.pipeline.workers)

    def serve(self, wait_for_subscriber_s: float) -> int:
        """From READY to the end."""
        self._log.info("ready", endpoint=self.endpoint, pid=os.getpid())
        self._notifications.send(READY=1, STATUS=f"ready on {self.endpoint}")
        self._ready = True
        self.desk.serves(self.pipeline, self.outlet)
        self._reload_if_asked()
        self._asked.late_code = signals.LATE
        try:
            if not self._asked.requested.is_set():
                self._hangs.serving = self.pipeline
                self.pipeline.start_models()
                self._wait_for_subscriber(wait_for_subscriber_s)
                self._loop()
        finally:
            asked = self._asked.requested.is_set()
            self._stop()
        if self.pipeline.failure is not None:
            raise self.pipeline.failure
        failed = [source for source in self.pipeline.sources.values() if source.status.state is SourceState.FAILED]
        for source in failed:
            counters = source.account.counters()
            self._log.error("source failed", source=source.source_id, reason=source.status.reason, **counters)
        # whoever asks for the end gets it: a failed source has been told when it failed, and is told again above
        return 2 if failed and not asked else 0

    # ---- the start ------------------------------------------------------------------------------------------------

    def _start_model(self, model: ModelConfig, config: Config, patience: Patience) -> InService:
        """One that is being copied is waited for; where it stays wrong the last good one serves, if there is any."""
        load = functools.partial(self._load, model, config)
        try:
            started: InService = patience.until(Settling(model.path, load))
        except (DataError, CannotUnpack) as refused:
            spec = last_good.instead(model, refused, self._log)
            return patience.until(functools.partial(load, spec))
        return started

    def _load(
        self,
        model: ModelConfig,
        config: Config,
        spec: ModelSpec | None = None,
        serving: Collection[str] | None = None,
    ) -> InService:
        """The device's own deadlines are tighter, but one that is only slow may come near them in several calls."""
        service = config.service
        size = size_if_there(model.path)
        calls_s = Deadlines(service.device_timeout_s, service.device_start_timeout_s, size).start_s
        self._notifications.extend(EXTENSION_S + START_CALLS * calls_s, f"loading the model {model.name}")
        sources = config.sources_of(model)
        return put_into_service(model, service, self.ledger, self._log, self._hangs, sources, spec, serving)

    def _load_beside(self, model: ModelConfig, config: Config) -> InService:
        """For a change, while others serve."""
        return self._load(model, config, serving=[served.spec.sha256 for served in self.models])

    def _go_on(self) -> None:
        """Between two steps of the start: Stopped if the end was asked for."""
        if self._asked.requested.is_set():
            raise Stopped

    def _sleep_at_start(self, until: float) -> None:
        while (now := time.monotonic()) < until:
            self._go_on()
            self._answer_signals(now)
            self.desk.look(now)
            self._wake.wait(min(until, self.desk.due) - now)
        self._go_on()

    def _wait_for_subscriber(self, seconds: float) -> None:
        """All goes on as ever meanwhile, but that no frame is read."""
        deadline = time.monotonic() + seconds
        while (now := time.monotonic()) < deadline and self.pipeline.failure is None:
            if self.pipeline.tick(now):
                break
            self.changer.look()
            self._sleep_until(min(deadline, self.pipeline.due, self._answer_manager(now)))
            if self._asked.requested.is_set():
                return
        if self.pipeline.failure is None:
            self.pipeline.start_sources()

    # ---- changes --------------------------------------------------------------------------------------------------

    def reload(self, answer: Answer) -> None:
        """Puts the configuration in force as its file has it now, or leaves everything as it is: see ``Changer``."""

        def told(outcome: Mapping[str, Any]) -> None:
            self._notifications.send(READY=1, STATUS=str(outcome["done" if outcome["ok"] else "error"]))
            answer(outcome)

        self._notifications.reloading()
        self._notifications.extend(RELOAD_S, "reading the configuration anew")
        self.changer.reload(told)

    def swap(self, name: str, path: str, answer: Answer) -> None:
        """Puts another model in the place of the one of that name: see ``Changer``."""
        self.changer.swap(name, path, answer)

    def _read(self) -> Config:
        """The configuration as its file has it now."""
        if self._process.config is None:
            raise UserError("the configuration came from no file")
        config = load_config(self._process.config)
        for remark in remarks(self._process.config, config):
            self._log.warning("configuration", remark=remark)
        return config

    def _take_over(self, config: Config) -> None:
        """What a reload changes beside models, sources and publishing."""
        self._config = config
        self._asked.change_limit(config.service.stop_timeout_s - HARD_END_MARGIN_S)
        self.desk.set_log(config.log)
        self._next_summary = time.monotonic() + (config.log.summary_s or math.inf)

    # ---- at work --------------------------------------------------------------------------------------------------

    def _sleep_until(self, due: float) -> None:
        """Sleeps until then, or until a signal, a failure, a source's change or end, or a subscriber wakes it."""
        self._wake.wait(due - time.monotonic(), self.outlet.filenos())

    def _loop(self) -> None:
        next_status = time.monotonic()
        self._next_summary = next_status + (self._config.log.summary_s or math.inf)
        while not self._asked.requested.is_set():
            now = time.monotonic()
            self.pipeline.tick(now)
            self.changer.look()
            if self.pipeline.failure is not None:
                self._log.error("giving up", reason=self.pipeline.failure.message)
                return
            if self.pipeline.finished and not self.changer.busy:
                self._log.info("all sources came to their end")
                return
            manager_due = self._answer_manager(now)
            if now >= next_status:
                next_status = now + STATUS_INTERVAL_S
                trouble = f"; {self.changer.trouble}" if self.changer.trouble else ""
                self._notifications.send(STATUS=self.desk.status().line() + trouble)
            if now >= self._next_summary:
                self._next_summary = now + self._config.log.summary_s
                self._log_summary()
            self._sleep_until(min(self.pipeline.due, manager_due, next_status, self._next_summary))

    def _answer_manager(self, now: float) -> float:
        """Signals, and what the service manager is to hear; when this is to be called next."""
        self._answer_signals(now)
        self.desk.look(now)
        self._notifications.flush()
        self._watchdog.tick(now)
        starving = self._watchdog.starving(now)
        if starving and not self._starving:
            self._log.error("the watchdog is not fed: no progress", workers=starving)
        self._starving = starving
        next_answer = self._next_answer if self._asked.others_wait else math.inf
        return min(self._watchdog.due(now), self._notifications.due(now), self.desk.due, next_answer)

    def _answer_signals(self, now: float) -> None:
        """Each kind of signal that asks for no end gets one answer, however many came."""
        if now < self._next_answer or not self._asked.others_wait:
            return
        self._next_answer = now + ANSWER_INTERVAL_S
        for number, count in self._asked.take_others().items():
            if number == signal.SIGHUP:
                self._log.info("SIGHUP: the configuration is read anew", count=count)
                self._reload_asked = True
            elif number == signal.SIGUSR1:
                if self._ready:
                    self._log_summary()
            else:
                self._log.warning("a signal without a meaning here is ignored", signal=_name(number), count=count)
        self._reload_if_asked()

    def _reload_if_asked(self) -> None:
        """By a signal, which may come before there is anything to reload."""
        if self._reload_asked and self._ready:
            self._reload_asked = False
            self.reload(self._note_reload)

    def _note_reload(self, outcome: Mapping[str, Any]) -> None:
        ok = bool(outcome["ok"])
        self.desk.changes.note("reload", "SIGHUP", ok=ok, came_to=str(outcome["done" if ok else "error"]))

    def _log_summary(self) -> None:
        snapshot = self.ledger.snapshot()
        stages = {stage: latency.summary() for stage, latency in snapshot.latencies.items()}
        self._log.info(
            "summary",
            sources=snapshot.sources,
            stages_ms=stages,
            fills=snapshot.fills,
            sinks=snapshot.sinks,
            log_lost=self._process.log_lost(),
            **snapshot.device,
        )

    # ---- the end --------------------------------------------------------------------------------------------------

    def _stop(self) -> None:
        if isinstance(self.pipeline.failure, DeviceLost) and self.pipeline.failure.hung:
            self.pipeline.abandon()
            return
        limit = self._config.service.stop_timeout_s
        reason = self._asked.signal_name or "the end of all sources"
        self._notifications.send(STOPPING=1, EXTEND_TIMEOUT_USEC=int((limit + 1) * 1e6), STATUS=f"stopping: {reason}")
        self._log.info("stopping", reason=reason)
        self.desk.close(f"asked to by {reason}" if self._asked.signal_name else reason)
        self.changer.stop()
        # whatever hangs below, a device call above all, the process ends in time
        self._asked.request()
        without_linger = limit - self.outlet.linger_s - 2 * HARD_END_MARGIN_S
        cleanup_s = max(LEAST_CLEANUP_S, min(limit * CLEANUP_SHARE, without_linger))
        until = time.monotonic() + cleanup_s
        clean = self.pipeline.stop(cleanup_s)
        self._left_behind = not self.changer.join(max(0.0, until - time.monotonic()))
        if self._left_behind:
            self._log.warning("a change is left behind: the device is at work on its model still")
        self._log_summary()
        self._log.info("stopped", clean=clean)

    def _end_if_left_behind(self) -> None:
        """After all messages have left, and before what a call of the device that is under way might hold up."""
        if self._left_behind and self.pipeline.failure is None:
            end_now(self._process.flush, 0)


def _name(number: int) -> str:
    """Of a signal: those of the real-time kind have none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
