"""Runs checks side by side, each with a deadline: one that hangs is a finding, and keeps nobody waiting."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable

from ..errors import MluAgentError
from .finding import Finding, trouble

if TYPE_CHECKING:
    from collections.abc import Sequence

USUAL_S = 5.0


@dataclass(frozen=True)
class Check:
    """One look: ``look()`` gives its findings, within ``deadline_s`` seconds or never. ``late``: what is told then, if
    that is more than that it hangs."""

    area: str
    look: Callable[[], Sequence[Finding]]
    deadline_s: float = USUAL_S
    late: Finding | None = None


class _Running:
    """A check in a thread of its own."""

    def __init__(self, check: Check) -> None:
        self.check = check
        self.findings: Sequence[Finding] | None = None
        self._thread = threading.Thread(target=self._work, name=f"check-{check.area}", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        try:
            self.findings = self.check.look()
        except Exception as error:  # one look that fails must not end the others
            self.findings = [failed(self.check.area, error)]

    def result(self, since: float) -> Sequence[Finding]:
        self._thread.join(max(0.0, since + self.check.deadline_s - time.monotonic()))
        return self.findings if self.findings is not None else [self.check.late or hung(self.check)]

    @property
    def over(self) -> bool:
        return not self._thread.is_alive()


def failed(area: str, error: Exception) -> Finding:
    """What a look that broke off is told as."""
    told = error.message if isinstance(error, MluAgentError) else f"{type(error).__name__}: {error}"
    return trouble(area, "look-failed", f"could not be looked at: {told}", "mend that, and run doctor again")


def hung(check: Check) -> Finding:
    """What a look that does not come back is told as."""
    return trouble(
        check.area,
        "look-hangs",
        f"did not answer within {check.deadline_s:g} s",
        "a disk, a network's file system, a driver or a device hangs: `dmesg` tells of it; mend or restart that",
    )


def run(checks: Sequence[Check]) -> tuple[list[Finding], bool]:
    """The findings of all checks in their order, each once; and whether every check is over."""
    start = time.monotonic()
    running = [_Running(check) for check in checks]
    findings = list(dict.fromkeys(finding for one in running for finding in one.result(start)))
    return findings, all(one.over for one in running)
