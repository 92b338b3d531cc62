"""What is done when the device fails: the same again, then more and more made anew, then the end of the process.

    retry    the same invocation once more: what was wrong may have passed
    renew    contexts, queues and buffers made anew
    reopen   device and model closed and opened again
    (end)    DeviceLost: the process ends with 3, and the service manager starts it again

Every step is counted and said. Nothing that was in flight is lost, unless the last step fails.

The ladder forgives: a failure begins at its foot again as soon as one invocation needed no help, or CALM_S after the
last recovery. Without either the step that was taken has not helped, and the next one above it is taken. So a device
that fails now and then is mended for ever, and one that fails every invocation comes to the end with the fourth at the
latest.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Callable

from ..errors import DeviceLost, RuntimeFailure
from .health import LOST, OK, RECOVERING, SUSPECT, Health

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..ledger import ModelAccount
    from .engine import Engine
    from .golden import GoldenTest
    from .slot import Slot

CALM_S = 60.0


class Recovery:
    """The ladder of one engine; called as ``Engine.collect`` wants it, by the collecting thread alone.

    ``account``: where each step is counted. ``golden``: what a step has to pass to have helped. ``failures``: how
    many invocations failed so far. ``lost``: what ended it, None so far; from then on every failure is final.
    """

    def __init__(
        self,
        engine: Engine,
        account: ModelAccount,
        log: Any,
        calm_s: float = CALM_S,
        golden: GoldenTest | None = None,
    ) -> None:
        self._steps: dict[str, Callable[[Slot], None]] = {
            "retry": engine.again,
            "renew": engine.renew,
            "reopen": engine.reopen,
        }
        self._log = log
        self._calm_s = calm_s
        self._helped = -1
        self._helped_at = 0.0
        self._works = True
        self._account = account
        self._golden = golden
        self._health = Health()
        self.failures = 0
        self.lost: DeviceLost | None = None

    def __call__(self, slot: Slot, error: RuntimeFailure, lanes: Sequence[int] | None = None) -> None:
        """Returns when the slot is finished; raises DeviceLost when nothing helped. ``lanes``: those of which one
        failed, None for the slot's."""
        if self.lost is not None:
            raise self.lost
        self.failures += 1
        cause = error.message
        forgiven = self._works or time.monotonic() - self._helped_at >= self._calm_s
        first = 0 if forgiven else self._helped + 1
        for number, name in enumerate(self._steps):
            if number < first:
                continue
            count = self._account.count(name)
            self._become(RECOVERING, error.message)
            self._log.warning("the device failed", reason=error.message, step=name, count=count)
            try:
                self._steps[name](slot)
                if self._golden is not None:  # what was made anew, all of it
                    self._golden.check((lanes or [slot.lane]) if name == "retry" else None)
            except RuntimeFailure as failure:
                error = failure
                continue
            self._helped, self._helped_at, self._works = number, time.monotonic(), False
            self._become(SUSPECT, cause)
            self._log.warning("the device works again", step=name)
            return
        taken = ", ".join(f"{name} {count}" for name, count in self._account.steps().items() if count)
        self.lost = DeviceLost(
            f"the device failed and nothing helped ({taken}), the last: {error.message}", error.status
        )
        self._become(LOST, self.lost.message)
        raise self.lost

    def suspect(self, reason: str) -> None:
        """It did wrong without needing a step."""
        self._helped_at = time.monotonic()
        self._become(SUSPECT, reason)

    def health(self) -> Health:
        """How the device is: suspect until ``calm_s`` after the last fault. Any thread may ask."""
        health = self._health
        if health.state == SUSPECT and time.monotonic() - self._helped_at >= self._calm_s:
            self._health = health = Health(OK, health.reason)
        return health

    def _become(self, state: str, reason: str) -> None:
        since_ns = self._health.since_ns if self._health.state == state else time.time_ns()
        self._health = Health(state, reason, since_ns)

    def worked(self) -> None:
        """An invocation ended well and needed no help: what was done the last time has helped."""
        self._works = True

    def wrong_time(self) -> None:
        """The device told a time that cannot be; it is said once."""
        if self._account.count("wrong_time") == 1:
            self._log.warning("the device tells times that cannot be: the host's are used instead, and it is counted")
