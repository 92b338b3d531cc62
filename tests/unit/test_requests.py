"""What may be asked over the control socket, read from bytes that anybody may have written."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, strategies as st

from mlu_agent.daemon.requests import ASKED, MAX_LINE, Asked, parse
from mlu_agent.errors import UserError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
VALUES = {"model": "main", "path": "/models/a.cambricon", "source": "gate", "level": "debug"}


def line(**request: object) -> bytes:
    return json.dumps(request).encode()


def outcome(data: bytes) -> tuple[Asked | None, str]:
    try:
        return parse(data), ""
    except UserError as error:
        return None, error.message


@pytest.mark.parametrize("do", ASKED)
def test_what_is_asked_comes_with_its_fields(do: str):
    """Each request has its own fields, all of them and no others."""
    fields = {name: VALUES[name] for name in ASKED[do]}
    asked = parse(line(do=do, **fields))
    assert (asked.do, asked.fields) == (do, fields)
    for name in fields:
        with pytest.raises(UserError, match=f"{do}: {name}: None is not accepted"):
            parse(line(do=do, **{other: value for other, value in fields.items() if other != name}))
    with pytest.raises(UserError, match="no field of it"):
        parse(line(do=do, **fields, force="yes"))


@pytest.mark.parametrize(
    "request_line, sentence",
    [
        (b"", "no JSON object"),
        (b"status", "no JSON object"),
        (b"[]", "no JSON object"),
        (b"\xff\xfe", "no JSON object"),
        (b"[" * 5000, "no JSON object"),
        (b"9" * 5000, "no JSON object"),
        (b"{}", "do: None is not known; write one of status, reload, swap"),
        (b'{"do": ["status"]}', "is not known"),
        (b'{"do": "pause", "source": 3}', "source: 3 is not accepted"),
        (b'{"do": "pause", "source": ""}', "source: '' is not accepted"),
        (b'{"do": "pause", "source": "a\\nb"}', "is not accepted"),
        (b'{"do": "log", "level": "loud"}', "write one of debug, info, warning, error"),
        (b'{"do": "swap", "model": "main", "path": "a.cambricon"}', "is not absolute"),
    ],
)
def test_what_is_wrong_is_one_sentence(request_line: bytes, sentence: str):
    """It says what is wrong and what would be right."""
    with pytest.raises(UserError, match="(?s)" + sentence.replace("[", r"\[")) as raised:
        parse(request_line)
    assert "\n" not in raised.value.message


def test_a_line_has_a_longest_length():
    """MAX_LINE bytes are read, one more is refused before anything is made of it."""
    start = line(do="pause", source="")[:-2]
    fits = start + b"a" * (MAX_LINE - len(start) - 2) + b'"}'
    assert len(fits) == MAX_LINE
    assert parse(fits).do == "pause"
    with pytest.raises(UserError, match=f"more than {MAX_LINE} bytes"):
        parse(fits + b" ")


@given(st.binary(max_size=300) | JSON.map(lambda value: json.dumps(value).encode()))
def test_whatever_comes_is_read_or_refused(data: bytes):
    """No bytes lead to anything but a request or a sentence of one line."""
    asked, sentence = outcome(data)
    assert (asked is None) == bool(sentence)
    assert "\n" not in sentence
    assert asked is None or set(asked.fields) == set(ASKED[asked.do])


@given(st.dictionaries(st.sampled_from(["do", *VALUES]), st.sampled_from([*ASKED, *VALUES.values()]) | JSON))
def test_what_looks_like_a_request_is_read_or_refused(request: dict[str, object]):
    """Right names with wrong values, too."""
    asked, _ = outcome(line(**request))
    assert asked is None or asked.do == request["do"]
    assert asked is None or all(isinstance(value, str) and value for value in asked.fields.values())
