"""`mlu-agent run`: the daemon."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Any

from .. import logs
from ..cnrt import open_library
from ..config import Config, load_config
from ..daemon.pipeline import Pipeline
from ..daemon.service import Notifications, Stopper, Watchdog
from ..engine import Engine
from ..model.bundle import load_detection_bundle
from ..publish.publisher import Publisher
from ..sources import SourceState

if TYPE_CHECKING:
    import argparse

TICK_S = 0.1
STATUS_INTERVAL_S = 5.0
HARD_END_MARGIN_S = 0.2
CLEANUP_SHARE = 0.7  # of the time to stop, at most: for the frames in flight; the rest is for sockets and the device
LEAST_CLEANUP_S = 0.2


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("-c", "--config", required=True, metavar="FILE", help="the configuration (TOML)")
    parser.add_argument(
        "--wait-for-subscriber",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="start the sources when somebody has subscribed, or after so many seconds",
    )


def run(arguments: argparse.Namespace) -> int:
    """Runs until a signal, or until all sources came to their end. 0 after a signal; 2 if all came to their end and one
    of them failed for good; 3 if the device failed."""
    config = load_config(arguments.config)
    logs.configure(config.log.level, config.log.format)
    log = logs.get_logger()
    limit = config.service.stop_timeout_s
    stopper = Stopper(
        limit - HARD_END_MARGIN_S, lambda: log.error("not stopped in time: ending the process", limit_s=limit)
    )
    stopper.install()
    notifications = Notifications()
    try:
        with contextlib.ExitStack() as exits:
            daemon = _Daemon(config, log, stopper, notifications, exits)
            return daemon.serve(arguments.wait_for_subscriber)
    finally:
        notifications.close()
        stopper.close()


class _Daemon:
    """Everything the process holds, made in order and released in the opposite one."""

    def __init__(
        self, config: Config, log: Any, stopper: Stopper, notifications: Notifications, exits: contextlib.ExitStack
    ) -> None:
        self._config = config
        self._log = log
        self._stopper = stopper
        self._notifications = notifications
        notifications.send(STATUS="loading the model")
        spec = load_detection_bundle(config.model.path)
        library = open_library(config.model.runtime)
        spec = spec.on(library.kind)
        say = log.info if library.kind == "device" or config.model.runtime == "simulator" else log.warning
        say("runtime", kind=library.kind, path=library.path, reason=library.reason, version=library.version())
        engine = exits.enter_context(Engine(library, spec.path, cores=config.model.cores))
        log.info(
            "model",
            name=spec.name,
            sha256=spec.sha256,
            device=engine.device.name,
            cores=engine.cores,
            slots=engine.slots,
        )
        # closed before the engine: the exit stack runs backwards
        self._publisher = exits.enter_context(contextlib.closing(Publisher(config.publish, log)))
        self._pipeline = Pipeline(config, spec, engine, self._publisher, log)
        log.info("self-test passed", device_ms=round(self._pipeline.self_test(), 3))
        watched = Notifications(watchdog_usec=None if config.service.watchdog else "0")
        exits.callback(watched.close)
        self._watchdog = Watchdog(watched, lambda: self._pipeline.metrics.progress, lambda: self._pipeline.idle)

    def serve(self, wait_for_subscriber: float) -> int:
        """From READY to the end."""
        self._log.info("ready", endpoint=self._publisher.endpoint, pid=os.getpid())
        self._notifications.send(READY=1, STATUS=f"ready on {self._publisher.endpoint}")
        self._wait_for_subscriber(wait_for_subscriber)
        try:
            if not self._stopper.requested.is_set():
                self._pipeline.start()
                self._loop()
        finally:
            asked = self._stopper.requested.is_set()
            self._stop()
        if self._pipeline.failure is not None:
            raise self._pipeline.failure
        failed = [source for source in self._pipeline.sources if source.status.state is SourceState.FAILED]
        for source in failed:
            counters = self._pipeline.counters(source)
            self._log.error("source failed", source=source.source_id, reason=source.status.reason, **counters)
        # whoever asks for the end gets it: a failed source has been told when it failed, and is told again above
        return 2 if failed and not asked else 0

    def _wait_for_subscriber(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (
            time.monotonic() < deadline and not self._publisher.subscriptions and not self._stopper.requested.is_set()
        ):
            self._publisher.look_for_subscribers()
            self._watchdog.tick()
            time.sleep(TICK_S / 2)

    def _loop(self) -> None:
        next_status = next_summary = time.monotonic()
        while not self._stopper.requested.wait(TICK_S):
            now = time.monotonic()
            self._pipeline.tick(now)
            if self._pipeline.failure is not None:
                self._log.error("giving up", reason=self._pipeline.failure.message)
                return
            if self._pipeline.finished:
                self._log.info("all sources came to their end")
                return
            self._watchdog.tick(now)
            if now >= next_status:
                next_status = now + STATUS_INTERVAL_S
                self._notifications.send(STATUS=self._pipeline.summary())
            if self._config.log.summary_s and now >= next_summary:
                next_summary = now + self._config.log.summary_s
                self._log_summary()

    def _log_summary(self) -> None:
        pipeline = self._pipeline
        counters = {source.source_id: pipeline.counters(source) for source in pipeline.sources}
        self._log.info("summary", sources=counters, stages_ms=pipeline.metrics.stages(), **pipeline.device_counters())

    def _stop(self) -> None:
        limit = self._config.service.stop_timeout_s
        reason = self._stopper.signal_name or "the end of all sources"
        self._notifications.send(STOPPING=1, STATUS=f"stopping: {reason}")
        self._log.info("stopping", reason=reason)
        # whatever hangs below, a device call above all, the process ends in time
        self._stopper.request()
        without_linger = limit - self._config.publish.linger_ms / 1000 - 2 * HARD_END_MARGIN_S
        clean = self._pipeline.stop(max(LEAST_CLEANUP_S, min(limit * CLEANUP_SHARE, without_linger)))
        self._log_summary()
        self._log.info("stopped", clean=clean)
