"""`mlu-agent subscribe` and whatever a publisher sends: a line that a terminal shows, or one more message counted."""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import math
from typing import TYPE_CHECKING, Any

import msgpack
import pytest
from hypothesis import given, settings, strategies as st
from tests.client.goldens import KINDS as BY_VERSION, golden
from tests.client.test_reading import mutated

from mlu_agent.cli import main
from mlu_agent.commands import subscribe
from mlu_agent.config import PublishConfig
from mlu_agent.errors import DataError
from mlu_agent.ledger import SinkAccount
from mlu_agent.publish.publisher import Publisher
from mlu_client import codec, convert
from mlu_client.reading import read_message
from mlu_client.text import printable_json
from mlu_client.values import Frame, Tensors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KINDS = BY_VERSION["1.3"]
GOLDEN = {kind: codec.decode(golden(kind, "1.3"))[1] for kind in KINDS}

wild = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**64 - 1),
        st.floats(),
        st.text(max_size=20),
        st.binary(max_size=3),
        st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=8)),
        st.builds(msgpack.Timestamp, st.integers(0, 2**32), st.integers(0, 999_999_999)),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.text(max_size=5), st.binary(max_size=2)), inner, max_size=4),
    ),
    max_leaves=20,
)


def follow(raw: bytes) -> None:
    """All that is done with a message, from the wire to the terminal. Only DataError may come out."""
    _, message = codec.decode(raw)
    json.loads(printable_json(message))
    value = read_message(message)
    line = subscribe.line(value)
    assert "\n" not in line
    assert "\x1b" not in line
    if isinstance(value, Frame):
        convert.to_arrays(value)
    if isinstance(value, Tensors):
        for one in value.tensors:
            convert.to_array(one)


@settings(max_examples=250, deadline=None)
@given(mutated(), wild, st.sampled_from([*codec.KINDS, "later"]))
def test_whatever_a_message_holds_is_a_line_or_a_sentence(message: dict[str, Any], more: Any, kind: str):
    """Golden messages in which values were replaced by any others, with anything beside them, and anything alone."""
    for body in (message, {**message, "more": more}, {"v": "1.0", "kind": kind, "x": more}, more):
        topic = f"1/{message.get('kind')}/a".encode("ascii", "replace")
        packed = b""
        with contextlib.suppress(ValueError, OverflowError, TypeError):  # there are no such bytes
            packed = msgpack.packb(body)
        with contextlib.suppress(DataError):
            follow(topic + b"\0" + packed)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=100, deadline=None)
@given(damage=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=8), cut=st.integers(0, 2000))
def test_whatever_happens_to_its_bytes_is_a_line_or_a_sentence(kind: str, damage: list[tuple[int, int]], cut: int):
    """Bytes replaced, and the end cut off."""
    damaged = bytearray(golden(kind, "1.3"))
    for place, value in damage:
        damaged[place % len(damaged)] = value
    with contextlib.suppress(DataError):
        follow(bytes(damaged[: max(cut, 1)]))


HOSTILE = "\x1b[2J\x9b31m\u202e\x7fx\n"


@pytest.mark.parametrize("kind", KINDS)
def test_a_line_shows_what_a_terminal_would_obey(kind: str):
    """Wherever in a message a text may be anything."""

    def poisoned(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                (key + HOSTILE if holder == "sources" else key): poisoned(one)
                for holder, inner in [("", value)]
                for key, one in inner.items()
            }
        if isinstance(value, list):
            return [poisoned(one) for one in value]
        return value + HOSTILE if isinstance(value, str) else value

    message = poisoned(GOLDEN[kind])
    message.update({name: GOLDEN[kind][name] for name in ("v", "kind", "box", "source") if name in GOLDEN[kind]})
    for place, one in enumerate(message.get("tensors", ())):
        one["dtype"] = GOLDEN[kind]["tensors"][place]["dtype"]
    if "model" in message:
        message["model"]["sha256"] = GOLDEN[kind]["model"]["sha256"]
    line = subscribe.line(read_message(message))
    assert line.isprintable()
    assert kind == "empty" or r"\x1b[2J\x9b31m\u202e\x7fx\n" in line
    as_json = printable_json(message)
    assert as_json.isprintable()
    told = json.loads(as_json)
    if kind == "tensors":  # JSON has no bytes: their base64
        assert base64.b64decode(told["tensors"][0]["data"], validate=True) == message["tensors"][0]["data"]
        told["tensors"][0]["data"] = message["tensors"][0]["data"]
    assert told == message


@pytest.fixture
def publisher(tmp_path: Path) -> Iterator[Publisher]:
    """The agent's, without an agent."""

    class Quiet:
        def __getattr__(self, level: str) -> Any:
            return lambda event, **fields: None

    made = Publisher(PublishConfig(f"ipc://{tmp_path}/p.sock"), SinkAccount(), Quiet())
    yield made
    made.close()


def send_at_first(publisher: Publisher, sent: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there for the command that listens first."""
    receive, waiting = subscribe.Subscriber.receive, [sent]

    def received(self: Any, timeout_s: float | None = None) -> Any:
        if waiting:
            while not publisher.look_for_subscribers():
                pass
            for data in waiting.pop():
                publisher.send(data)
        return receive(self, timeout_s)

    monkeypatch.setattr(subscribe.Subscriber, "receive", received)


@pytest.mark.parametrize("kind, printed", [(None, ["end"]), (["end", "heartbeat"], ["heartbeat"]), (["end"], ["end"])])
def test_heartbeats_are_the_boxes_and_not_a_sources(publisher, capsys, monkeypatch, kind, printed):
    """Where a source is named they come if they are asked for by their kind; nor do they count or keep it waiting."""
    source = GOLDEN["end"]["source"]
    sent = [golden("heartbeat", "1.2"), golden("end", "1.2")]
    send_at_first(publisher, sent, monkeypatch)
    words = [f"--kind={one}" for one in kind or ()]
    assert main(["subscribe", publisher.endpoint, "--source", source, "--count=1", "--timeout=20", *words]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == printed


def test_silence_is_told_when_it_begins_and_when_it_ends(publisher, capsys, monkeypatch):
    """On stderr: before anything came, after three heartbeats that did not, and when somebody is heard again."""
    beat = codec.encode("1/heartbeat/a", {**GOLDEN["heartbeat"], "interval_s": 0.01})
    monkeypatch.setattr(subscribe, "FIRST_S", 0.01)
    said = []

    def say(sentence: str) -> None:
        said.append(sentence)
        while len(said) == 1 and not publisher.look_for_subscribers():
            pass
        publisher.send(beat)

    monkeypatch.setattr(subscribe, "_say", say)
    assert main(["subscribe", publisher.endpoint, "--count=2", "--json"]) == 0
    assert said[0].startswith(f"nothing heard yet from {publisher.endpoint}; is the daemon running")
    assert said[1].startswith(f"{publisher.endpoint}: nothing for 0.03 s, not even a heartbeat")
    assert said[2] == f"{publisher.endpoint}: heard again"
    assert all(json.loads(line)["kind"] == "heartbeat" for line in capsys.readouterr().out.splitlines())


@pytest.mark.parametrize("as_json", [False, True])
def test_the_command_drops_counts_and_tells_and_goes_on(
    publisher: Publisher, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, as_json: bool
):
    """Messages of every kind whose fields are of the wrong type, bytes that are no message, then a good one."""
    bad = [
        {**GOLDEN["frame"], "detections": 7},
        {**GOLDEN["frame"], "detections": [{"label": 1, "confidence": "x"}]},
        {**GOLDEN["frame"], "more": math.nan},
        {**GOLDEN["heartbeat"], "sources": ["a"]},
        {**GOLDEN["state"], "reason": None},
        {"v": "1.0", "kind": "end"},
    ]
    sent = [codec.encode(f"1/{one['kind']}/a", one) for one in bad]
    sent += [b"nonsense", golden("end", "1.2")]

    send_at_first(publisher, sent, monkeypatch)
    arguments = argparse.Namespace(
        endpoint=publisher.endpoint, json=as_json, count=1, timeout=20.0, kind=None, source=None
    )
    assert subscribe.run(arguments) == 0
    out, err = capsys.readouterr()
    assert out.count("\n") == 1
    assert (json.loads(out)["kind"] if as_json else out.split()[0]) == "end"
    assert "6 messages could not be read and were dropped, the last one: message" in err
