"""The publisher among peers: served each for itself, and bounded in what they may cost."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import zmq
from tests import hostile

from mlu_agent.config import PublishConfig
from mlu_agent.ledger import SinkAccount
from mlu_agent.publish import peer as peers, server
from mlu_agent.publish.publisher import Publisher

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = 10  # for what takes milliseconds
ENDPOINTS = ("ipc://{}/out.sock", "tcp://127.0.0.1:*")


class Log:
    """Collects log calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, level: str) -> Any:
        return lambda event, **fields: self.calls.append((event, fields))

    def reasons(self) -> set[str]:
        return {fields["reason"] for _, fields in self.calls if "reason" in fields}


class Made:
    """A publisher with its account and its log."""

    def __init__(self, endpoint: str, high_water_mark: int = 100, linger_ms: int = 500) -> None:
        self.account, self.log = SinkAccount(), Log()
        config = PublishConfig(endpoint, high_water_mark=high_water_mark, linger_ms=linger_ms)
        self.publisher = Publisher(config, self.account, self.log)
        self.endpoint = self.publisher.endpoint

    def wait(self, subscriptions: int) -> None:
        wait_until(lambda: self.publisher.subscriptions == subscriptions)


def wait_until(condition: Any) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.001)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Any]:
    """A function that makes publishers; they are closed at the end."""
    made: list[Made] = []

    def build(endpoint: str = ENDPOINTS[0], **options: int) -> Made:
        made.append(Made(endpoint.format(tmp_path), **options))
        return made[-1]

    yield build
    for one in made:
        one.publisher.close()
        assert not one.publisher._server._thread.is_alive()
        assert "the publisher goes on after an error" not in {event for event, _ in one.log.calls}


@pytest.fixture
def subscribe() -> Iterator[Any]:
    """A function that makes ZeroMQ's own subscribers."""
    context = zmq.Context()
    sockets = []

    def connect(made: Made, *prefixes: str) -> zmq.Socket[bytes]:
        one = context.socket(zmq.SUB)
        sockets.append(one)
        before = made.publisher.subscriptions
        for prefix in prefixes:
            one.subscribe(prefix)
        one.connect(made.endpoint)
        made.wait(before + len(prefixes))
        return one

    yield connect
    for one in sockets:
        one.close(linger=0)
    context.destroy(linger=0)


@pytest.fixture
def raw() -> Iterator[Any]:
    """A function that makes connections which have introduced themselves, or said nothing."""
    with contextlib.ExitStack() as exits:

        def connect(made: Made, *, silent: bool = False) -> socket.socket:
            peer = hostile.Hostile(made.endpoint, 0, SECONDS)
            return exits.enter_context(peer.connect() if silent else peer.subscriber())

        yield connect


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20


def received(subscriber: zmq.Socket[bytes]) -> bytes:
    assert subscriber.poll(1000 * SECONDS), "no message came"
    return subscriber.recv()


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_each_subscriber_gets_what_it_asked_for_in_order(make, subscribe, endpoint: str):
    """By prefix, each message once however many prefixes fit; what was taken back comes no more; large and small."""
    made = make(endpoint)
    everything, some = subscribe(made, ""), subscribe(made, "a/", "a/1", "b")
    sent = [b"a/1", b"c", b"b" * 255, b"a/2" + bytes(300_000), b"b" * 256, b""]
    for message in sent:
        made.publisher.send(message)
    assert [received(everything) for _ in sent] == sent
    assert [received(some) for _ in range(4)] == [sent[0], sent[2], sent[3], sent[4]]
    some.unsubscribe("a/")
    made.wait(3)
    for message in (b"a/2", b"a/1", b"b"):
        made.publisher.send(message)
    assert [received(some) for _ in range(2)] == [b"a/1", b"b"]
    some.close()
    made.wait(1)


def test_what_was_sent_last_arrives_although_the_publisher_ends(make, subscribe):
    """It lingers until everything has left, and no longer than it was told."""
    made = make(high_water_mark=1000, linger_ms=4000)
    subscriber = subscribe(made, "")
    for _ in range(500):
        made.publisher.send(bytes(5000))
    made.publisher.close()
    assert [len(received(subscriber)) for _ in range(500)] == [5000] * 500
    assert not Path(made.endpoint[6:]).exists()
    made.publisher.send(b"after the end")


@pytest.mark.parametrize(
    "kind, amount, reason",
    [
        ("subscriptions", 12_500, "has more than 1024 subscriptions"),
        ("commands", 12_500, "has more than 1024 subscriptions"),
        ("pings", 40_000, r"sends more than 262144 bytes, and 1024 a second"),
        ("oversized", 500, "sends more than 1024 bytes at once"),
        ("garbage", 1000, "does not speak ZeroMQ"),
        ("garbled", 1000, "sends what is no frame|sends more than 1024 bytes at once"),
    ],
)
def test_whoever_sends_too_much_is_cut_off_and_nobody_else_notices(
    make, subscribe, kind: str, amount: int, reason: str
):
    """Four processes of it, who come again and again: the log says why, once; memory stays; a real subscriber beside
    them gets every message."""
    made = make()
    subscriber = subscribe(made, "1/")
    before = resident_mb()
    command = [sys.executable, hostile.__file__, kind, made.endpoint, str(amount), "2"]
    attackers = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(4)]
    wait_until(lambda: made.account.cut_off > 0)
    end = time.monotonic() + 1.0
    while time.monotonic() < end:
        made.publisher.send(b"1/x")
        assert received(subscriber) == b"1/x"
    for attacker in attackers:
        attacker.kill()
        attacker.wait()
    assert resident_mb() - before < 16
    assert any(re.fullmatch(reason, said) for said in made.log.reasons())
    assert len([fields for _, fields in made.log.calls if re.fullmatch(reason, fields["reason"])]) <= 2
    made.wait(1)


def test_what_comes_in_gets_a_tenth_of_the_threads_time(make, raw, monkeypatch: pytest.MonkeyPatch):
    """However much it is: here each look at a peer takes a millisecond, and there is always more to look at."""
    looks = 0

    def look(_peer: object, _now: float) -> Iterator[tuple[bool, bytes]]:
        nonlocal looks
        looks += 1
        time.sleep(0.001)
        return iter(())

    made = make()
    busy = [raw(made) for _ in range(8)]
    monkeypatch.setattr(peers.Peer, "hear", look)
    begin = time.monotonic()
    for peer in busy:
        peer.sendall(b"x")
    time.sleep(0.5)
    turns = (time.monotonic() - begin) / 0.05 + 2
    assert 0 < looks <= turns * (5 + 4)  # four are looked at before the clock is


def test_a_subscription_more_than_the_most_ends_the_connection(make, raw):
    """1024 are kept; the next one ends it, and takes the others with it."""
    made = make()
    peer = raw(made)
    for number in range(peers.MAX_SUBSCRIPTIONS):
        peer.sendall(b"\0\7\1" + b"%6d" % number)
    made.wait(peers.MAX_SUBSCRIPTIONS)
    peer.sendall(b"\0\4\1one")
    made.wait(0)
    assert peer.recv(1) == b""


def test_a_subscription_that_is_longer_than_any_topic_ends_the_connection(make, raw):
    """Nothing begins with it."""
    made = make()
    peer = raw(made)
    peer.sendall(b"\2" + (258).to_bytes(8, "big") + b"\1" + b"x" * 257)
    made.wait(1)
    peer.sendall(b"\2" + (259).to_bytes(8, "big") + b"\1" + b"x" * 258)
    made.wait(0)


def test_who_never_reads_keeps_its_own_messages_waiting_and_nobody_elses(make, subscribe, raw):
    """As many as the high water mark; what it loses is counted."""
    made = make(high_water_mark=10)
    deaf = raw(made)
    deaf.sendall(b"\0\1\1")
    made.wait(1)
    subscriber = subscribe(made, "")
    for number in range(200):
        made.publisher.send(b"%d " % number + bytes(20_000))
        assert received(subscriber).startswith(b"%d " % number)
    wait_until(lambda: made.account.counters()["slow"] > 100)
    assert max(len(peer) for peer in made.publisher._server._peers.values()) <= 10


def test_all_that_waits_together_is_bounded_in_bytes(make, raw, monkeypatch: pytest.MonkeyPatch):
    """However high the water mark: beyond the bound each peer has a little."""
    monkeypatch.setattr(server, "QUEUED_BYTES", 2_000_000)
    made = make(high_water_mark=1_000_000)
    for _ in range(4):
        raw(made).sendall(b"\0\1\1")
    made.wait(4)
    for _ in range(200):
        made.publisher.send(bytes(50_000))
    wait_until(lambda: made.account.counters()["slow"] > 100)
    waiting = sum(peer.queued for peer in made.publisher._server._peers.values())
    assert waiting <= 2_000_000 + 50_000 + 4 * server.QUEUED_BYTES_EACH


def test_a_newcomer_takes_the_place_of_who_asked_for_nothing(make, subscribe, raw, monkeypatch: pytest.MonkeyPatch):
    """And of who takes nothing for long; never of a subscriber that reads."""
    monkeypatch.setattr(server, "MAX_PEERS", 3)
    made = make(high_water_mark=5)
    subscriber = subscribe(made, "")
    silent = [raw(made, silent=True) for _ in range(5)]
    second = subscribe(made, "")
    assert all(one.recv(1) is not None for one in silent[:3])
    deaf = raw(made)
    deaf.sendall(b"\0\1\1")
    made.wait(3)
    refused = raw(made, silent=True)
    assert refused.recv(1) == b""
    for _ in range(60):
        made.publisher.send(bytes(20_000))
        assert received(subscriber) == received(second) == bytes(20_000)
    monkeypatch.setattr(server, "STUCK_S", 0.0)
    third = subscribe(made)
    third.subscribe("")
    end = time.monotonic() + SECONDS
    while not third.poll(5):
        assert time.monotonic() < end, "the third was not served"
        made.publisher.send(b"x")
        assert received(subscriber) == received(second) == b"x"
    assert {"comes to 3 others, which is the most", "made room for a newcomer"} <= made.log.reasons()


def test_a_newcomer_takes_the_place_of_who_has_most(make, subscribe, monkeypatch: pytest.MonkeyPatch):
    """One process that takes all places, with subscribers that seem to read, keeps nobody else out; the newcomers of
    that process have to stay outside."""
    monkeypatch.setattr(server, "MAX_PEERS", 8)
    monkeypatch.setattr(server, "STUCK_S", 1e9)
    made = make()
    command = [sys.executable, hostile.__file__, "deaf", made.endpoint, "10000", "60"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as attacker, contextlib.ExitStack() as exits:
        exits.callback(attacker.kill)
        wait_until(lambda: made.publisher.subscriptions == 8 and made.account.cut_off > 0)
        mine = subscribe(made)
        mine.subscribe("1/")
        second = subscribe(made)
        second.subscribe("2/")
        for one, data in ((mine, b"1/x"), (second, b"2/x")):
            end = time.monotonic() + SECONDS
            while not one.poll(5):
                assert time.monotonic() < end, "it was kept out"
                made.publisher.send(data)
            assert one.recv() == data
        wait_until(lambda: made.account.cut_off > 30)
        made.publisher.send(b"1/y")
        while received(mine) != b"1/y":
            pass


def test_who_says_nothing_is_sent_away(make, raw, monkeypatch: pytest.MonkeyPatch):
    """Half a greeting is nothing, too."""
    monkeypatch.setattr(server, "HANDSHAKE_S", 0.1)
    made = make()
    for said in (b"", hostile.GREETING[:20]):
        peer = raw(made, silent=True)
        with contextlib.suppress(BrokenPipeError):
            peer.sendall(said)
        while peer.recv(100):
            pass
    assert made.account.cut_off == 2


def test_without_a_free_descriptor_it_goes_on(make, subscribe):
    """A newcomer is sent away, not left waiting; who is there is served; afterwards who comes is taken in again."""
    made = make()
    subscriber = subscribe(made, "")
    newcomer = socket.socket(socket.AF_UNIX)
    newcomer.settimeout(SECONDS)
    command = [sys.executable, hostile.__file__, "silent", made.endpoint, "100", "60"]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as attacker, contextlib.ExitStack() as exits:
        exits.callback(attacker.kill)
        exits.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
        with contextlib.suppress(OSError):
            while True:
                exits.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        wait_until(lambda: "finds the process without a free descriptor" in made.log.reasons())
        for _ in range(20):
            made.publisher.send(b"x")
            assert received(subscriber) == b"x"
        with newcomer:
            newcomer.connect(made.endpoint[6:])
            assert newcomer.recv(1) == b""
    subscribe(made, "later")


def test_a_socket_file_that_was_taken_away_is_made_again(make, subscribe):
    """And said; who is connected notices nothing. A file that is somebody else's by now is left alone."""
    made = make()
    subscriber = subscribe(made, "")
    path = Path(made.endpoint[6:])
    path.unlink()
    wait_until(path.exists)
    second = subscribe(made, "")
    made.publisher.send(b"x")
    assert received(subscriber) == received(second) == b"x"
    assert ("the socket's file was gone: made again", {"path": str(path)}) in made.log.calls
    path.unlink()
    path.write_text("somebody else's")
    made.publisher.close()
    assert path.read_text() == "somebody else's"


def test_signs_of_life_are_answered(make, raw):
    """With the bytes that came along."""
    made = make()
    peer = raw(made)
    peer.sendall(b"\4\x0a\4PING\0\x10abc")
    assert peer.recv(100) == b"\4\x08\4PONGabc"


@pytest.mark.parametrize("greeting, reason", [
    (b"GET / HTTP/1.1\r\n\r\n", "does not speak ZeroMQ"),
    (b"\xff" + bytes(8) + b"\x7f\x01", "speaks ZeroMQ before version 4.0"),
    (hostile.GREETING.replace(b"NULL\0", b"CURVE"), "wants another mechanism than NULL"),
    (hostile.GREETING + b"\4\x1a\5READY\x0bSocket-Type\0\0\0\4PULL", "is no SUB socket"),
    (hostile.GREETING + b"\0\1\1", "does not say what it is"),
])  # fmt: skip
def test_who_is_no_subscriber_is_told_in_the_log_and_sent_away(make, raw, greeting: bytes, reason: str):
    """Among them old and secured ones: no word of theirs is needed to see it."""
    made = make()
    peer = raw(made, silent=True)
    peer.sendall(greeting)
    while peer.recv(1000):
        pass
    assert reason in made.log.reasons()
