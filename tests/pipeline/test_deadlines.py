"""How long a call of the device may take, and that one which takes longer is noticed wherever it is."""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from tests.pipeline.runs import folder_source

from mlu_agent import cnrt
from mlu_agent.cnrt.calls import Calls
from mlu_agent.engine.deadlines import CallWatch, Deadlines

if TYPE_CHECKING:
    from pathlib import Path

    from mlu_agent.cnrt import Library
    from mlu_agent.errors import DeviceLost

INVOKE = "cnrtInvokeRuntimeContext"
SECONDS = 30


def deadlines(*good: float, timeout_s: float = 2.0) -> Deadlines:
    made = Deadlines(timeout_s, 5.0, 0)
    for seconds in good:
        made.note(seconds)
    return made


def test_quick_invocations_have_the_time_that_is_configured():
    """Two seconds by default, however quick they are."""
    assert deadlines(*[0.01] * 100).of(INVOKE) == 2.0
    assert deadlines(*[0.01] * 100, timeout_s=30.0).of(INVOKE) == 30.0


def test_slow_invocations_have_five_times_their_usual_time():
    """Where that is longer than what is configured."""
    assert deadlines(*[1.0] * 100).of(INVOKE) == 5.0


def test_no_invocation_has_more_than_twenty_seconds():
    """Unless the configuration says more."""
    assert deadlines(*[8.0] * 100).of(INVOKE) == 20.0
    assert deadlines(*[8.0] * 100, timeout_s=60.0).of(INVOKE) == 60.0


def test_one_slow_invocation_in_a_hundred_changes_no_deadline():
    """One of 1.9 s, or of an hour, among a hundred quick ones is no reason to wait longer for the next that hangs."""
    for slow in (1.9, 3600.0):
        assert deadlines(*[0.02] * 60, slow, *[0.02] * 60).of(INVOKE) == 2.0


def test_what_an_invocation_took_is_forgotten_after_five_hundred_others():
    """A device that was slow for an hour has the usual deadline again when it is quick."""
    assert deadlines(*[1.0] * 1000, *[0.02] * 494).of(INVOKE) == 5.0
    assert deadlines(*[1.0] * 1000, *[0.02] * 495).of(INVOKE) == 2.0


def test_opening_and_loading_have_a_deadline_of_their_own():
    """A second more for every 20 MB of the model's file; the first invocation has it too, as nothing is known of it."""
    made = Deadlines(2.0, 5.0, 40_000_000)
    assert {made.of(name) for name in ("cnrtInit", "cnrtLoadModel", "cnrtMalloc", "cnrtDestroyQueue", INVOKE)} == {7.0}
    made.note(0.02)
    assert (made.of("cnrtLoadModel"), made.of(INVOKE)) == (7.0, 2.0)


class Watched:
    """A watch over one thread's place, on a clock that is moved by hand; looks five times a second."""

    def __init__(self) -> None:
        self.calls = Calls()
        self.now = 1000.0
        self.here = self.calls.here()
        self.watch = CallWatch(self.calls, deadlines(0.02), lambda _lost: None, self.now)

    def enter(self, name: str) -> None:
        self.here.since, self.here.name = self.now, name

    def leave(self) -> None:
        self.here.name = ""

    def look_for(self, seconds: float) -> DeviceLost | None:
        for _ in range(round(seconds / 0.2)):
            self.now += 0.2
            lost = self.watch.look(self.now)
            if lost is not None:
                return lost
        return None


@pytest.mark.parametrize("name, limit", [(INVOKE, 2.0), ("cnrtMemcpy", 2.0), ("cnrtInit", 5.0)])
def test_a_call_that_takes_too_long_is_told_by_its_name(name: str, limit: float):
    """Not before its deadline, and within half a second after it; whoever waits for it is told not to."""
    watched = Watched()
    watched.enter(name)
    assert watched.look_for(limit - 0.2) is None
    lost = watched.look_for(1.0)
    assert lost is not None
    assert lost.hung
    option = "device_start_timeout_s" if name == "cnrtInit" else "device_timeout_s"
    assert lost.message == (
        f"the device hangs: {name} has not returned for more than {limit:.1f} s; "
        f"if it is only slow, raise service.{option}"
    )
    assert watched.now - 1000.0 < limit + 0.5


def test_every_call_has_its_own_age():
    """A thread that is always inside the library, in one short call after another, does not hang."""
    watched = Watched()
    for _ in range(20):
        watched.enter(INVOKE)
        assert watched.look_for(1.0) is None
        watched.leave()


def test_time_in_which_the_process_stood_still_makes_no_call_older():
    """After SIGSTOP and SIGCONT, or a night of the box, a call has nearly all of its time left."""
    watched = Watched()
    watched.enter(INVOKE)
    assert watched.look_for(0.6) is None
    watched.now += 3600.0
    assert watched.look_for(0.6) is None
    assert watched.look_for(2.0) is not None


def test_each_thread_is_watched_and_forgotten_with_its_end():
    """However many threads come and go, as many places are kept as threads are alive."""
    calls = Calls()
    for _ in range(50):
        thread = threading.Thread(target=calls.here)
        thread.start()
        thread.join()
    calls.here()
    assert len(calls._all) == 1


class Stuck:
    """A function of the library that does not return until it is let go."""

    def __init__(self, library: Library, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.entered, self.release = threading.Event(), threading.Event()
        original = library.function

        def stuck(*arguments: Any) -> Any:
            self.entered.set()
            self.release.wait(SECONDS)
            return original(name)(*arguments)

        monkeypatch.setattr(library, "function", lambda asked: stuck if asked == name else original(asked))


@pytest.mark.parametrize("name", ["cnrtInvokeRuntimeContext", "cnrtMemcpy", "cnrtPlaceNotifier", "cnrtSyncQueue"])
def test_a_hang_in_any_thread_is_seen_and_is_no_progress(
    make, library: Library, model_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    """While submitting or collecting: no progress, not idle (so no watchdog); its end waits for nothing and adds up."""
    pipeline = make(model_path, folder_source(pictures))
    stuck = Stuck(library, name, monkeypatch)
    pipeline.start()
    assert stuck.entered.wait(SECONDS)
    now = time.monotonic()
    pipeline.tick(now)
    assert pipeline.failure is None
    worker = pipeline.workers()[0]
    assert (worker.progress, worker.idle) == (0, False)
    watch = CallWatch(library.calls, deadlines(0.02), pipeline.give_up, now)
    while (lost := watch.look(now := now + 0.2)) is None:
        assert now < time.monotonic() + SECONDS
        time.sleep(0.02)  # whoever is in there for a moment is out again by the next look
    assert name in lost.message
    pipeline.abandon()
    for served in pipeline.models:
        served.engine.close()
    counters = pipeline.ledger.source("folder").counters()
    assert counters["failed"] >= 1
    assert counters["frames_read"] == counters["failed"] + counters["dropped"] + counters["in_flight"]
    stuck.release.set()
    for served in pipeline.models:  # it did come back, unlike a device that hangs
        served.engine._abandoned = False
    pipeline.stop(0.5)


@pytest.mark.parametrize("told", [math.nan, -1.0, 1e9])
def test_a_device_time_that_cannot_be_is_counted_and_not_used(
    make, model_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch, told: float
):
    """Neither NaN, nor negative, nor longer than the host waited; the host's own measure stands in for it."""
    pipeline = make(model_path, folder_source(pictures))
    monkeypatch.setattr(cnrt.Notifier, "microseconds_since", lambda _self, _start: told)
    sent: list[dict[str, Any]] = []
    pipeline._outlet.send = lambda _topic, message: sent.append(message)
    pipeline.start()
    end = time.monotonic() + SECONDS
    while pipeline.ledger.snapshot().device.get("device_wrong_time", 0) < 30 and time.monotonic() < end:
        time.sleep(0.005)
    pipeline.stop(10)
    assert pipeline.ledger.snapshot().device == {"device_wrong_time": 30}
    frames = [message for message in sent if message["kind"] == "frame"]
    assert len(frames) == 30
    assert all(0 <= message["latency_ms"]["device"] < 1000 * SECONDS for message in frames)
    assert len([event for event, _ in pipeline._log.calls if "times that cannot be" in event]) == 1
