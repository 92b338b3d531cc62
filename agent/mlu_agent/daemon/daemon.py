"""The daemon: everything that a process holds, from the model to the last message."""

from __future__ import annotations

import contextlib
import math
import os
import time
from typing import TYPE_CHECKING, Any

from ..errors import DeviceLost
from ..ledger import Ledger
from ..publish.sink import Outlet
from ..publish.sinks import open_sinks
from ..sources import SourceState
from .hangs import Hangs, end_now
from .models import Models, put_into_service
from .pipeline import Pipeline
from .service import Notifications, Stopper, Watchdog
from .wake import Wake

if TYPE_CHECKING:
    from ..config import Config

STATUS_INTERVAL_S = 5.0
HARD_END_MARGIN_S = 0.2
CLEANUP_SHARE = 0.7  # of the time to stop, at most: for the frames in flight; the rest is for sockets and the device
LEAST_CLEANUP_S = 0.2


def serve(config: Config, log: Any, *, wait_for_subscriber_s: float = 0.0) -> int:
    """Runs until a signal, or until all sources came to their end; main thread only.

    0 after a signal; 2 if all came to their end and one of them failed for good. Raises what ``Daemon`` raises.
    """
    limit = config.service.stop_timeout_s
    wake = Wake()
    stopper = Stopper(
        limit - HARD_END_MARGIN_S,
        lambda: log.error("not stopped in time: ending the process", limit_s=limit),
        wake.set,
    )
    stopper.install()
    notifications = Notifications()
    try:
        with contextlib.ExitStack() as exits:
            daemon = Daemon(config, log, stopper, notifications, wake, exits)
            return daemon.serve(wait_for_subscriber_s)
    except DeviceLost as lost:
        if lost.hung:
            end_now()
        raise
    finally:
        notifications.close()
        stopper.close()
        wake.close()


class Daemon:
    """Models, sinks and pipeline, made in order and released by ``exits`` in the opposite one.

    Raises UserError, DataError and RuntimeFailure: what keeps a configuration from running, and from ``serve``
    what ended it.
    """

    def __init__(
        self,
        config: Config,
        log: Any,
        stopper: Stopper,
        notifications: Notifications,
        wake: Wake,
        exits: contextlib.ExitStack,
    ) -> None:
        self._config = config
        self._log = log
        self._stopper = stopper
        self._notifications = notifications
        self._wake = wake
        self.ledger = Ledger()
        notifications.send(STATUS="loading the model")
        self._hangs = Hangs(log, notifications)
        self.models = Models(put_into_service(config, self.ledger, log, exits, self._hangs))
        # closed before the engine: the exit stack runs backwards
        self.outlet = Outlet(open_sinks(config.publish, self.ledger, log, wake.set, exits), self.ledger, log)
        self.endpoint = self.outlet.endpoint
        self.pipeline = Pipeline(config, self.models, self.outlet, self.ledger, log, wake.set)
        for served in self.models:
            log.info("self-test passed", device_ms=round(served.self_test(), 3))
        watched = Notifications(watchdog_usec=None if config.service.watchdog else "0")
        exits.callback(watched.close)
        self._watchdog = Watchdog(watched, lambda: self.ledger.progress, lambda: self.pipeline.idle)

    def serve(self, wait_for_subscriber_s: float) -> int:
        """From READY to the end."""
        self._log.info("ready", endpoint=self.endpoint, pid=os.getpid())
        self._notifications.send(READY=1, STATUS=f"ready on {self.endpoint}")
        self._wait_for_subscriber(wait_for_subscriber_s)
        try:
            if not self._stopper.requested.is_set():
                self._hangs.serving = self.pipeline
                self.pipeline.start()
                self._loop()
        finally:
            asked = self._stopper.requested.is_set()
            self._stop()
        if self.pipeline.failure is not None:
            raise self.pipeline.failure
        failed = [source for source in self.pipeline.sources.values() if source.status.state is SourceState.FAILED]
        for source in failed:
            counters = source.account.counters()
            self._log.error("source failed", source=source.source_id, reason=source.status.reason, **counters)
        # whoever asks for the end gets it: a failed source has been told when it failed, and is told again above
        return 2 if failed and not asked else 0

    def _wait_for_subscriber(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (
            (now := time.monotonic()) < deadline
            and not self._stopper.requested.is_set()
            and not self.outlet.look_for_subscribers()
        ):
            self._watchdog.tick(now)
            self._sleep_until(min(deadline, self._watchdog.due(now)))

    def _sleep_until(self, due: float) -> None:
        """Sleeps until then, or until a signal, a failure, a source's change or end, or a subscriber wakes it."""
        self._wake.wait(due - time.monotonic(), [sink.fileno() for sink in self.outlet.sinks])

    def _loop(self) -> None:
        next_status = next_summary = time.monotonic()
        while not self._stopper.requested.is_set():
            now = time.monotonic()
            self.pipeline.tick(now)
            if self.pipeline.failure is not None:
                self._log.error("giving up", reason=self.pipeline.failure.message)
                return
            if self.pipeline.finished:
                self._log.info("all sources came to their end")
                return
            self._watchdog.tick(now)
            if now >= next_status:
                next_status = now + STATUS_INTERVAL_S
                self._notifications.send(STATUS=self.pipeline.summary())
            if now >= next_summary:
                next_summary = now + (self._config.log.summary_s or math.inf)
                if self._config.log.summary_s:
                    self._log_summary()
            self._sleep_until(min(self.pipeline.due, self._watchdog.due(now), next_status, next_summary))

    def _log_summary(self) -> None:
        snapshot = self.ledger.snapshot()
        stages = {stage: latency.summary() for stage, latency in snapshot.latencies.items()}
        self._log.info("summary", sources=snapshot.sources, stages_ms=stages, **snapshot.device)

    def _stop(self) -> None:
        if isinstance(self.pipeline.failure, DeviceLost) and self.pipeline.failure.hung:
            self.pipeline.abandon()
            return
        limit = self._config.service.stop_timeout_s
        reason = self._stopper.signal_name or "the end of all sources"
        self._notifications.send(STOPPING=1, STATUS=f"stopping: {reason}")
        self._log.info("stopping", reason=reason)
        # whatever hangs below, a device call above all, the process ends in time
        self._stopper.request()
        without_linger = limit - self.outlet.linger_s - 2 * HARD_END_MARGIN_S
        clean = self.pipeline.stop(max(LEAST_CLEANUP_S, min(limit * CLEANUP_SHARE, without_linger)))
        self._log_summary()
        self._log.info("stopped", clean=clean)
