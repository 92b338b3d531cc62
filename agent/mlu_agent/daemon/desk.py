"""Where a daemon is asked, from its first moment to its last: the control socket, how everything is, what changed."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Callable

from ..config import check_group
from ..version import version
from .control import Control
from .metrics import open_metrics
from .orders import Orders
from .status import SERVING, STARTING, STOPPING, AgentNow, Changes, Recent, Status, take_status

if TYPE_CHECKING:
    import contextlib

    from ..config import Config, LogConfig
    from ..publish.sink import Outlet
    from .pipeline import Pipeline
    from .process import Process


class Desk:
    """One for the life of a daemon. ``look`` whenever it is due, by the main loop; ``status`` by anybody.

    ``orders.reload`` and ``orders.swap`` are the daemon's to set. UserError if the configuration names a group for the
    control socket that this machine does not have, or wants metrics without their extra: only a person can change that.
    """

    def __init__(
        self, config: Config, log: Any, wake: Callable[[], None], exits: contextlib.ExitStack, process: Process
    ) -> None:
        check_group(config.control)
        self.changes = Changes()
        self._box = config.box
        self._process = process
        self._started_ns, self._started = time.time_ns(), time.monotonic()
        self._phase, self._reason = STARTING, ""
        self._pipeline: Pipeline | None = None
        self._outlet: Outlet | None = None
        self._recent = Recent()
        self._version = version()
        self._level = config.log.level
        self._control = Control(config.control, log, wake)
        exits.callback(self._control.close)
        open_metrics(config.metrics, self.status, log, exits)
        self.orders = Orders(self._control, log, self.changes, status=self.status, set_level=self._set_level)

    def waits_for(self, sentence: str) -> None:
        """What the start waits for; "": nothing any more."""
        self._reason = f"waiting: {sentence}" if sentence else ""

    def serves(self, pipeline: Pipeline, outlet: Outlet) -> None:
        """The start is over."""
        self._phase, self._reason = SERVING, ""
        self._pipeline = self.orders.pipeline = pipeline
        self._outlet = outlet

    def look(self, now: float) -> None:
        """Does what was asked for; ``now``: monotonic seconds."""
        if self._pipeline is not None:
            self._recent.look(now, self._pipeline.sources.values())
        self.orders.look(now)

    @property
    def due(self) -> float:
        """When ``look`` is to be called next, unless the control socket wakes the main loop before."""
        return self.orders.due

    def close(self, reason: str) -> None:
        """The end begins: nobody is heard any more, and who waits is told so."""
        self._phase, self._reason = STOPPING, reason
        self._control.close()

    def status(self) -> Status:
        """How everything is now."""
        return take_status(self._agent(), self._pipeline, self._outlet, self._recent, self.changes)

    def set_log(self, log: LogConfig) -> None:
        """A reload's log."""
        self._process.set_log(log)
        self._level = log.level

    def _set_level(self, level: str) -> None:
        self._process.set_level(level)
        self._level = level

    def _agent(self) -> AgentNow:
        pipeline, outlet, config = self._pipeline, self._outlet, self._process.config
        return AgentNow(
            version=self._version,
            box=self._box,
            boot_id="" if pipeline is None else pipeline.boot_id,
            pid=os.getpid(),
            started_ns=self._started_ns,
            uptime_s=round(time.monotonic() - self._started, 3),
            config="" if config is None else str(config),
            endpoint="" if outlet is None else outlet.endpoint,
            runtime="" if pipeline is None else pipeline.models.main.info.runtime,
            phase=self._phase,
            reason=self._reason,
            log_level=self._level,
            log_lost=self._process.log_lost(),
        )
