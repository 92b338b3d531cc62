"""The bytes of messages: read within bounds, and nothing but a sentence where they are no message."""

from __future__ import annotations

import contextlib

import msgpack
import pytest
from hypothesis import given, strategies as st
from tests.client.goldens import ALL, golden

from mlu_client import codec
from mlu_client.errors import DataError


@pytest.mark.parametrize("version, kind", ALL)
def test_golden_messages_of_every_version_are_still_read(version, kind):
    """Bytes kept from the day of each version: read by this decoder as by plain msgpack, and encoded to the same."""
    raw = golden(kind, version)
    head, _, body = raw.partition(b"\0")
    assert codec.decode(raw) == (head.decode(), msgpack.unpackb(body))
    assert codec.encode(*codec.decode(raw)) == raw


def nested(depth: int) -> bytes:
    return b"1/frame/a\0\x81\xa1v" + b"\x91" * depth + b"\x00"


@pytest.mark.parametrize(
    "raw, sentence",
    [
        (b"", "does not begin with a topic"),
        (b"1/frame/a", "does not begin with a topic"),
        (b"\xff\0\x80", "does not begin with a topic"),
        (b"x" * 300 + b"\0\x80", "does not begin with a topic"),
        (b"1/frame/a\0", "not a msgpack map"),
        (b"1/frame/a\0\xc1", "not a msgpack map"),
        (b"1/frame/a\0\x90", "not a msgpack map"),
        (b"1/frame/a\0\x81\x01\x02", "not a msgpack map"),
        (b"1/frame/a\0\x80\x80", "not a msgpack map"),
        (b"1/frame/a\0\xdf\xff\xff\xff\xff", "not a msgpack map"),
        (b"1/frame/a\0\xdd\xff\xff\xff\xff", "not a msgpack map"),
        (b"1/frame/a\0\x81\xa1v\xdb\xff\xff\xff\xff", "not a msgpack map"),
        (b"1/frame/a\0\x81\xa1v\xc4\x01\x00", "not a msgpack map"),
        (b"1/frame/a\0\x81\xa1v\xd6\xff\x00\x00\x00\x00", "not a msgpack map"),
        (b"1/frame/a\0\x81\xa1v\xd4\x05\x00", "not a msgpack map"),
        (b"1/frame/a\0\x81\xa1v\xa1\xff", "not a msgpack map"),
        (nested(100_000), "not a msgpack map"),
        (nested(1010), "more than 16 deep"),
        (nested(16), "more than 16 deep"),
        (nested(15), "version a list of 1 is not 1.x"),
        (b"1/frame/a\0\x82\xa1v\xa31.0\xa4kind\x91\x00", "kind a list of 1 is not that"),
        (b"1/frame/a\0\x81\xa1v\xc4\x00", "binary data"),
        (b"1/frame/a\0\x81\xa1v\x81\xc4\x00\x00", "a key that is no text"),
        (b"1/frame/a\0\x81\xa1v\x91\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", "the number nan"),
        (b"1/frame/a\0\x81\xa1v\xca\xff\x80\x00\x00", "the number -inf"),
        (b"1/frame\0" + msgpack.packb({"v": "1.0", "kind": "frame"}), "kind 'frame' is not that of its topic"),
        (b"1/frame/a\0" + msgpack.packb({"v": 1, "kind": "frame"}), "version 1 is not 1.x"),
        (b"1/frame/a\0" + msgpack.packb({"v": "2.0", "kind": "frame"}), "update the subscriber"),
        (b"1/frame/a\0" + msgpack.packb({"v": "1.0"}), "kind None is not that of its topic"),
        (b"1/state/a\0" + msgpack.packb({"v": "1.0", "kind": "frame"}), "kind 'frame' is not that"),
        (b"1/frame/a\0" + bytes(5 << 20), "more than 4194304"),
    ],
)
def test_what_is_no_message_gives_one_sentence(raw, sentence):
    """Sizes are bounded before anything is made of them."""
    with pytest.raises(DataError, match=sentence) as failure:
        codec.decode(raw)
    assert "\n" not in str(failure.value)


@given(st.binary(max_size=400), st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=4))
def test_random_and_damaged_bytes_give_a_sentence_or_a_message(data, damage):
    """Nothing but DataError comes out."""
    damaged = bytearray(golden("heartbeat"))
    for place, value in damage:
        damaged[place % len(damaged)] = value
    for raw in (data, b"1/frame/a\0" + data, b"1/frame/a\0\x81\xa1v" + data, bytes(damaged)):
        with contextlib.suppress(DataError):
            topic, message = codec.decode(raw)
            assert topic.startswith("1/")
            assert message["v"].startswith("1")


def test_later_minor_versions_are_read():
    """Unknown fields and unknown kinds are no mistake."""
    raw = codec.encode("1/thumbnail/a", {"v": "1.7", "kind": "thumbnail", "more": [1, {"x": None}]})
    assert codec.decode(raw)[1]["more"] == [1, {"x": None}]


def test_names_that_make_no_topic_are_refused():
    """A NUL, a slash or nothing would change whose message it is."""
    for kind, source in (("frame", "a/b"), ("frame", ""), ("frame", "a\0"), ("guess", "a"), ("frame", "x" * 65)):
        with pytest.raises(ValueError, match="make no topic"):
            codec.topic(kind, source)
