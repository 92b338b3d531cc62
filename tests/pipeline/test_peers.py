"""The publisher among peers: served each for itself, and bounded in what they may cost."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import zmq
from tests import hostile

from mlu_agent.config import PublishConfig
from mlu_agent.ledger import SinkAccount
from mlu_agent.publish import gate, passage, publisher as publishers
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
        """Until so many different prefixes are subscribed to."""

        def there() -> bool:
            self.publisher.look_for_subscribers()
            return self.publisher.subscriptions == subscriptions

        wait_until(there)

    def wait_for(self, prefix: bytes, *, there: bool, by: zmq.Socket[bytes] | None = None) -> None:
        """Until it is subscribed to, or no more. A subscriber that was refused first says it again while it listens."""

        def so() -> bool:
            if by is not None:
                by.poll(0)
            self.publisher.look_for_subscribers()
            return (prefix in self.publisher._prefixes) is there

        wait_until(so)

    def passages(self) -> set[passage.Passage]:
        return set(self.publisher._gate._passages.values())


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
        assert not one.publisher._gate._thread.is_alive()
        assert not Path(one.publisher._folder).exists()
        assert "the gate goes on after an error" not in {event for event, _ in one.log.calls}


@pytest.fixture
def subscribe() -> Iterator[Any]:
    """A function that makes ZeroMQ's own subscribers."""
    context = zmq.Context()
    sockets = []

    def connect(made: Made, *prefixes: str) -> zmq.Socket[bytes]:
        one = context.socket(zmq.SUB)
        sockets.append(one)
        mark = f"~{len(sockets)}"  # ZeroMQ sends it after the others
        for prefix in (*prefixes, mark):
            one.subscribe(prefix)
        one.connect(made.endpoint)
        made.wait_for(mark.encode(), there=True, by=one)
        one.unsubscribe(mark)
        made.wait_for(mark.encode(), there=False)
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


def descriptors() -> int:
    return sum(1 for _ in os.scandir("/proc/self/fd"))


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
    closing = threading.Thread(target=made.publisher.close)
    closing.start()
    assert [len(received(subscriber)) for _ in range(500)] == [5000] * 500
    closing.join(SECONDS)
    assert not closing.is_alive()
    assert not Path(made.endpoint[6:]).exists()
    made.publisher.send(b"after the end")


def test_who_never_reads_does_not_hold_up_the_end(make, raw):
    """What waits for it is given up after the linger."""
    made = make(linger_ms=200)
    raw(made).sendall(b"\0\1\1")
    made.wait(1)
    for _ in range(100):
        made.publisher.send(bytes(50_000))
    begin = time.monotonic()
    made.publisher.close()
    assert time.monotonic() - begin < SECONDS


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize(
    "kind, amount, greedy",
    [
        ("subscriptions", 12_500, True),
        ("commands", 12_500, True),
        ("libzmq", 12_500, True),
        ("pings", 40_000, True),
        ("oversized", 500, False),
        ("garbage", 1000, False),
        ("garbled", 1000, False),
    ],
)
def test_whoever_sends_too_much_is_cut_off_and_nobody_else_notices(
    make, subscribe, endpoint: str, kind: str, amount: int, greedy: bool
):
    """Two processes of it, who come again and again: the gate says why, once, or ZeroMQ ends the connection; memory
    stays; a real subscriber beside them gets every message."""
    made = make(endpoint)
    subscriber = subscribe(made, "1/")
    before = resident_mb()
    command = [sys.executable, hostile.__file__, kind, made.endpoint, str(amount), "2"]
    attackers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    if greedy:
        wait_until(lambda: made.account.cut_off > 0)
    end = time.monotonic() + 1.0
    while time.monotonic() < end:
        made.publisher.send(b"1/x")
        assert received(subscriber) == b"1/x"
    if greedy:
        for attacker in attackers:
            attacker.kill()
    told = [attacker.communicate()[0].split() for attacker in attackers]
    if not greedy and endpoint.startswith("ipc"):  # over TCP the system takes it all before the end is heard of
        assert all(int(times_cut_off) > 0 for _, times_cut_off in told)
    assert resident_mb() - before < 32
    if greedy:
        assert made.log.reasons() == {"sends more than 32768 bytes, and 32 a second"}
        assert len(made.log.calls) == 1
    made.wait(1)


def test_what_comes_in_is_half_a_mebibyte_a_second(make, raw, monkeypatch: pytest.MonkeyPatch):
    """However many peers send it, and newcomers count as well."""
    monkeypatch.setattr(passage, "ALLOWANCE", 1 << 30)
    made = make()
    busy = [raw(made) for _ in range(8)]
    stop = threading.Event()

    def pour(peer: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while not stop.is_set():
                peer.sendall(b"\4\x0a\4PING\0\x10abc" * 1000)

    threads = [threading.Thread(target=pour, args=(peer,)) for peer in busy]
    before, begin = sum(one.received for one in made.passages()), time.monotonic()
    for thread in threads:
        thread.start()
    time.sleep(1.0)
    taken = sum(one.received for one in made.passages()) - before
    took = time.monotonic() - begin
    stop.set()
    for peer in busy:
        peer.close()
    for thread in threads:
        thread.join(SECONDS)
    a_portion_more = gate.INBOUND_PER_S * gate.INBOUND_EVERY_S + 4 * 2048
    assert 0 < taken <= (1 << 19) * took + 2 * a_portion_more


def test_all_subscriptions_together_are_bounded(make, raw, subscribe, monkeypatch: pytest.MonkeyPatch):
    """However slowly they come: who sends most in the long run has to leave, and takes its own along."""
    monkeypatch.setattr(publishers, "MAX_SUBSCRIBED", 4000)
    made = make()
    honest = subscribe(made, "1/")
    peer = raw(made)
    for number in range(30):
        peer.sendall(b"\0\xc9\1" + str(number).encode().ljust(200, b"x"))
    wait_until(lambda: made.publisher.look_for_subscribers() or made.log.reasons())
    made.wait(1)
    assert made.log.reasons() == {"all subscriptions together have more than 4000 bytes"}
    made.publisher.send(b"1/x")
    assert received(honest) == b"1/x"


def test_who_never_reads_holds_up_nobody(make, subscribe, raw):
    """Its own messages wait, as many as the high water mark, then they are lost to it."""
    made = make(high_water_mark=10)
    deaf = raw(made)
    deaf.sendall(b"\0\1\1")
    made.wait(1)
    subscriber = subscribe(made, "")
    before = resident_mb()
    for number in range(500):
        made.publisher.send(b"%d " % number + bytes(200_000))
        assert received(subscriber).startswith(b"%d " % number)
    assert resident_mb() - before < 16  # of 100


def test_a_newcomer_takes_the_place_of_who_asked_for_nothing(make, subscribe, raw, monkeypatch: pytest.MonkeyPatch):
    """And of who takes nothing for long; never of a subscriber that reads."""
    monkeypatch.setattr(gate, "MAX_PEERS", 3)
    monkeypatch.setattr(gate, "IDLE_S", 0.0)
    made = make(high_water_mark=5)
    subscriber = subscribe(made, "")
    silent = [raw(made, silent=True) for _ in range(5)]
    second = subscribe(made, "")
    assert [one.recv(1) for one in silent[:3]] == [b""] * 3
    deaf = raw(made)
    deaf.sendall(b"\0\5\1deaf")
    made.wait(2)
    for _ in range(60):
        made.publisher.send(b"deaf" + bytes(20_000))
        assert received(subscriber) == received(second)
    refused = raw(made, silent=True)
    assert refused.recv(1) == b""
    monkeypatch.setattr(gate, "STUCK_S", 0.0)
    subscribe(made, "third")
    made.wait_for(b"deaf", there=False)
    assert {"comes to 3 others, which is the most", "made room for a newcomer"} <= made.log.reasons()


def test_a_newcomer_takes_the_place_of_who_has_most(make, subscribe, monkeypatch: pytest.MonkeyPatch):
    """One process that takes all places, with subscribers that seem to read, keeps nobody else out; the newcomers of
    that process have to stay outside."""
    monkeypatch.setattr(gate, "MAX_PEERS", 8)
    monkeypatch.setattr(gate, "STUCK_S", 1e9)
    made = make()
    command = [sys.executable, hostile.__file__, "deaf", made.endpoint, "10000", "60"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as attacker, contextlib.ExitStack() as exits:
        exits.callback(attacker.kill)
        wait_until(lambda: len(made.passages()) == 8 and made.account.cut_off > 0)
        mine, second = subscribe(made, "1/"), subscribe(made, "2/")
        for one, data in ((mine, b"1/x"), (second, b"2/x")):
            made.publisher.send(data)
            assert received(one) == data
        before = made.account.cut_off
        wait_until(lambda: made.account.cut_off > before + 10)
        made.publisher.send(b"1/y")
        assert received(mine) == b"1/y"


def test_who_says_nothing_is_sent_away(make, raw, monkeypatch: pytest.MonkeyPatch):
    """By the gate who says nothing at all; by ZeroMQ whose greeting never ends."""
    monkeypatch.setattr(gate, "SILENT_S", 0.1)
    monkeypatch.setattr(publishers, "HANDSHAKE_MS", 100)
    made = make()
    for said in (b"", hostile.GREETING[:20]):
        peer = raw(made, silent=True)
        with contextlib.suppress(BrokenPipeError):
            peer.sendall(said)
        while peer.recv(100):
            pass
    assert made.account.cut_off == 1


def test_nobody_else_can_go_round_the_gate(make):
    """The socket behind it lies in a folder that only its owner can enter, and that goes with it."""
    made = make()
    folder = Path(made.publisher._folder)
    assert folder.stat().st_mode & 0o077 == 0
    made.publisher.close()
    assert not folder.exists()


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


def test_libzmq_always_finds_a_descriptor(make, subscribe):
    """It ends the process where it finds none for a newcomer: so with few left nobody is let in, and the process goes
    on."""
    made = make()
    subscriber = subscribe(made, "")
    command = [sys.executable, hostile.__file__, "deaf", made.endpoint, "100", "60"]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as attacker, contextlib.ExitStack() as exits:
        exits.callback(attacker.kill)
        exits.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors() + 20, hard))
        wait_until(lambda: "finds the process without a free descriptor" in made.log.reasons())
        assert descriptors() + 8 <= resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        made.publisher.send(b"x")
        assert received(subscriber) == b"x"


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
