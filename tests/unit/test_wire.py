"""Messages of version 1.0."""

from __future__ import annotations

import contextlib
import json

import jsonschema
import msgpack
import numpy as np
import pytest
from hypothesis import given, strategies as st

from mlu_agent import wire
from mlu_agent.detections import Detections
from mlu_agent.errors import DataError
from mlu_agent.frame import Frame
from mlu_agent.geometry import Letterbox

IDENTITY = wire.Identity("box-7", "0f" * 16)
MODEL = wire.ModelInfo("yolov3-tiny", "1", "ab" * 32, 0.25, 0.45, 300)
LETTERBOX = Letterbox(0.325, 0.325, 0.0, 91.0, 1280, 720)


def frame(clock: str = "arrival") -> Frame:
    return Frame(np.zeros((720, 1280, 3), np.uint8), "camera-1", 41, 1_700_000_000_000_000_000, clock, 57)


def detections(count: int) -> Detections:
    boxes = np.tile(np.array([[128, 72, 640, 720]], np.float32), (count, 1))
    return Detections(boxes, np.full(count, 0.875, np.float32), np.arange(count, dtype=np.int32) % 2)


def messages() -> dict[str, tuple[str, dict]]:
    """One of each kind, with all fields fixed."""
    now = 1_700_000_000_040_000_000
    counters = {"grabbed": 60, "dropped_newer": 18}
    return {
        "frame": (
            wire.topic("frame", "camera-1"),
            wire.frame_message(
                IDENTITY,
                frame(),
                detections(2),
                LETTERBOX,
                ["person", "bicycle"],
                MODEL,
                "simulator",
                latency_ms={"wait": 1.25, "preprocess": 0.5, "device": 21, "postprocess": 0.4},
                counters=counters,
                flags=["simulated"],
                publish_time_ns=now,
            ),
        ),
        "empty": (
            wire.topic("frame", "camera-1"),
            wire.frame_message(
                IDENTITY,
                frame("file_pts"),
                detections(0),
                LETTERBOX,
                ["person"],
                MODEL,
                "device",
                latency_ms={},
                counters={},
                publish_time_ns=now,
            ),
        ),
        "state": (
            wire.topic("state", "camera-1"),
            wire.state_message(
                IDENTITY,
                "camera-1",
                "lost",
                "the connection was refused",
                now - 5,
                counters=counters,
                publish_time_ns=now,
            ),
        ),
        "heartbeat": (
            wire.topic("heartbeat", "box-7"),
            wire.heartbeat_message(
                IDENTITY,
                12,
                interval_s=1,
                uptime_s=12.5,
                runtime="simulator",
                model=MODEL,
                sources={"camera-1": "live"},
                counters=counters,
                flags=["simulated"],
                publish_time_ns=now,
            ),
        ),
        "end": (
            wire.topic("end", "camera-1"),
            wire.end_message(
                IDENTITY, "camera-1", "the file ended", frames=250, counters=counters, publish_time_ns=now
            ),
        ),
    }


@pytest.fixture(scope="module")
def schema(root):
    return json.loads((root / "docs" / "message-1.0.schema.json").read_text())


@pytest.mark.parametrize("kind", sorted(messages()))
def test_a_message_fits_the_schema_and_comes_back_as_it_was(kind, schema):
    """What the builders make is what the published schema says, with no field that the schema does not name."""
    topic, message = messages()[kind]
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(message, schema)
    assert wire.decode(wire.encode(topic, message)) == (topic, message)
    branch = next(b for b in schema["oneOf"] if b["properties"]["kind"]["const"] == message["kind"])
    assert set(message) == {*schema["required"], *branch["required"]} == {*schema["properties"], *branch["properties"]}


def test_the_schema_can_fail(schema):
    """A message without its boxes, with a box outside the frame or of another kind is refused."""
    message = messages()["frame"][1]
    wrong = [
        {key: value for key, value in message.items() if key != "detections"},
        {**message, "detections": [{**message["detections"][0], "box": [0, 0, 1, 1.5]}]},
        {**message, "kind": "end"},
        {**message, "v": "2.0"},
    ]
    for broken in wrong:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(broken, schema)
    jsonschema.validate({**message, "v": "1.1", "added_later": 1}, schema)


def test_boxes_are_normalised_to_the_original_frame():
    """xyxy over width and height; label and confidence beside it."""
    assert messages()["frame"][1]["detections"][1] == {
        "class_id": 1,
        "label": "bicycle",
        "confidence": 0.875,
        "box": [0.1, 0.1, 0.5, 1.0],
    }


@pytest.mark.parametrize("kind", sorted(messages()))
def test_golden_messages_of_version_1_0_are_still_read(kind, root, schema):
    """Bytes kept from the day of version 1.0: read by this decoder, by plain msgpack, and fitting the schema."""
    raw = bytes.fromhex((root / "tests" / "golden" / f"message-1.0-{kind}.hex").read_text())
    topic, message = wire.decode(raw)
    head, _, body = raw.partition(b"\0")
    assert (topic, message) == (head.decode(), msgpack.unpackb(body))
    jsonschema.validate(message, schema)
    assert (topic, message) == messages()[kind]
    assert wire.encode(*messages()[kind]) == raw


def test_a_message_has_text_keys_and_plain_values_only():
    """Nothing that a msgpack library of another language would need help with; small, too."""
    for topic, message in messages().values():
        raw = wire.encode(topic, message)
        body = raw.partition(b"\0")[2]
        assert msgpack.unpackb(body, strict_map_key=True, max_bin_len=0, max_ext_len=0) == message
        assert json.loads(json.dumps(message)) == message
    big = dict(messages()["frame"][1])
    big["detections"] = wire.detection_list(detections(8), ["person", "bicycle"], 1280, 720)
    assert len(wire.encode("1/frame/camera-1", big)) < 1500


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
        wire.decode(raw)
    assert "\n" not in str(failure.value)


@given(st.binary(max_size=400), st.integers(0, 2**31))
def test_random_and_damaged_bytes_give_a_sentence_or_a_message(data, seed):
    """Nothing but DataError comes out."""
    damaged = bytearray(wire.encode(*messages()["heartbeat"]))
    for place, value in zip(np.random.default_rng(seed).integers(0, len(damaged), 3).tolist(), data):
        damaged[place] = value
    for raw in (data, b"1/frame/a\0" + data, b"1/frame/a\0\x81\xa1v" + data, bytes(damaged)):
        with contextlib.suppress(DataError):
            topic, message = wire.decode(raw)
            assert topic.startswith("1/")
            assert message["v"].startswith("1")


def test_later_minor_versions_are_read():
    """Unknown fields and unknown kinds are no mistake."""
    raw = wire.encode("1/thumbnail/a", {"v": "1.7", "kind": "thumbnail", "more": [1, {"x": None}]})
    assert wire.decode(raw)[1]["more"] == [1, {"x": None}]


def test_names_that_make_no_topic_are_refused():
    """A NUL, a slash or nothing would change whose message it is."""
    for kind, source in (("frame", "a/b"), ("frame", ""), ("frame", "a\0"), ("guess", "a"), ("frame", "x" * 65)):
        with pytest.raises(ValueError, match="make no topic"):
            wire.topic(kind, source)
    with pytest.raises(ValueError, match="is none of"):
        wire.state_message(IDENTITY, "a", "great", "", 0)
