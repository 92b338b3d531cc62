"""The builders of messages of version 1.3, and what a listener reads back."""

from __future__ import annotations

import dataclasses
import json

import jsonschema
import msgpack
import numpy as np
import pytest
from hypothesis import example, given, settings, strategies as st
from tests.client.goldens import golden, relaxed

from mlu_agent.classes import Classes
from mlu_agent.detections import Detections
from mlu_agent.frame import Frame
from mlu_agent.geometry import Letterbox, Region
from mlu_agent.model.info import ModelInfo
from mlu_agent.publish import messages as build
from mlu_agent.tensors import Tensors
from mlu_client import codec, convert, values
from mlu_client.reading import read_message

IDENTITY = build.Identity("box-7", "0f" * 16)
MODEL = ModelInfo("yolov3-tiny", "1", "ab" * 32, 0.25, 0.45, 300, ("person", "bicycle"), "simulator")
LETTERBOX = Letterbox(0.325, 0.325, 0.0, 91.0, 1280, 720)

CLASSES = Classes(np.array([1, 0], np.int32), ("bicycle", "person"), np.array([0.75, 0.125], np.float32), 1)
TENSORS = Tensors(
    ("map", "big"),
    (np.arange(6, dtype=np.float16).reshape(1, 3, 2, 1), np.zeros((1, 1 << 20), np.float32)),
)


def frame(clock: str = "arrival") -> Frame:
    return Frame(np.zeros((720, 1280, 3), np.uint8), "camera-1", 41, 1_700_000_000_000_000_000, clock, 57)


def detections(count: int) -> Detections:
    boxes = np.tile(np.array([[128, 72, 640, 720]], np.float32), (count, 1))
    return Detections(boxes, np.full(count, 0.875, np.float32), np.arange(count, dtype=np.int32) % 2)


def shaped(kind: str) -> Detections:
    """Two detections of a model that tells more than boxes; the second's mask was left out."""
    outline = np.array([[128, 72], [640, 72], [640, 720]], np.float32)
    if kind == "outlines":
        return dataclasses.replace(detections(2), polygons=((outline, outline / 2), None))
    if kind == "pose":
        places = np.tile(np.array([[128, 72, 1], [640, 360, 0.25]], np.float32), (2, 1, 1))
        return dataclasses.replace(detections(2), keypoints=places)
    corners = np.array([[[-128, 72], [640, 72], [640, 720], [-128, 720]]] * 2, np.float32)
    return dataclasses.replace(detections(2), corners=corners, angle=np.array([0, 0.5], np.float32))


def messages() -> dict[str, tuple[str, dict]]:
    """One of each kind, with all fields fixed."""
    now = 1_700_000_000_040_000_000
    counters = {"grabbed": 60, "dropped_newer": 18}
    return {
        "frame": (
            codec.topic("frame", "camera-1"),
            build.result_message(
                IDENTITY,
                frame(),
                detections(2),
                LETTERBOX,
                MODEL,
                latency_ms={"wait": 1.25, "preprocess": 0.5, "device": 21, "postprocess": 0.4},
                counters=counters,
                flags=["simulated"],
                publish_time_ns=now,
            ),
        ),
        "empty": (
            codec.topic("frame", "camera-1"),
            build.result_message(
                IDENTITY,
                frame("file_pts"),
                detections(0),
                LETTERBOX,
                dataclasses.replace(MODEL, runtime="device"),
                latency_ms={},
                counters={},
                publish_time_ns=now,
            ),
        ),
        "region": (
            codec.topic("frame", "camera-1"),
            build.result_message(
                IDENTITY,
                frame(),
                detections(1),
                Letterbox(0.65, 0.65, 0.0, 91.0, 640, 360).within(Region(640, 180, 1280, 540), 1280, 720),
                dataclasses.replace(MODEL, confidence=0.5, classes=(("person", 0.75), ("bicycle", 0.5))),
                latency_ms={},
                counters=counters,
                publish_time_ns=now,
            ),
        ),
        **{
            kind: (
                codec.topic("frame", "camera-1"),
                build.result_message(
                    IDENTITY, frame(), shaped(kind), LETTERBOX, MODEL, latency_ms={}, counters={}, publish_time_ns=now
                ),
            )
            for kind in ("outlines", "pose", "turned")
        },
        "classes": (
            codec.topic("classes", "camera-1"),
            build.result_message(
                IDENTITY,
                frame(),
                CLASSES,
                LETTERBOX,
                MODEL,
                latency_ms={"device": 2},
                counters=counters,
                flags=["simulated", "degraded"],
                publish_time_ns=now,
            ),
        ),
        "tensors": (
            codec.topic("tensors", "camera-1"),
            build.result_message(
                IDENTITY,
                frame(),
                TENSORS,
                LETTERBOX,
                MODEL,
                latency_ms={"device": 2},
                counters=counters,
                publish_time_ns=now,
            ),
        ),
        "state": (
            codec.topic("state", "camera-1"),
            build.state_message(
                IDENTITY,
                "camera-1",
                "lost",
                "the connection was refused",
                now - 5,
                code="refused",
                counters=counters,
                publish_time_ns=now,
            ),
        ),
        "picture": (
            codec.topic("state", "camera-1"),
            build.state_message(IDENTITY, "camera-1", "frozen", "for 10 s", now - 5, publish_time_ns=now),
        ),
        "heartbeat": (
            codec.topic("heartbeat", "box-7"),
            build.heartbeat_message(
                IDENTITY,
                12,
                interval_s=1,
                uptime_s=12.5,
                model=MODEL,
                sources={"camera-1": "live"},
                counters=counters,
                device={"state": "suspect", "reason": "cnrtSyncQueue failed", "since_ns": now - 5},
                flags=["simulated"],
                publish_time_ns=now,
            ),
        ),
        "end": (
            codec.topic("end", "camera-1"),
            build.end_message(
                IDENTITY, "camera-1", "the file ended", frames=250, counters=counters, publish_time_ns=now
            ),
        ),
    }


@pytest.fixture(scope="module")
def schema(root):
    return json.loads((root / "docs" / "message-1.3.schema.json").read_text())


@pytest.mark.parametrize("kind", sorted(messages()))
def test_a_message_fits_the_schema_and_comes_back_as_it_was(kind, schema):
    """What the builders make is what the published schema says, with no field that the schema does not name."""
    topic, message = messages()[kind]
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(message, schema)
    assert codec.decode(codec.encode(topic, message)) == (topic, message)
    branch = next(b for b in schema["oneOf"] if b["properties"]["kind"]["const"] == message["kind"])
    named = {*schema["properties"], *branch["properties"]}
    assert set(message) == named - ({"roi"} if kind != "region" else set())
    later = {"state": {"code"}, "heartbeat": {"device"}, "end": set()}
    added = later.get(message["kind"], {"roi"})
    assert named - {*schema["required"], *branch["required"]} == added


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
    jsonschema.validate({**message, "v": "1.7", "added_later": 1}, schema)


def test_boxes_are_normalised_to_the_original_frame():
    """xyxy over width and height; label and confidence beside it."""
    assert messages()["frame"][1]["detections"][1] == {
        "class_id": 1,
        "label": "bicycle",
        "confidence": 0.875,
        "box": [0.1, 0.1, 0.5, 1.0],
    }


@pytest.mark.parametrize("kind", sorted(messages()))
def test_golden_messages_of_version_1_3_are_still_made(kind, schema):
    """Bytes kept from the day of version 1.3: the builders make the same today, and they fit the schema."""
    raw = golden(kind, "1.3")
    topic, message = codec.decode(raw)
    jsonschema.validate(message, schema)
    assert (topic, message) == messages()[kind]
    assert codec.encode(*messages()[kind]) == raw


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2"])
def test_what_later_versions_added_changes_nothing_of_older_versions(root, version):
    """But for the words of its lists, an older schema takes every message of its kinds; its readers miss nothing. The
    pads of a region alone, which a configuration asks for, may be less than it knew."""
    name = f"message-{version}.schema.json"
    old = jsonschema.Draft202012Validator(relaxed(json.loads((root / "docs" / name).read_text())))
    for kind, (_, message) in messages().items():
        if kind == "region" and version != "1.2":
            assert min(message["letterbox"].values()) < 0
            message["letterbox"].update(pad_x=0.0, pad_y=0.0)
        if version == "1.2" or message["kind"] not in ("classes", "tensors"):
            old.validate(message)


def test_a_message_has_text_keys_and_plain_values_only():
    """Nothing that a msgpack library of another language would need help with, and binary data in tensors alone; small,
    too."""
    for topic, message in messages().values():
        raw = codec.encode(topic, message)
        body = raw.partition(b"\0")[2]
        data = 12 if message["kind"] == "tensors" else 0
        assert msgpack.unpackb(body, strict_map_key=True, max_bin_len=data, max_ext_len=0) == message
        if not data:
            assert json.loads(json.dumps(message)) == message
    big = dict(messages()["frame"][1])
    big["detections"] = build.detection_list(detections(8), ["person", "bicycle"], 1280, 720)
    assert len(codec.encode("1/frame/camera-1", big)) < 1500


def test_an_unknown_state_is_refused():
    """The builder's caller has made a mistake."""
    with pytest.raises(ValueError, match="is none of"):
        build.state_message(IDENTITY, "a", "great", "", 0)


def test_a_frame_comes_back_as_values():
    """What went into the builder, with boxes normalised; nothing is lost on the way."""
    read = read_message(codec.decode(codec.encode(*messages()["frame"]))[1])
    assert read == values.Frame(
        "frame", "1.3", "box-7", "0f" * 16, 1_700_000_000_040_000_000,
        source_id="camera-1", sequence=41, position=57, capture_time_ns=1_700_000_000_000_000_000,
        clock="arrival", clock_quality="arrival", width=1280, height=720,
        letterbox=values.Letterbox(0.325, 0.325, 0.0, 91.0),
        detections=(
            values.Detection(0, "person", 0.875, (0.1, 0.1, 0.5, 1.0)),
            values.Detection(1, "bicycle", 0.875, (0.1, 0.1, 0.5, 1.0)),
        ),
        model=values.Model("yolov3-tiny", "1", "ab" * 32, 0.25, 0.45, 300), runtime="simulator",
        latency_ms={"wait": 1.25, "preprocess": 0.5, "device": 21.0, "postprocess": 0.4}, age_ms=40.0,
        counters={"grabbed": 60, "dropped_newer": 18}, flags=("simulated",), roi=None,
    )  # fmt: skip


def test_shapes_come_back_as_values():
    """Places over width and height; what was left out is None, and so is all that such a model does not tell."""
    found = {
        kind: read_message(codec.decode(codec.encode(*messages()[kind]))[1]).detections
        for kind in ("outlines", "pose", "turned", "frame")
    }
    plain = values.Detection(0, "person", 0.875, (0.1, 0.1, 0.5, 1.0))
    assert found["frame"][0] == plain
    outline = ((0.1, 0.1), (0.5, 0.1), (0.5, 1.0))
    halved = ((0.05, 0.05), (0.25, 0.05), (0.25, 0.5))
    assert found["outlines"][0] == dataclasses.replace(plain, polygons=(outline, halved))
    assert found["outlines"][1].polygons is None
    keypoints = (values.Keypoint(0.1, 0.1, 1.0), values.Keypoint(0.5, 0.5, 0.25))
    assert found["pose"][0] == dataclasses.replace(plain, keypoints=keypoints)
    corners = ((-0.1, 0.1), (0.5, 0.1), (0.5, 1.0), (-0.1, 1.0))
    assert found["turned"][0] == dataclasses.replace(plain, corners=corners, angle=0.0)
    assert [build.without_data(shaped(kind)) for kind in ("outlines", "pose", "turned")] == [1, 0, 0]


@pytest.mark.parametrize("kind", ["outlines", "pose", "turned"])
def test_the_surest_detections_have_their_shapes_in_a_message_of_bounded_size(kind):
    """10,000 detections with the longest labels and as much shape as there can be: boxes of all, shapes while there is
    room, and the message is one."""
    count = 10_000
    many = detections(count)
    if kind == "outlines":
        piece = np.full((16, 2), 0.123457, np.float32)
        many = dataclasses.replace(many, polygons=((piece,) * 8,) * count)
    elif kind == "pose":
        many = dataclasses.replace(many, keypoints=np.full((count, 64, 3), 0.123457, np.float32))
    else:
        corners = np.full((count, 4, 2), 0.123457, np.float32)
        many = dataclasses.replace(many, corners=corners, angle=np.full(count, 0.123457, np.float32))
    model = dataclasses.replace(MODEL, labels=("p" * 128, "b" * 128))
    message = build.result_message(IDENTITY, frame(), many, LETTERBOX, model, latency_ms={}, counters={})
    told = [len(one) > 4 for one in message["detections"]]
    assert (len(told), told[0]) == (count, True)
    assert told.count(False) == build.without_data(many)
    assert told == sorted(told, reverse=True)
    assert len(codec.encode("1/frame/" + "a" * 64, message)) <= codec.MAX_MESSAGE


def test_classes_and_tensors_come_back_as_values():
    """With the context of a frame; an array is made of a tensor by numpy alone, one that did not fit has no data."""
    classes, tensors = (
        read_message(codec.decode(codec.encode(*messages()[kind]))[1]) for kind in ("classes", "tensors")
    )
    assert (classes.sequence, classes.classes) == (
        41,
        (values.Class(1, "bicycle", 0.75), values.Class(0, "person", 0.125)),
    )
    first, second = tensors.tensors
    assert (first.name, second) == ("map", values.Tensor("big", (1, 1 << 20), "float32", None))
    np.testing.assert_array_equal(np.frombuffer(first.data, first.dtype).reshape(first.shape), TENSORS.arrays[0])
    array = convert.to_array(first)
    np.testing.assert_array_equal(array, TENSORS.arrays[0])
    assert (array.dtype, array.flags.writeable, convert.to_array(second)) == (np.float16, False, None)
    assert build.without_data(TENSORS) == 1


@settings(max_examples=20, deadline=None)
@example([codec.MAX_MESSAGE])
@example([codec.MAX_MESSAGE - (256 << 10), *range(1, 8)])
@given(st.lists(st.integers(0, 6 << 20), max_size=8))
def test_tensors_have_their_data_in_order_as_long_as_a_message_has_room(sizes):
    """One that is too large gives way to smaller ones after it, and with the longest names all of it is a message."""
    fits = build.fitting(sizes)
    used = 0
    for size, fit in zip(sizes, fits):
        assert fit == (used + size <= build.MAX_DATA)
        used += size * fit
    tensors = Tensors(
        tuple(chr(0xFFFF - n) * 341 for n in range(len(sizes))), tuple(np.zeros(n, np.uint8) for n in sizes)
    )
    version = dataclasses.replace(MODEL, version="x" * 4096)
    message = build.result_message(IDENTITY, frame(), tensors, LETTERBOX, version, latency_ms={}, counters={})
    assert len(codec.encode("1/tensors/" + "a" * 64, message)) <= codec.MAX_MESSAGE


def test_the_other_kinds_come_back_as_values():
    """State, heartbeat and end, field by field."""
    now, counters = 1_700_000_000_040_000_000, {"grabbed": 60, "dropped_newer": 18}
    state, heartbeat, end = (read_message(messages()[kind][1]) for kind in ("state", "heartbeat", "end"))
    envelope = ("1.3", "box-7", "0f" * 16, now)
    reason = "the connection was refused"
    assert state == values.State("state", *envelope, "camera-1", "lost", reason, now - 5, counters, "refused")
    model = values.Model("yolov3-tiny", "1", "ab" * 32, 0.25, 0.45, 300)
    assert heartbeat == values.Heartbeat(
        "heartbeat",
        *envelope,
        12,
        1.0,
        12.5,
        "simulator",
        model,
        {"camera-1": "live"},
        counters,
        ("simulated",),
        values.Device("suspect", "cnrtSyncQueue failed", now - 5),
    )
    assert end == values.End("end", *envelope, "camera-1", "the file ended", 250, counters)


def test_arrays_of_a_frame_are_the_detections_that_were_sent():
    """Pixels of the original frame, to the rounding of a message; an empty frame gives empty arrays."""
    sent = detections(2)
    arrays = convert.to_arrays(read_message(messages()["frame"][1]))
    np.testing.assert_allclose(arrays.xyxy, sent.xyxy, atol=1e-6 * 1280)
    np.testing.assert_array_equal(arrays.confidence, sent.confidence)
    np.testing.assert_array_equal(arrays.class_id, sent.class_id)
    assert [part.dtype for part in arrays] == [np.float32, np.float32, np.int64]
    empty = convert.to_arrays(read_message(messages()["empty"][1]))
    assert [part.shape for part in empty] == [(0, 4), (0,), (0,)]
