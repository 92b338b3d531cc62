"""The messages on the wire, version 1.0: one ZeroMQ frame = topic, one NUL, one msgpack map.

Described for subscribers in ``docs/wire.md`` and ``docs/message-1.0.schema.json``. The rules: ``v`` is "major.minor";
a minor version only adds; unknown fields and unknown kinds are ignored; a major version changes the topic's first
part. Keys are strings and there are no extension types, so any language's msgpack library reads a message in its
usual way.
"""

from __future__ import annotations

import math
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgpack  # type: ignore[import-untyped,unused-ignore]
import numpy as np

from mlu_agent.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mlu_agent.detections import Detections
    from mlu_agent.frame import Frame
    from mlu_agent.geometry import Letterbox

VERSION = "1.0"
MAJOR = 1
KINDS = ("frame", "state", "heartbeat", "end")
MAX_MESSAGE = 4 << 20  # 10,000 detections with long labels stay below it
MAX_ITEMS = 16384
MAX_TOPIC = 256
STATES = ("connecting", "live", "stalled", "lost", "failed", "ended")
CLOCK_QUALITY = {
    "rtcp_sr": "sender",  # the camera's own clock, carried by RTCP sender reports
    "arrival": "arrival",  # our clock when the frame was grabbed: network and decoding delay included
    "file_pts": "nominal",  # counted from the file's timestamps: distances are right, the hour is not
}
_SOURCE = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True)
class Identity:
    """Who is speaking: ``box`` is its name, ``boot_id`` tells one start of the agent from the next."""

    box: str
    boot_id: str


@dataclass(frozen=True)
class ModelInfo:
    """The model behind the detections. ``version`` is free text of the manifest's provenance, or ""."""

    name: str
    version: str
    sha256: str
    confidence: float
    iou: float
    max_detections: int

    def to_map(self) -> dict[str, Any]:
        """As it stands in a message."""
        thresholds = {"confidence": self.confidence, "iou": self.iou, "max_detections": self.max_detections}
        return {"name": self.name, "version": self.version, "sha256": self.sha256, "thresholds": thresholds}


def topic(kind: str, source_id: str) -> str:
    """ "1/<kind>/<source_id>"; ``source_id`` is the box's name in a heartbeat. ValueError if either does not fit a
    topic."""
    if kind not in KINDS or not _SOURCE.fullmatch(source_id):
        raise ValueError(f"kind {kind!r} and source id {source_id!r} make no topic: 1 to 64 of A-Z a-z 0-9 . _ -")
    return f"{MAJOR}/{kind}/{source_id}"


def encode(topic: str, message: Mapping[str, Any]) -> bytes:
    """The bytes of one ZeroMQ frame."""
    packed: bytes = msgpack.packb(message, use_bin_type=True)
    return topic.encode("ascii") + b"\0" + packed


def decode(frame: bytes) -> tuple[str, dict[str, Any]]:
    """One ZeroMQ frame -> its topic and its message. Bounded; DataError with one sentence for anything else than a
    message of major version 1. Fields beyond ``v`` and ``kind`` are not checked: that is the schema's work."""
    if len(frame) > MAX_MESSAGE:
        raise DataError(
            f"message: {len(frame)} bytes, more than {MAX_MESSAGE}; the publisher is no mlu-agent of version 1"
        )
    head, nul, body = frame.partition(b"\0")
    if not nul or len(head) > MAX_TOPIC or not head.isascii() or not head.decode("ascii").isprintable():
        raise DataError("message: does not begin with a topic and a NUL; the publisher is no mlu-agent")
    name = head.decode("ascii")
    message = _unpack(body, name)
    version = message.get("v")
    if not isinstance(version, str) or version.split(".")[0] != str(MAJOR):
        raise DataError(f"message {name!r}: version {version!r:.20} is not {MAJOR}.x; update the subscriber")
    if not isinstance(message.get("kind"), str) or name.split("/")[:2] != [str(MAJOR), message["kind"]]:
        raise DataError(f"message {name!r}: kind {message.get('kind')!r:.20} is not that of its topic; it is damaged")
    return name, message


def _unpack(body: bytes, name: str) -> dict[str, Any]:
    limit = min(MAX_ITEMS, len(body))
    try:
        message = msgpack.unpackb(
            body,
            raw=False,
            strict_map_key=True,
            max_str_len=len(body),
            max_bin_len=0,
            max_ext_len=0,
            max_array_len=limit,
            max_map_len=limit,
            ext_hook=_refuse_extension,
        )
    except (ValueError, TypeError, msgpack.UnpackException, RecursionError, OverflowError) as failure:
        reason = " ".join(str(failure).split())[:80] or type(failure).__name__
        raise DataError(f"message {name!r}: not a msgpack map ({reason}); it is damaged") from None
    if not isinstance(message, dict) or not all(isinstance(key, str) for key in message):
        raise DataError(f"message {name!r}: not a msgpack map with text keys; it is damaged")
    return message


def _refuse_extension(code: int, _data: bytes) -> Any:
    raise ValueError(f"extension type {code}")


def _envelope(kind: str, identity: Identity, publish_time_ns: int | None) -> dict[str, Any]:
    return {
        "v": VERSION,
        "kind": kind,
        "box": identity.box,
        "boot_id": identity.boot_id,
        "t_publish_ns": time.time_ns() if publish_time_ns is None else publish_time_ns,
    }


def frame_message(
    identity: Identity,
    frame: Frame,
    detections: Detections,
    letterbox: Letterbox,
    labels: Sequence[str],
    model: ModelInfo,
    runtime: str,
    *,
    latency_ms: Mapping[str, float],
    counters: Mapping[str, int],
    flags: Iterable[str] = (),
    publish_time_ns: int | None = None,
) -> dict[str, Any]:
    """The message of one frame, empty or not.

    ``runtime``     "device" or "simulator".
    ``latency_ms``  of the stages "grab", "wait", "preprocess", "device", "postprocess", as far as they were measured.
    ``counters``    of this source since the agent started, by reason.
    ``flags``       "replayed", "simulated", "degraded".
    """
    message = _envelope("frame", identity, publish_time_ns)
    message.update(
        source=frame.source_id,
        seq=frame.sequence,
        position=frame.position,
        t_capture_ns=frame.capture_time_ns,
        clock=frame.clock,
        clock_quality=CLOCK_QUALITY[frame.clock],
        width=letterbox.width,
        height=letterbox.height,
        letterbox=letterbox_map(letterbox),
        detections=detection_list(detections, labels, letterbox.width, letterbox.height),
        model=model.to_map(),
        runtime=runtime,
        latency_ms={stage: round(float(value), 3) for stage, value in latency_ms.items()},
        age_ms=round((message["t_publish_ns"] - frame.capture_time_ns) / 1e6, 3),
        counters=dict(counters),
        flags=list(flags),
    )
    return message


def letterbox_map(letterbox: Letterbox) -> dict[str, float]:
    """As it stands in a message: x_network = x_frame * scale_x + pad_x."""
    return {
        "scale_x": float(letterbox.scale_x),
        "scale_y": float(letterbox.scale_y),
        "pad_x": float(letterbox.pad_x),
        "pad_y": float(letterbox.pad_y),
    }


def detection_list(detections: Detections, labels: Sequence[str], width: int, height: int) -> list[dict[str, Any]]:
    """Detections as they stand in a message: boxes are xyxy of the frame, normalised to 0..1, rounded to 1e-6."""
    scale = np.array([width, height, width, height], np.float64)
    boxes = np.round(detections.xyxy / scale, 6).tolist()
    scores = np.round(detections.confidence.astype(np.float64), 6).tolist()
    return [
        {"class_id": number, "label": labels[number], "confidence": score, "box": box}
        for number, score, box in zip(detections.class_id.tolist(), scores, boxes)
    ]


def state_message(
    identity: Identity,
    source_id: str,
    state: str,
    reason: str,
    since_ns: int,
    *,
    counters: Mapping[str, int] | None = None,
    publish_time_ns: int | None = None,
) -> dict[str, Any]:
    """How a source is: ``state`` is one of STATES, ``reason`` one sentence for people (without passwords),
    ``since_ns`` wall clock when it became so. Sent on every change and repeated for late joiners."""
    if state not in STATES:
        raise ValueError(f"state {state!r} is none of {STATES}")
    message = _envelope("state", identity, publish_time_ns)
    message.update(source=source_id, state=state, reason=reason, since_ns=since_ns, counters=dict(counters or {}))
    return message


def heartbeat_message(
    identity: Identity,
    sequence: int,
    *,
    interval_s: float,
    uptime_s: float,
    runtime: str,
    model: ModelInfo,
    sources: Mapping[str, str],
    counters: Mapping[str, int],
    flags: Iterable[str] = (),
    publish_time_ns: int | None = None,
) -> dict[str, Any]:
    """Sign of life of the box. ``sequence`` counts heartbeats, ``sources`` maps each source to its state."""
    if not (math.isfinite(interval_s) and math.isfinite(uptime_s)):
        raise ValueError(f"interval {interval_s} and uptime {uptime_s} must be finite")
    message = _envelope("heartbeat", identity, publish_time_ns)
    message.update(
        seq=sequence,
        interval_s=float(interval_s),
        uptime_s=round(float(uptime_s), 3),
        runtime=runtime,
        model=model.to_map(),
        sources=dict(sources),
        counters=dict(counters),
        flags=list(flags),
    )
    return message


def end_message(
    identity: Identity,
    source_id: str,
    reason: str,
    *,
    frames: int,
    counters: Mapping[str, int],
    publish_time_ns: int | None = None,
) -> dict[str, Any]:
    """No frame of this source will follow: ``frames`` is the sequence number that the next one would have had."""
    message = _envelope("end", identity, publish_time_ns)
    message.update(source=source_id, reason=reason, frames=frames, counters=dict(counters))
    return message
