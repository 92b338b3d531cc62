"""Sinks: a message becomes bytes once, and each sink is handed them."""

from __future__ import annotations

from typing import Any

import pytest

from mlu_agent.publish import sink as module
from mlu_agent.publish.sink import Outlet
from mlu_client import codec


class Memory:
    """A sink that keeps everything."""

    endpoint = "memory"

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


def test_every_sink_gets_the_same_bytes_and_they_are_made_once(monkeypatch: pytest.MonkeyPatch):
    """Three sinks cost one encoding, in the order of the messages."""
    made: list[bytes] = []

    def encode(topic: str, message: Any) -> bytes:
        made.append(codec.encode(topic, message))
        return made[-1]

    monkeypatch.setattr(module, "encode", encode)
    sinks = [Memory(name) for name in ("a", "b", "c")]
    outlet = Outlet(sinks)
    for number in range(3):
        outlet.send("1/end/cam", {"v": "1.0", "kind": "end", "number": number})
    assert len(made) == 3
    assert all(sink.kept == made for sink in sinks)
    assert codec.decode(made[2]) == ("1/end/cam", {"v": "1.0", "kind": "end", "number": 2})


@pytest.mark.parametrize("visited, expected", [([False, False], False), ([True, False], True), ([False, True], True)])
def test_whoever_comes_to_any_sink_is_noticed_and_every_sink_is_asked(visited: list[bool], expected: bool):
    """A sink that is not asked would tell of the same subscriber again the next time."""
    sinks = [Memory(str(number), visited=one) for number, one in enumerate(visited)]
    assert Outlet(sinks).look_for_subscribers() is expected
    assert [sink.looks for sink in sinks] == [1, 1]
