"""The bytes of messages, version 1.3: one ZeroMQ frame = topic, one NUL, one msgpack map.

Described for subscribers in ``docs/wire.md`` and ``docs/message-1.3.schema.json``. The rules: ``v`` is "major.minor";
a minor version only adds; unknown fields and unknown kinds are ignored; a major version changes the topic's first
part. Keys are strings and there are no extension types: any language's msgpack library reads a message as usual.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import msgpack  # type: ignore[import-untyped,unused-ignore]

from .errors import DataError

VERSION = "1.3"
MAJOR = 1
RESULTS = ("frame", "classes", "tensors")  # what a model has to say of a frame: one sequence for each source
KINDS = (*RESULTS, "state", "heartbeat", "end")
MAX_MESSAGE = 4 << 20  # 10,000 detections with long labels stay below it
MAX_ITEMS = 16384
MAX_DEPTH = 16  # maps and lists within each other: this version needs five
MAX_TOPIC = 256
LARGEST = 2**64 - 1  # msgpack has no larger integer
STATES = ("connecting", "live", "stalled", "frozen", "black", "covered", "moved", "paused", "lost", "failed", "ended")
_SOURCE = re.compile(r"[A-Za-z0-9._-]{1,64}")


def topic(kind: str, source_id: str) -> str:
    """ "1/<kind>/<source_id>"; a heartbeat's ``source_id`` is the box's name. ValueError if either fits no topic."""
    if kind not in KINDS or not _SOURCE.fullmatch(source_id):
        raise ValueError(f"kind {kind!r} and source id {source_id!r} make no topic: 1 to 64 of A-Z a-z 0-9 . _ -")
    return f"{MAJOR}/{kind}/{source_id}"


def encode(topic: str, message: Mapping[str, Any]) -> bytes:
    """The bytes of one ZeroMQ frame."""
    packed: bytes = msgpack.packb(message, use_bin_type=True)
    return topic.encode("ascii") + b"\0" + packed


def decode(frame: bytes) -> tuple[str, dict[str, Any]]:
    """One ZeroMQ frame -> its topic and its message. Bounded; DataError with one sentence for anything else than a
    message of major version 1. What comes out is plain: maps with text keys, lists, texts, finite numbers, booleans and
    None, in the kind "tensors" bytes too, MAX_DEPTH deep at most. What the fields beyond ``v`` and ``kind`` hold is for
    ``mlu_client.reading``."""
    if len(frame) > MAX_MESSAGE:
        raise DataError(
            f"message: {len(frame)} bytes, more than {MAX_MESSAGE}; the publisher is no mlu-agent of version 1"
        )
    head, nul, body = frame.partition(b"\0")
    if not nul or len(head) > MAX_TOPIC or not head.isascii() or not head.decode("ascii").isprintable():
        raise DataError("message: does not begin with a topic and a NUL; the publisher is no mlu-agent")
    name = head.decode("ascii")
    message = _unpack(body, name)
    version, kind = message.get("v"), message.get("kind")
    if not isinstance(version, str) or version.split(".")[0] != str(MAJOR):
        raise DataError(f"message {name!r}: version {show(version, 20)} is not {MAJOR}.x; update the subscriber")
    parts = name.split("/", 2)
    if len(parts) != 3 or parts[:2] != [str(MAJOR), kind]:
        raise DataError(f"message {name!r}: kind {show(kind, 20)} is not that of its topic; it is damaged")
    return name, message


def show(value: Any, length: int) -> str:
    """A value in a few words, of a text ``length`` characters. What it holds is not looked into: that may be long, or
    nested as deep as can be."""
    if isinstance(value, str):
        return repr(value[:length])
    if isinstance(value, bool) or value is None or isinstance(value, float):
        return repr(value)
    if isinstance(value, int):
        return str(value) if abs(value) <= LARGEST else f"a number of {value.bit_length()} bits"
    kinds: dict[str, Any] = {"a map": Mapping, "a list": (list, tuple), "data": bytes}
    kind = next((name for name, types in kinds.items() if isinstance(value, types)), None)
    return f"{kind} of {len(value)}" if kind else f"a {type(value).__name__}"


def _unpack(body: bytes, name: str) -> dict[str, Any]:
    limit = min(MAX_ITEMS, len(body))
    try:
        message = msgpack.unpackb(
            body,
            raw=False,
            strict_map_key=True,
            max_str_len=len(body),
            max_bin_len=len(body),
            max_ext_len=0,
            max_array_len=limit,
            max_map_len=limit,
            ext_hook=_refuse_extension,
        )
    except (ValueError, TypeError, msgpack.UnpackException, RecursionError, OverflowError) as failure:
        reason = " ".join(str(failure).split())[:80] or type(failure).__name__
        raise DataError(f"message {name!r}: not a msgpack map ({reason}); it is damaged") from None
    if not isinstance(message, dict):
        raise DataError(f"message {name!r}: not a msgpack map; it is damaged")
    odd = _odd(message)
    if odd:
        raise DataError(f"message {name!r}: not a msgpack map of plain values ({odd}); it is damaged")
    return message


def _odd(message: dict[str, Any]) -> str:
    """What keeps a message from being plain; "" if nothing does. By levels: it may be as deep as it likes."""
    binary = message.get("kind") == "tensors"
    level: list[Any] = [message]
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for holder in level:
            if type(holder) is dict and not all(type(key) is str for key in holder):
                return "a key that is no text"
            for value in holder.values() if type(holder) is dict else holder:
                kind = type(value)
                if kind is dict or kind is list:
                    inner.append(value)
                elif kind is bytes and not binary:
                    return "binary data"
                elif kind is float and not math.isfinite(value):
                    return f"the number {value}"
        if not inner:
            return ""
        level = inner
    return f"more than {MAX_DEPTH} deep"


def _refuse_extension(code: int, _data: bytes) -> Any:
    raise ValueError(f"extension type {code}")
