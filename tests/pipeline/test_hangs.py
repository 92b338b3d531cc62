"""The end of a process whose device hangs waits neither for the device nor for who reads the log."""

from __future__ import annotations

import sys
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from mlu_agent.daemon.hangs import Hangs
from mlu_agent.daemon.service import Notifications
from mlu_agent.errors import DeviceLost

LOST = DeviceLost("the device hangs", hung=True)


class Ended(BaseException):
    """The process would be gone."""


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Ends are exceptions here, and what is waited for the main loop is written down."""
    waits: list[float] = []

    def end(code: int) -> None:
        raise Ended(code)

    module = sys.modules[Hangs.__module__]
    monkeypatch.setattr(module, "os", SimpleNamespace(_exit=end))
    monkeypatch.setattr(module, "time", SimpleNamespace(sleep=waits.append))
    return waits


class Log:
    """Somebody reads it, or nobody does any more."""

    def __init__(self, *, read: bool) -> None:
        self._read = read
        self.said: list[str] = []

    def error(self, _event: str, reason: str) -> None:
        if not self._read:
            threading.Event().wait()
        self.said.append(reason)


def test_a_hang_at_start_ends_the_process_at_once_with_3(slept: list[float]):
    """The main thread may be the one that hangs: nobody else would say it or end it."""
    log = Log(read=True)
    with pytest.raises(Ended) as ended:
        Hangs(log, Notifications("", ""))(LOST)
    assert ended.value.args == (3,)
    assert (log.said, slept) == (["the device hangs"], [])


def test_a_main_loop_that_does_not_end_a_hung_daemon_is_not_waited_for(slept: list[float]):
    """It has a second and a half to tell the subscribers why."""
    given_up: list[Any] = []
    hangs = Hangs(Log(read=True), Notifications("", ""))
    hangs.serving = SimpleNamespace(give_up=given_up.append)  # type: ignore[assignment]
    with pytest.raises(Ended) as ended:
        hangs(LOST)
    assert ended.value.args == (3,)
    assert (given_up, slept) == ([LOST], [1.5])


def test_a_log_that_nobody_reads_keeps_no_hung_daemon_alive(slept: list[float]):
    """The line is lost, the end is not."""
    start = time.monotonic()
    with pytest.raises(Ended):
        Hangs(Log(read=False), Notifications("", ""))(LOST)
    assert slept == []
    assert time.monotonic() - start < 30
