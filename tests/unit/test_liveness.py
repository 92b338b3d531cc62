"""Whether frames arrive, and when an attempt in vain is worth a line: told what time it is."""

from __future__ import annotations

import random
from types import SimpleNamespace

import pytest

from mlu_agent.sources import liveness as module
from mlu_agent.sources.base import Reason
from mlu_agent.sources.liveness import Liveness
from mlu_agent.sources.retry import Backoff, Reminders

STALL_S = 2.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What time calls begin at."""
    now = SimpleNamespace(s=100.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now.s))
    return now


def camera() -> Liveness:
    alive = Liveness(remote=True, longest_s=5.0)
    alive.opened(100.0)
    return alive


def code(alive: Liveness, now: float) -> Reason | None:
    silence = alive.silence(now, STALL_S)
    return silence.code if silence else None


def test_a_camera_is_silent_when_no_frame_arrived_for_so_long():
    """From the end of opening, then from its last frame on; not while it is closed."""
    alive = camera()
    assert [code(alive, now) for now in (102.0, 102.1)] == [None, Reason.SILENT]
    alive.frame(102.5, 102.5, STALL_S)
    assert [code(alive, now) for now in (104.5, 104.6)] == [None, Reason.SILENT]
    alive.closed()
    assert code(alive, 1000.0) is None


def test_what_a_decoder_gives_back_of_a_dead_stream_is_no_sign_of_life():
    """Frames that arrived long ago, however many, leave the camera silent."""
    alive = camera()
    alive.frame(100.1, 100.1, STALL_S)
    rows = [alive.frame(100.2 + number / 25, 105.0, STALL_S) for number in range(5)]
    assert rows == [False] * 5
    assert code(alive, 105.0) is Reason.SILENT


def test_two_frames_in_a_row_are_needed_after_trouble():
    """A single late frame, and another one after the next silence, are none."""
    alive = camera()
    assert [alive.frame(now, now, STALL_S) for now in (110.0, 115.0, 120.0)] == [False] * 3
    assert alive.frame(120.04, 120.04, STALL_S)
    alive.opened(130.0)
    assert not alive.frame(133.0, 133.0, STALL_S)


def test_a_file_may_wait_for_room_between_its_frames():
    """Only the time inside of a call counts: a consumer of one frame a minute does not stall it."""
    alive = Liveness(remote=False, longest_s=5.0)
    alive.opened(100.0)
    assert [alive.frame(now, now, STALL_S) for now in (100.0, 160.0)] == [False, True]
    assert code(alive, 1000.0) is None


@pytest.mark.parametrize(
    "remote, longest_s, limit",
    [(False, 5.0, 2.0), (True, 5.0, 7.0), (True, 20.0, 22.0), (True, 0.5, 4.0)],
)
def test_a_call_that_does_not_return_is_stuck(clock, remote, longest_s, limit):
    """A file's after the stall limit; a camera's 2 s after the deadlines that it has itself."""
    alive = Liveness(remote=remote, longest_s=longest_s)
    with alive.inside("reading it"):
        assert [code(alive, 100.0 + limit + more) for more in (0.0, 0.1)] == [None, Reason.STUCK]
        assert alive.due(101.0, STALL_S, None) == pytest.approx(100.0 + limit)
        # told already: looked at again, but not at once
        assert alive.due(200.0, STALL_S, Reason.STUCK) > 201.0
    assert code(alive, 1000.0) is None


def test_only_what_delivered_before_and_hangs_for_long_asks_for_another_process(clock):
    """30 s beyond the limit. What has hung from the start would hang in the next process as well, for ever."""
    alive = Liveness(remote=False, longest_s=5.0)
    with alive.inside("reading it"):
        assert not alive.hung(10_000.0, STALL_S)
    alive.frame(100.0, 100.0, STALL_S)
    with alive.inside("reading it"):
        assert [alive.hung(132.0 + more, STALL_S) for more in (0.0, 0.1)] == [False, True]
    assert not alive.hung(10_000.0, STALL_S)


def test_whoever_sleeps_until_it_is_due_sees_a_call_that_begins_meanwhile(clock):
    """Without any frame to come the next look is one limit away, not never."""
    alive = Liveness(remote=False, longest_s=5.0)
    assert alive.due(500.0, STALL_S, None) == 502.0
    assert camera().due(100.5, STALL_S, None) == 102.0
    assert camera().due(103.0, STALL_S, Reason.SILENT) == 110.0


def test_an_input_that_asks_for_patience_gets_it():
    """A camera that refuses the password is not asked again before the time it is due, whatever was spent."""
    backoff = Backoff(0.5, 3.0, random.Random(1))
    assert all(240 <= backoff.next(5.0, at_least=300.0) <= 360 for _ in range(20))


def test_a_failure_is_said_once_and_then_less_and_less_often():
    """At once, then after 1, 2, 4, 8, 16, 32 and every 60 minutes; each one is counted, numbers make no new kind."""
    reminders = Reminders()
    said = []
    for number in range(4 * 3600):
        count, worth = reminders.count(f"no answer for {number} s", float(number))
        assert count == number + 1
        if worth:
            said.append(number / 60)
    assert said == [0, 1, 3, 7, 15, 31, 63, 123, 183]


def test_a_failure_of_another_kind_is_news_and_so_is_one_after_all_was_well():
    """Two that take turns are said once each."""
    reminders = Reminders()
    said = [reminders.count(kind, float(now))[1] for now, kind in enumerate(["refused", "no route"] * 5)]
    assert said == [True, True] + [False] * 8
    reminders.forget()
    assert reminders.count("refused", 20.0) == (1, True)


def test_kinds_of_failures_are_bounded():
    """A camera that says something else each time costs no memory."""
    reminders = Reminders()
    for number in range(10_000):
        reminders.count("x" * (number % 500), float(number))
    assert len(reminders._kinds) <= 32
