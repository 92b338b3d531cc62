"""Sinks: a message becomes bytes once, and each sink is handed them."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from mlu_agent.ledger import Ledger
from mlu_agent.publish import sink as module
from mlu_agent.publish.sink import Outlet
from mlu_client import codec


class Memory:
    """A sink that keeps everything."""

    endpoint = "memory"
    linger_s = 0.0

    def __init__(self, name: str, *, visited: bool = False) -> None:
        self.name = name
        self.kept: list[bytes] = []
        self.looks = 0
        self._visited = visited

    def send(self, data: bytes) -> None:
        self.kept.append(data)

    def look_for_subscribers(self) -> bool:
        self.looks += 1
        return self._visited

    def fileno(self) -> int:
        return -1

    def close(self) -> None:
        pass


class Failing(Memory):
    """A sink that raises ``error`` while it has one."""

    error: Exception | None = None

    def send(self, data: bytes) -> None:
        if self.error is not None:
            raise self.error
        super().send(data)


class Log:
    """Collects log calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, level: str) -> Any:
        return lambda event, **fields: self.calls.append((event, fields))


def test_every_sink_gets_the_same_bytes_and_they_are_made_once(monkeypatch: pytest.MonkeyPatch):
    """Three sinks cost one encoding, in the order of the messages."""
    made: list[bytes] = []

    def encode(topic: str, message: Any) -> bytes:
        made.append(codec.encode(topic, message))
        return made[-1]

    monkeypatch.setattr(module, "encode", encode)
    sinks = [Memory(name) for name in ("a", "b", "c")]
    outlet = Outlet(sinks, Ledger(), Log())
    for number in range(3):
        outlet.send("1/end/cam", {"v": "1.0", "kind": "end", "number": number})
    assert len(made) == 3
    assert all(sink.kept == made for sink in sinks)
    assert codec.decode(made[2]) == ("1/end/cam", {"v": "1.0", "kind": "end", "number": 2})


@pytest.mark.parametrize("visited, expected", [([False, False], False), ([True, False], True), ([False, True], True)])
def test_whoever_comes_to_any_sink_is_noticed_and_every_sink_is_asked(visited: list[bool], expected: bool):
    """A sink that is not asked would tell of the same subscriber again the next time."""
    sinks = [Memory(str(number), visited=one) for number, one in enumerate(visited)]
    assert Outlet(sinks, Ledger(), Log()).look_for_subscribers() is expected
    assert [sink.looks for sink in sinks] == [1, 1]


def test_a_sink_that_raises_loses_its_own_messages_alone():
    """The other sink and the caller notice nothing, wherever in the order the failing one stands; what was lost is
    counted for the one that lost it."""
    ledger = Ledger()
    before, failing, after = Memory("before"), Failing("failing"), Memory("after")
    failing.error = OSError("no room")
    outlet = Outlet([before, failing, after], ledger, Log())
    for _ in range(3):
        outlet.send("1/end/cam", {"v": "1.0", "kind": "end"})
    assert [len(sink.kept) for sink in (before, failing, after)] == [3, 0, 3]
    assert {name: counters["lost"] for name, counters in ledger.snapshot().sinks.items()} == {
        "before": 0,
        "failing": 3,
        "after": 0,
    }


def test_a_failure_is_told_once_of_each_kind_until_the_sink_works_again():
    """Not once per message: a sink may fail for days."""
    log = Log()
    failing = Failing("file")
    outlet = Outlet([failing], Ledger(), log)
    errors = [OSError("no room"), OSError("still none"), ValueError("odd"), OSError("x"), None, None, OSError("again")]
    for error in errors:
        failing.error = error
        outlet.send("1/end/cam", {"v": "1.0", "kind": "end"})
    fails = "a sink fails: its messages are lost"
    assert log.calls == [
        (fails, {"sink": "file", "reason": "OSError: no room"}),
        (fails, {"sink": "file", "reason": "ValueError: odd"}),
        ("a sink works again", {"sink": "file", "lost": 4}),
        (fails, {"sink": "file", "reason": "OSError: again"}),
    ]


class Broken(Memory):
    """A sink whose other sides fail."""

    def look_for_subscribers(self) -> bool:
        raise OSError("no look")

    def fileno(self) -> int:
        raise OSError("no descriptor")

    def close(self) -> None:
        raise OSError("no end")


def test_whatever_side_of_a_sink_fails_is_told_once_and_hurts_nobody():
    """The others are asked, waited for and closed all the same."""
    log = Log()
    outlet = Outlet([Broken("broken"), Memory("good", visited=True)], Ledger(), log)
    for _ in range(2):
        assert outlet.look_for_subscribers()
        assert outlet.filenos() == []
        outlet.close()
    assert log.calls == [
        ("a sink fails to say who came", {"sink": "broken", "reason": "OSError: no look"}),
        ("a sink fails to close", {"sink": "broken", "reason": "OSError: no end"}),
    ]


def test_sinks_are_closed_at_a_time():
    """Their lingers do not add up: each waits here until all are being closed."""
    barrier = threading.Barrier(3, timeout=30)

    class Waiting(Memory):
        def close(self) -> None:
            barrier.wait()

    log = Log()
    Outlet([Waiting(name) for name in "abc"], Ledger(), log).close()
    assert log.calls == []


def test_the_outlet_tells_the_first_endpoint_and_the_longest_linger():
    """People are told of the main sink; the time to stop leaves room for the slowest."""
    sinks = [Memory("main"), Memory("slow")]
    sinks[0].endpoint, sinks[0].linger_s, sinks[1].linger_s = "here", 0.5, 2.0
    outlet = Outlet(sinks, Ledger(), Log())
    assert (outlet.endpoint, outlet.linger_s) == ("here", 2.0)
