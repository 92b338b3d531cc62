"""What the daemon's loop sleeps on: everything that it must not miss ends its sleep."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
import zmq

from mlu_agent import cnrt
from mlu_agent.config import PublishConfig, SourceConfig
from mlu_agent.daemon.service import Notifications, Watchdog, Worker
from mlu_agent.daemon.wake import Wake
from mlu_agent.errors import RuntimeFailure
from mlu_agent.ledger import SinkAccount
from mlu_agent.publish.publisher import NEWS_EVERY_S, Publisher

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlu_agent.daemon.pipeline import Pipeline

SECONDS = 30  # for what takes milliseconds; only a broken tree waits for so long
FOR_EVER = 10 * SECONDS


class Quiet:
    """A logger that says nothing."""

    def __getattr__(self, level: str) -> Any:
        return lambda event, **fields: None


@pytest.fixture
def wake() -> Iterator[Wake]:
    """One to sleep on."""
    made = Wake()
    yield made
    made.close()


@pytest.fixture
def publisher(tmp_path: Path, wake: Wake) -> Iterator[Publisher]:
    """The agent's socket, on a file; it wakes."""
    made = Publisher(PublishConfig(f"ipc://{tmp_path}/out.sock"), SinkAccount(), Quiet(), wake.set)
    yield made
    made.close()


@pytest.fixture
def asleep():
    """A function that runs another in a thread and gives a function which says whether that has ended."""
    threads = []

    def run(work: Any) -> Any:
        thread = threading.Thread(target=work, daemon=True)
        threads.append(thread)
        thread.start()

        def ended() -> bool:
            thread.join(SECONDS)
            return not thread.is_alive()

        return ended

    yield run
    assert not any(thread.is_alive() for thread in threads)


def test_it_wakes_whoever_sleeps_and_whoever_is_about_to(wake: Wake, asleep):
    """A call that comes before the sleep is not lost, and many are one."""
    ended = asleep(lambda: wake.wait(FOR_EVER))
    wake.set()
    assert ended()
    for _ in range(10_000):  # more than the buffer holds
        wake.set()
    assert asleep(lambda: wake.wait(FOR_EVER))()
    wake.wait(0.0)
    wake.wait(-math.inf)


def test_a_signals_handler_wakes(wake: Wake):
    """The handler runs in the very thread that sleeps."""
    previous = signal.signal(signal.SIGUSR1, lambda *_: wake.set())
    timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))
    timer.start()
    begin = time.monotonic()
    wake.wait(FOR_EVER)
    signal.signal(signal.SIGUSR1, previous)
    timer.join()
    assert time.monotonic() - begin < FOR_EVER


def test_a_subscriber_wakes_although_nothing_is_sent(wake: Wake, publisher: Publisher, asleep):
    """Whoever comes to silent cameras gets their states at once."""

    def until_somebody_came() -> None:
        while not publisher.look_for_subscribers():
            wake.wait(FOR_EVER, [publisher.fileno()])

    ended = asleep(until_somebody_came)
    with zmq.Context() as context, context.socket(zmq.SUB) as socket:
        socket.subscribe("")
        socket.connect(publisher.endpoint)
        assert ended()


def test_many_who_come_at_once_are_told_of_now_and_then(publisher: Publisher):
    """Each time the last states are sent again, to everybody: who comes and goes all the time must not cost that."""
    told = []
    with zmq.Context() as context, context.socket(zmq.SUB) as socket:
        socket.connect(publisher.endpoint)
        begin = time.monotonic()
        for number in range(200):
            socket.subscribe(str(number))
            time.sleep(0.001)
            told.append(publisher.look_for_subscribers())
        took = time.monotonic() - begin
    assert 1 <= sum(told) <= took / NEWS_EVERY_S + 2


def run_when_woken(pipeline: Pipeline, woken: threading.Event) -> None:
    """A loop that has no clock: it looks only when it was woken."""
    pipeline.start()
    while not pipeline.finished and pipeline.failure is None:
        assert woken.wait(SECONDS), "nothing woke the loop"
        woken.clear()
        pipeline.tick(time.monotonic())
    assert pipeline.stop(SECONDS)


def test_the_end_of_each_source_wakes(make, model_path: Path, pictures: Path):
    """When the last frame has left after the source ended, or the source ended after its last frame had left, or it
    never had a frame."""
    woken = threading.Event()
    names = ("a", "b", "c")
    sources = [SourceConfig(name, "path", str(pictures)) for name in names]
    broken = pictures.parent / "none.mp4"
    broken.write_text("no video")
    pipeline = make(model_path, *sources, SourceConfig("none", "path", str(broken)), wake=woken.set)
    run_when_woken(pipeline, woken)
    assert pipeline.failure is None
    published = {name: counters["published"] for name, counters in pipeline.ledger.snapshot().sources.items()}
    assert published == {"a": 30, "b": 30, "c": 30, "none": 0}


def test_a_failure_of_the_device_wakes(make, model_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch):
    """Whatever else is due later."""

    def fail(_self: object) -> None:
        raise RuntimeFailure("injected")

    woken = threading.Event()
    pipeline = make(model_path, SourceConfig("a", "path", str(pictures), loop=True), wake=woken.set)
    monkeypatch.setattr(cnrt.Notifier, "wait", fail)
    run_when_woken(pipeline, woken)
    assert isinstance(pipeline.failure, RuntimeFailure)


def test_the_watchdog_says_when_it_is_to_be_looked_at():
    """After a meal at the next one; while nothing is done that could feed it, soon again; never if nobody asks."""
    progress = [1]
    dog = Watchdog(Notifications("", "8000000"), lambda: [Worker("line", progress[0], idle=False)])
    assert dog.tick(100.0)
    assert dog.due(100.0) == 102.0
    assert not dog.tick(102.0)
    assert 102.0 < dog.due(102.0) <= 103.0
    assert Watchdog(Notifications("", "0"), list).due(100.0) == math.inf
