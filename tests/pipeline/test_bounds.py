"""How much and how long: the numbers that decide when a source is silent, a device lost and a subscriber refused.

What happens then is tested beside each object; here a number that is ten times what was promised fails. Clocks are
handed in, sockets and the simulator are real.
"""

from __future__ import annotations

import dataclasses
import math
import sys
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zmq
from zmq.utils.monitor import recv_monitor_message

from mlu_agent import cnrt
from mlu_agent.config import PublishConfig, SourceConfig
from mlu_agent.daemon.service import Notifications, Watchdog
from mlu_agent.engine import Engine
from mlu_agent.engine.recovery import Recovery
from mlu_agent.errors import RuntimeFailure
from mlu_agent.ledger import Ledger, SinkAccount, SourceAccount
from mlu_agent.publish.publisher import Publisher
from mlu_agent.sources import Capture, Exchange, Grab, Source, SourceState
from mlu_agent.sources.rate import Rate
from mlu_client import codec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlu_agent.cnrt import Library

SECONDS = 30  # for what takes milliseconds; only a broken tree waits for so long


class Quiet:
    """A logger that says nothing."""

    def __getattr__(self, level: str) -> Any:
        return lambda event, **fields: None


def wait_until(condition: Any) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.001)


# ---- sources --------------------------------------------------------------------------------------------------------


class OneFrame(Capture):
    """A camera that sends a frame every 40 s, of which the first has come."""

    remote = True

    def __init__(self) -> None:
        self.ended = threading.Event()
        self._sent = False

    @property
    def interval_s(self) -> float:
        return 40.0

    def open(self) -> None:
        pass

    def advance(self) -> bool:
        if self._sent:
            self.ended.wait()
            return False
        self._sent = True
        return True

    def take(self) -> Grab:
        return Grab(np.zeros((4, 4, 3), np.uint8), 0, "arrival", 0, time.monotonic_ns())

    def close(self) -> None:
        pass


def test_a_slow_camera_is_stalled_after_three_of_its_own_intervals():
    """A camera of one frame in 40 s is silent for longer than stall_timeout_s by its nature: 120 s are a stall."""
    exchange: Exchange[Grab] = Exchange()
    capture = OneFrame()
    config = SourceConfig("cam", "url", "rtsp://example/", stall_timeout_s=2.0)
    source = Source(config, capture, exchange.mailbox("cam", live=True), SourceAccount(), lambda _source: None)
    source.start()
    assert exchange.take(SECONDS) is not None
    arrived = time.monotonic()
    source.check_stall(arrived + 80.0)
    assert source.status.state is SourceState.LIVE
    source.check_stall(source.stall_due(arrived) - 0.01)
    assert source.status.state is SourceState.LIVE
    source.check_stall(arrived + 120.1)
    assert source.status.state is SourceState.STALLED
    assert source.stall_due(arrived + 120.1) > arrived + 120.2
    capture.ended.set()
    assert source.join(SECONDS)
    assert source.stall_due(arrived) == math.inf


def passing(rate: Rate, times: list[float]) -> list[float]:
    passed = []
    for now in times:
        if not rate.wait(now):
            rate.passed(now)
            passed.append(now)
    return passed


def test_a_rate_is_kept_although_frames_do_not_come_when_they_are_due():
    """Of a camera's 25 frames a second 20 pass, where a pause of 50 ms from each on would let 12 pass."""
    times = [100.0 + number / 25 for number in range(1000)]
    assert 799 <= len(passing(Rate(20.0), times)) <= 802


def test_a_rate_is_never_made_up_for_in_a_burst():
    """After a minute's silence two frames in a row may pass, and then the pace is the old one."""
    rate = Rate(10.0)
    assert passing(rate, [100.0]) == [100.0]
    burst = [160.0 + number / 1000 for number in range(100)]
    assert len(passing(rate, burst)) == 2
    assert rate.wait(160.1) == pytest.approx(0.0, abs=1e-6)


def test_no_more_than_two_pictures_of_a_file_are_decoded_in_advance():
    """Its reader waits for the third picture's room, with everything else at rest."""
    box = Exchange[int]().mailbox("file", live=False)
    reader = threading.Thread(target=lambda: [box.put(number, threading.Event()) for number in range(20)])
    reader.start()
    wait_until(lambda: len(box) >= 2)
    reader.join(0.1)
    assert (len(box), reader.is_alive()) == (2, True)
    box.clear()
    reader.join(SECONDS)


# ---- the device -----------------------------------------------------------------------------------------------------


def looping(pictures: Path) -> SourceConfig:
    return SourceConfig("folder", "path", str(pictures), loop=True)


def test_a_minute_without_a_failure_is_calm(library: Library, model_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A device that fails again 59 s after it was mended is mended more thoroughly; after 60 s, as the first time."""
    clock = SimpleNamespace(monotonic=lambda: clock.now, time_ns=lambda: 0)
    monkeypatch.setattr(sys.modules[Recovery.__module__], "time", clock)
    account = Ledger().model("small")
    with Engine(library, model_path, cores=1) as engine:
        recovery = Recovery(engine, account, Quiet())
        slot = engine.acquire(SECONDS)
        assert slot is not None
        for clock.now in (1000.0, 1059.0, 1119.5):
            recovery(slot, RuntimeFailure("injected"))
        engine.release(slot)
    assert account.steps() == {"retry": 2, "renew": 1, "reopen": 0}


def test_whoever_sleeps_until_it_is_due_misses_no_stall_and_no_heartbeat(
    make, model_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
):
    """The pipeline is due when the first of its sources and its heartbeat is."""
    pipeline = make(model_path, looping(pictures))
    pipeline.tick(100.0)
    dues = {"stall": math.inf}
    monkeypatch.setattr(Source, "stall_due", lambda _self, _now: dues["stall"])
    assert pipeline.due == 101.0
    dues["stall"] = 100.25
    assert pipeline.due == 100.25


def test_frames_that_the_device_fails_do_not_feed_the_watchdog(
    make, model_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
):
    """A device that fails every frame works as little as one that hangs: the service manager hears nothing."""
    pipeline = make(model_path, SourceConfig("folder", "path", str(pictures)))

    def fail(_self: object) -> None:
        raise RuntimeFailure("injected")

    monkeypatch.setattr(cnrt.Notifier, "wait", fail)
    watchdog = Watchdog(
        Notifications("", "4000000"), lambda: [dataclasses.replace(one, idle=False) for one in pipeline.workers()]
    )
    assert watchdog.tick(100.0)
    pipeline.start()
    wait_until(lambda: pipeline.ledger.snapshot().totals["failed"] >= 10)
    assert not watchdog.tick(200.0)
    pipeline.stop(10)


class Spy:
    """A real library whose calls about queues are written down: (function, handle of each argument)."""

    NAMES = ("cnrtInvokeRuntimeContext", "cnrtPlaceNotifier", "cnrtQueueWaitNotifier")

    def __init__(self, library: Library) -> None:
        self.calls: list[tuple[str, list[Any]]] = []
        self._call = library.call

    def __call__(self, name: str, *arguments: Any) -> None:
        if name in self.NAMES:
            self.calls.append((name, list(arguments)))
        self._call(name, *arguments)

    def invocations(self) -> list[tuple[Any, set[int]]]:
        """Of each invocation its context, and the numbers of the invocations that end before it begins: all earlier
        ones of its queue, and those before a mark that its queue waited for."""
        found: list[tuple[Any, set[int]]] = []
        reached: dict[Any, set[int]] = {}  # queue -> what has ended when it gets to its present end
        marks: dict[Any, set[int]] = {}
        for name, arguments in self.calls:
            if name == "cnrtPlaceNotifier":
                notifier, queue = arguments
                marks[notifier] = set(reached.get(queue, ()))
            elif name == "cnrtQueueWaitNotifier":
                notifier, queue = arguments[:2]
                reached.setdefault(queue, set()).update(marks[notifier])
            else:
                context, queue = arguments[0], arguments[2]
                before = reached.setdefault(queue, set())
                found.append((context, set(before)))
                before.add(len(found) - 1)
        return found


def test_a_context_never_has_two_invocations_at_once(
    library: Library, model_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A device's context has room for one: whichever queues they lie in, each waits for the one before it. Those of
    different contexts do not."""
    spy = Spy(library)
    monkeypatch.setattr(library, "call", spy)
    with Engine(library, model_path, cores=2, slots=3) as engine:
        for _ in range(3):
            slots = [engine.acquire(SECONDS) for _ in range(engine.slots)]
            for slot in slots:
                assert slot is not None
                engine.submit(slot)
            for slot in slots:
                assert engine.collect() is slot
                engine.release(slot)
    invocations = spy.invocations()
    assert len(invocations) == 18
    for context in {context for context, _ in invocations}:
        own = [number for number, (one, _) in enumerate(invocations) if one == context]
        assert len(own) == 9
        for earlier, later in zip(own, own[1:]):
            assert earlier in invocations[later][1]
    assert invocations[1][1] == set()


# ---- subscribers ----------------------------------------------------------------------------------------------------


@pytest.fixture
def publisher(tmp_path: Path) -> Iterator[Publisher]:
    """The agent's socket, on a file."""
    made = Publisher(PublishConfig(f"ipc://{tmp_path}/out.sock"), SinkAccount(), Quiet())
    yield made
    made.close()


@pytest.fixture
def subscribe() -> Iterator[Any]:
    """A function from an endpoint and topics to a plain SUB socket."""
    context = zmq.Context()
    sockets = []

    def connect(endpoint: str, *topics: str) -> zmq.Socket[bytes]:
        socket = context.socket(zmq.SUB)
        sockets.append(socket)
        for topic in topics:
            socket.subscribe(topic)
        socket.connect(endpoint)
        return socket

    yield connect
    for socket in sockets:
        socket.close(linger=0)
    context.destroy(linger=0)


def arrives(socket: zmq.Socket[bytes], send: Any) -> bytes:
    """The first message that the socket receives while ``send`` is called again and again."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        send()
        if socket.poll(5):
            return socket.recv()
    raise AssertionError("no message arrived")


def test_every_subscription_is_heard_of_also_the_second_of_a_topic(publisher: Publisher, subscribe):
    """Otherwise whoever comes second would wait for the next change to learn the states."""
    for _ in range(3):
        subscribe(publisher.endpoint, "1/state/")
        wait_until(publisher.look_for_subscribers)
    assert publisher.subscriptions == 1


def test_a_late_subscriber_gets_the_last_states_although_another_has_subscribed_to_them(
    make, model_path: Path, pictures: Path, subscribe
):
    """No heartbeat is due and no state changes: each who comes gets the state of every source at once."""
    pipeline = make(model_path, looping(pictures))
    now = time.monotonic()
    pipeline.tick(now)
    for _ in range(3):
        socket = subscribe(pipeline._outlet.sinks[0].endpoint, "1/state/")
        _, message = codec.decode(arrives(socket, lambda: pipeline.tick(now)))
        assert (message["kind"], message["source"]) == ("state", "folder")


def test_a_heartbeat_comes_when_it_was_promised(make, model_path: Path, pictures: Path, subscribe):
    """One for each second that passed (``heartbeat_s``), however often the pipeline looks whether it is time."""
    pipeline = make(model_path, looping(pictures))
    socket = subscribe(pipeline._outlet.sinks[0].endpoint, "1/heartbeat/", "ready", "last")
    arrives(socket, lambda: pipeline._outlet.send("ready", {}))
    start = float(int(time.monotonic()))
    for eighth in range(8 * 12):
        pipeline.tick(start + eighth / 8)
    pipeline._outlet.send("last", {})
    topics = []
    while topics[-1:] != [b"last"]:
        assert socket.poll(1000 * SECONDS)
        topics.append(socket.recv().partition(b"\0")[0])
    assert topics.count(b"1/heartbeat/box") == 12


def test_a_subscriber_that_sends_more_than_a_subscription_is_cut_off(publisher: Publisher, subscribe):
    """2 KiB are no topic of ours: the connection ends before anything of them is kept."""
    socket = subscribe(publisher.endpoint)
    monitor = socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    socket.subscribe("x" * 2048)
    end = time.monotonic() + SECONDS
    while not monitor.poll(5) and not publisher.look_for_subscribers():
        assert time.monotonic() < end, "neither cut off nor heard"
    assert publisher.subscriptions == 0
    assert recv_monitor_message(monitor)["event"] == zmq.EVENT_DISCONNECTED


def test_a_subscription_of_the_longest_topic_is_heard(publisher: Publisher, subscribe):
    """The bound is far above what anybody asks for."""
    longest = codec.topic("heartbeat", "s" * 64)
    assert arrives(
        subscribe(publisher.endpoint, longest), lambda: publisher.send(codec.encode(longest, {}))
    ).startswith(longest.encode())
