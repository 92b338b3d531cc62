"""ZeroMQ's protocol as bytes, and who wants what: no socket."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, strategies as st

from mlu_agent.publish import zmtp
from mlu_agent.publish.subscriptions import Subscriptions

bodies = st.one_of(
    st.binary(max_size=300),
    st.binary(max_size=1),
    st.sampled_from([b"\5READY", b"\5READY\x0bSocket-Type\0\0\0\3SUB", b"\5READY\x0bSocket-Type\xff\xff\xff\xff"]),
    st.builds(
        lambda name, rest: bytes([len(name)]) + name + rest, st.sampled_from([b"PING", b"SUBSCRIBE"]), st.binary()
    ),
)


def fed(data: bytes, cuts: list[int]) -> list[zmtp.Frame] | str:
    """The frames of ``data`` when it comes in pieces, or the reason why the peer is cut off."""
    decoder, found, start = zmtp.Decoder(), [], 0
    try:
        for cut in [*sorted(cuts), len(data)]:
            found += list(decoder.feed(data[start:cut]))
            start = max(start, cut)
    except zmtp.ProtocolError as error:
        return str(error)
    return found


@given(st.lists(bodies, max_size=5), st.lists(st.integers(0, 400), max_size=5), st.booleans())
def test_frames_are_the_same_however_their_bytes_come(sent: list[bytes], cuts: list[int], as_commands: bool):
    """Short and long ones; the greeting before them as well."""
    flag = 4 if as_commands else 0
    data = zmtp.GREETING
    for body in sent:
        short = bytes([flag, len(body)]) if len(body) < 256 else bytes([flag | 2]) + len(body).to_bytes(8, "big")
        data += short + body
    assert fed(data, cuts) == [zmtp.Frame(as_commands, body) for body in sent]


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=4), st.booleans())
def test_any_bytes_are_frames_or_a_reason(data: bytes, cuts: list[int], greeted: bool):
    """Nothing else comes out, and no more is kept than a frame and what came last."""
    frames = fed(zmtp.GREETING + data if greeted else data, cuts)
    assert isinstance(frames, str) or sum(len(one.body) for one in frames) <= len(data)


@given(st.booleans(), bodies)
def test_any_frame_is_understood_or_left(command: bool, body: bytes):
    """Whatever its parts say of their lengths."""
    frame = zmtp.Frame(command, body)
    with contextlib.suppress(zmtp.ProtocolError):
        assert zmtp.is_listener(frame) in (True, False)
    asked, answer = zmtp.subscription(frame), zmtp.pong(frame)
    assert asked is None or asked[1] in body
    assert answer is None or len(answer) <= 2 + 5 + zmtp.MAX_PING


@pytest.mark.parametrize("size", [0, 255, 256, 70_000])
def test_a_message_is_one_frame(size: int):
    """Its length in one byte where that is enough."""
    data = zmtp.frame(bytes(size))
    assert data == (bytes([0, size]) if size < 256 else b"\2" + size.to_bytes(8, "big")) + bytes(size)


small = st.binary(max_size=3).map(lambda data: bytes(one % 3 for one in data))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 2), small), max_size=30), st.lists(small, max_size=5))
def test_a_message_goes_to_everybody_who_asked_for_a_prefix_of_it(changes: list[tuple[bool, int, bytes]], messages):
    """As when each prefix of each peer is tried; and nothing is kept of what was taken back."""
    wanted: Subscriptions[int] = Subscriptions()
    asked: set[tuple[int, bytes]] = set()
    for add, peer, prefix in changes:
        if add:
            wanted.add(prefix, peer)
            asked.add((peer, prefix))
        elif (peer, prefix) in asked:
            wanted.remove(prefix, peer)
            asked.remove((peer, prefix))
    for message in messages:
        assert wanted.wanted_by(message) == {peer for peer, prefix in asked if message.startswith(prefix)}
    for peer, prefix in asked:
        wanted.remove(prefix, peer)
    assert vars(wanted) == vars(Subscriptions())
