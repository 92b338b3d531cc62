"""Messages as typed values: what the schema says is read, whatever else is a sentence."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any, Callable

import jsonschema
import pytest
from hypothesis import given, settings, strategies as st
from tests.client.goldens import ALL, golden, relaxed

from mlu_client import codec, values
from mlu_client.errors import DataError
from mlu_client.reading import read_message

MESSAGES = {(version, kind): codec.decode(golden(kind, version))[1] for version, kind in ALL}
CLASSES = {
    "frame": values.Frame,
    "classes": values.Classes,
    "tensors": values.Tensors,
    "state": values.State,
    "heartbeat": values.Heartbeat,
    "end": values.End,
}

texts = st.text(max_size=70).filter(lambda text: not text.endswith("\n"))  # which a schema's $ lets pass
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([-1, 0, 1, 2**64 - 1, 2**70, -(2**63)]),
    st.sampled_from([-0.5, 0.5, 1.5, 1e300, math.nan, math.inf, -math.inf]),
    st.sampled_from(["", "camera-2", "live", "frame", "end", "1.9", "ab" * 32]),
    texts,
)
anything = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=8,
)


def places(value: Any, path: tuple = ()) -> list[tuple]:
    """The paths of everything inside a message."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [one for key, part in inner for one in [(*path, key), *places(part, (*path, key))]]


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    """A golden message in which up to three values were replaced, taken away or added."""
    message = copy.deepcopy(MESSAGES[draw(st.sampled_from(ALL))])
    for _ in range(draw(st.integers(1, 3))):
        *path, last = draw(st.sampled_from(places(message)))
        holder = message
        for key in path:
            holder = holder[key]
        action = draw(st.sampled_from(["replace", "remove", "add"]))
        if action == "replace":
            holder[last] = draw(anything)
        elif action == "remove" and len(message) > 1:
            del holder[last]
        elif isinstance(holder, dict):
            holder[draw(texts)] = draw(anything)
    return message


def outlandish(value: Any) -> bool:
    """Whether a number is in it that JSON and msgpack cannot both say, or one kind of number that JSON takes for the
    other: a float without a fraction.
    """
    if isinstance(value, dict):
        return any(map(outlandish, value.values()))
    if isinstance(value, list):
        return any(map(outlandish, value))
    if isinstance(value, float):
        return not math.isfinite(value) or abs(value) >= 2**53
    return isinstance(value, int) and abs(value) >= 2**64


def misfitting(message: dict[str, Any]) -> bool:
    """Whether the data of a tensor are not what its shape and dtype make, for which a schema has no words."""
    sizes = {"float16": 2, "float32": 4, "int8": 1}
    return any(
        not isinstance(one["data"], bytes)
        or len(one["data"]) != math.prod(one["shape"]) * sizes.get(one["dtype"], math.nan)
        for one in message.get("tensors", ())
        if "data" in one
    )


EXACT = json.loads((Path(__file__).resolve().parents[2] / "docs" / "message-1.3.schema.json").read_text())
LOOSE = relaxed(EXACT)
EXACTLY, LOOSELY, LATER = (
    jsonschema.Draft202012Validator(schema)
    for schema in (EXACT, LOOSE, {key: value for key, value in LOOSE.items() if key != "oneOf"})
)  # the last is what holds for a kind of later versions


def attempt(make: Callable[[], values.Message]) -> values.Message | str:
    """The value, or the sentence that refuses it."""
    try:
        return make()
    except DataError as failure:
        return str(failure)


@settings(max_examples=600, deadline=None)
@given(mutated())
def test_what_the_schema_refuses_is_a_sentence_and_what_it_allows_is_read(message):
    """No value is made of a message that the schema does not allow, and none that it allows is refused; only words of
    the schema's lists may be others."""
    value = attempt(lambda: read_message(message))
    if isinstance(value, str):
        assert outlandish(message) or not EXACTLY.is_valid(message) or misfitting(message), value
        assert value.isprintable()
        assert len(value) < 300
    else:
        assert type(value) is CLASSES.get(message["kind"], values.Message)
        assert (LOOSELY if value.kind in CLASSES else LATER).is_valid(message)


@given(st.sampled_from(ALL), st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=6))
def test_damaged_bytes_give_a_value_or_a_sentence(which, damage):
    """From the wire to the value nothing but DataError comes out."""
    damaged = bytearray(golden(which[1], which[0]))
    for place, value in damage:
        damaged[place % len(damaged)] = value
    read = attempt(lambda: read_message(codec.decode(bytes(damaged))[1]))
    assert read.isprintable() if isinstance(read, str) else read.version.startswith("1.")


@pytest.mark.parametrize("which", ALL)
def test_every_kind_is_read(which):
    """As the class of its kind, with the envelope's fields."""
    message = MESSAGES[which]
    value = read_message(message)
    assert type(value) is CLASSES[message["kind"]]
    assert (value.box, value.boot_id, value.publish_time_ns) == (
        message["box"],
        message["boot_id"],
        message["t_publish_ns"],
    )


def test_later_minor_versions_are_read():
    """Unknown fields at any depth are ignored, unknown words are kept, and an unknown kind is its envelope alone."""
    frame = copy.deepcopy(MESSAGES["1.1", "frame"])
    frame.update(v="1.7", added={"x": [None]}, flags=["brighter"], clock="sundial", runtime="quantum")
    frame["detections"][0]["track"] = 7
    frame["counters"]["dropped_dark"] = 3
    value = read_message(frame)
    assert isinstance(value, values.Frame)
    assert (value.flags, value.clock, value.counters["dropped_dark"]) == (("brighter",), "sundial", 3)
    later = read_message({**MESSAGES["1.1", "end"], "kind": "thumbnail"})
    assert type(later) is values.Message
    assert later.kind == "thumbnail"


def test_a_state_has_a_code_since_version_1_1_and_may_have_a_word_of_a_later_one():
    """Without one it is empty; a state or a code that nobody knows yet is a text like another."""
    assert read_message(MESSAGES["1.0", "state"]).code == ""
    assert read_message(MESSAGES["1.1", "state"]).code == "refused"
    later = read_message({**MESSAGES["1.1", "state"], "v": "1.9", "state": "dreaming", "code": "asleep"})
    assert (later.state, later.code) == ("dreaming", "asleep")


def test_a_heartbeat_says_how_the_device_is_since_version_1_1():
    """Before, nothing is known of it."""
    assert read_message(MESSAGES["1.0", "heartbeat"]).device is None
    device = read_message(MESSAGES["1.1", "heartbeat"]).device
    assert (device.state, device.reason) == ("suspect", "cnrtSyncQueue failed")


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"seq": -1}, "seq is -1, not a whole number from 0 on"),
        ({"seq": True}, "seq is True, not a whole number"),
        ({"seq": 2**80}, "seq is a number of 81 bits, not a whole number"),
        ({"age_ms": math.nan}, "age_ms is nan, not a finite number"),
        ({"source": "a/b"}, "source is 'a/b', not a text that fits"),
        ({"source": "a" * 5000}, "source is 'a{40}', not a text that fits"),
        ({"v": "2.0"}, "v is '2.0', not a text that fits"),
        ({"detections": {}}, "detections is a map of 0, not a list of maps"),
        ({"detections": [{}, 3]}, r"detections\[1\] is 3, not a map"),
        ({"detections": [{}]}, r"detections\[0\].class_id is missing"),
        ({"detections": nested(5000)}, r"detections\[0\] is a list of 1, not a map"),
        ({"letterbox": {"scale_x": 0}}, "letterbox.scale_x is 0, not a finite number of more than 0"),
        ({"letterbox": None}, "letterbox is None, not a map"),
        ({"counters": {"a\nb": "x"}}, r"counters.a\\nb is 'x', not a whole number"),
        ({"counters": {1: 2}}, "counters is 1, not a text as key"),
        ({"flags": ["a", 1]}, "flags is a list of 2, not a list of texts"),
        ({"latency_ms": {"wait": b"1"}}, "latency_ms.wait is data of 1, not a finite number from 0"),
    ],
)
def test_a_refusal_names_the_field_the_value_and_what_was_expected(change, sentence):
    """In one sentence, whatever the value holds."""
    with pytest.raises(DataError, match=f"^message: {sentence}[^;]*; it is damaged, or the publisher is no mlu-agent"):
        read_message({**MESSAGES["1.1", "frame"], **change})


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"data": b"1"}, r"tensors\[0\].data is data of 1, not data of 12 bytes"),
        ({"data": "text"}, r"tensors\[0\].data is 'text', not data of 12 bytes"),
        ({"shape": [1] * 9}, r"tensors\[0\].shape is a list of 9, not a list of at most 8 whole numbers from 1 on"),
        ({"shape": [0]}, r"tensors\[0\].shape is a list of 1, not a list of at most 8"),
        ({"shape": [2**64 - 1] * 8}, "is data of 12, not data of [0-9]+ bytes"),
        ({"dtype": "float128"}, "dtype is 'float128', not a text that fits"),
    ],
)
def test_a_tensors_data_are_what_its_shape_and_type_make(change, sentence):
    """So that whoever makes an array of it needs no checks of its own."""
    message = copy.deepcopy(MESSAGES["1.3", "tensors"])
    message["tensors"][0].update(change)
    with pytest.raises(DataError, match=sentence):
        read_message(message)


def test_binary_data_is_damage_in_every_other_kind():
    """Where a version had none, nobody has to think of it."""
    for kind in ("frame", "classes", "state", "heartbeat", "end"):
        message = {**MESSAGES["1.3", kind], "more": b"x"}
        with pytest.raises(DataError, match="binary data"):
            codec.decode(codec.encode(codec.topic(kind, "a"), message))


@pytest.mark.parametrize("message", [None, [], "frame", 7])
def test_what_is_no_map_is_refused(message):
    """A reader of kept messages may meet anything."""
    with pytest.raises(DataError, match=r"^message: it is .*, not a map"):
        read_message(message)


def test_values_do_not_change():
    """They may be handed to other threads."""
    value = read_message(MESSAGES["1.1", "end"])
    with pytest.raises(AttributeError):
        value.box = "other"
