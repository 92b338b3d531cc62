"""What the agent says, as maps of version 1.3: one builder for each kind of message.

The fields are described in ``docs/wire.md`` and ``docs/message-1.3.schema.json``; the codec makes them bytes.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlu_agent.classes import Classes
from mlu_agent.detections import Detections, shape_map
from mlu_agent.tensors import Tensors
from mlu_client.codec import MAX_MESSAGE, STATES, VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from mlu_agent.frame import Frame
    from mlu_agent.geometry import Letterbox
    from mlu_agent.model.info import ModelInfo
    from mlu_agent.postprocess import Result

DETECTION, NUMBER = 320, 10  # bytes of one at most: a box with the longest label; a number of its shape, lists included
MAX_DATA = MAX_MESSAGE - (256 << 10)  # of all tensors of a message: names and the other fields need the rest

CLOCK_QUALITY = {
    "rtcp_sr": "sender",  # the camera's own clock, carried by RTCP sender reports
    "arrival": "arrival",  # our clock when the frame was grabbed: network and decoding delay included
    "file_pts": "nominal",  # counted from the file's timestamps: distances are right, the hour is not
}


@dataclass(frozen=True)
class Identity:
    """Who is speaking: ``box`` is its name, ``boot_id`` tells one start of the agent from the next."""

    box: str
    boot_id: str


def _envelope(kind: str, identity: Identity, publish_time_ns: int | None) -> dict[str, Any]:
    return {
        "v": VERSION,
        "kind": kind,
        "box": identity.box,
        "boot_id": identity.boot_id,
        "t_publish_ns": time.time_ns() if publish_time_ns is None else publish_time_ns,
    }


def result_message(
    identity: Identity,
    frame: Frame,
    result: Result,
    letterbox: Letterbox,
    model: ModelInfo,
    *,
    latency_ms: Mapping[str, float],
    counters: Mapping[str, int],
    flags: Iterable[str] = (),
    publish_time_ns: int | None = None,
) -> dict[str, Any]:
    """The message of one frame, empty or not: of kind "frame" for Detections, "classes" or "tensors".

    ``latency_ms``  of the stages "grab", "wait", "preprocess", "device", "postprocess", as far as they were measured.
    ``counters``    of this source since the agent started, by reason.
    ``flags``       "replayed", "simulated", "degraded", "frozen", "black", "covered", "moved".
    """
    kind, field, found = _found(result, model.labels, letterbox)
    message = _envelope(kind, identity, publish_time_ns)
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
    )
    message[field] = found
    message.update(
        model=model_map(model),
        runtime=model.runtime,
        latency_ms={stage: round(float(value), 3) for stage, value in latency_ms.items()},
        age_ms=round((message["t_publish_ns"] - frame.capture_time_ns) / 1e6, 3),
        counters=dict(counters),
        flags=list(flags),
    )
    if letterbox.region is not None:
        sides = zip(letterbox.region, (letterbox.width, letterbox.height) * 2)
        message["roi"] = [round(side / size, 6) for side, size in sides]
    return message


def _found(result: Result, labels: Sequence[str], letterbox: Letterbox) -> tuple[str, str, list[dict[str, Any]]]:
    """The kind of message, its field for the result, and what stands there."""
    if isinstance(result, Detections):
        return "frame", "detections", detection_list(result, labels, letterbox.width, letterbox.height)
    if isinstance(result, Classes):
        return "classes", "classes", class_list(result)
    return "tensors", "tensors", tensor_list(result)


def model_map(model: ModelInfo) -> dict[str, Any]:
    """As it stands in a message."""
    thresholds: dict[str, Any] = {
        "confidence": model.confidence, "iou": model.iou, "max_detections": model.max_detections,
    }  # fmt: skip
    if model.classes:
        thresholds["classes"] = dict(model.classes)
    return {"name": model.name, "version": model.version, "sha256": model.sha256, "thresholds": thresholds}


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
    told = [
        {"class_id": number, "label": labels[number], "confidence": score, "box": box}
        for number, score, box in zip(detections.class_id.tolist(), scores, boxes)
    ]
    if detections.shaped:
        for index, (one, fits) in enumerate(zip(told, _with_room(detections))):
            one.update(shape_map(detections, index, (width, height), 6) if fits else {})
    return told


def class_list(classes: Classes) -> list[dict[str, Any]]:
    """Classes as they stand in a message."""
    scores = np.round(classes.confidence.astype(np.float64), 6).tolist()
    return [
        {"class_id": number, "label": label, "confidence": score}
        for number, label, score in zip(classes.class_id.tolist(), classes.label, scores)
    ]


def tensor_list(tensors: Tensors) -> list[dict[str, Any]]:
    """Tensors as they stand in a message: ``data`` are little-endian numbers, the last axis first. What does not fit
    any more beside those before it has no ``data``."""
    fits = fitting(array.nbytes for array in tensors.arrays)
    return [tensor_map(name, array, data=fit) for name, array, fit in zip(tensors.names, tensors.arrays, fits)]


def tensor_map(name: str, array: NDArray[Any], *, data: bool = True) -> dict[str, Any]:
    """A tensor as it stands in a message, with its numbers or without."""
    told = {"name": name, "shape": list(array.shape), "dtype": array.dtype.name}
    if data:
        told["data"] = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    return told


def without_data(result: Result) -> int:
    """How many tensors stand in a message without their data, or detections without their shape."""
    if isinstance(result, Tensors):
        return fitting(one.nbytes for one in result.arrays).count(False)
    return _with_room(result).count(False) if isinstance(result, Detections) and result.shaped else 0


def _with_room(detections: Detections) -> list[bool]:
    """Which detections have their shapes in one message: the surest, beside all boxes."""
    sizes = [NUMBER * detections.numbers(index) for index in range(len(detections))]
    told = [None] * len(sizes) if detections.polygons is None else detections.polygons
    fits = fitting(sizes, DETECTION * len(sizes))
    return [fit and (detections.polygons is None or one is not None) for fit, one in zip(fits, told)]


def fitting(sizes: Iterable[int], beside: int = 0) -> list[bool]:
    """Which of some data, of so many bytes, have room in one message ``beside`` so many of something else."""
    room = MAX_DATA - beside
    fits = []
    for size in sizes:
        fits.append(size <= room)
        room -= size if fits[-1] else 0
    return fits


def state_message(
    identity: Identity,
    source_id: str,
    state: str,
    reason: str,
    since_ns: int,
    *,
    code: str = "",
    counters: Mapping[str, int] | None = None,
    publish_time_ns: int | None = None,
) -> dict[str, Any]:
    """How a source is: ``state`` is one of STATES, ``reason`` one sentence for people (without passwords), ``code`` the
    same in one word for programs, ``since_ns`` wall clock when it became so. Sent on every change and
    repeated for late joiners."""
    if state not in STATES:
        raise ValueError(f"state {state!r} is none of {STATES}")
    message = _envelope("state", identity, publish_time_ns)
    message.update(
        source=source_id, state=state, reason=reason, code=code, since_ns=since_ns, counters=dict(counters or {})
    )
    return message


def heartbeat_message(
    identity: Identity,
    sequence: int,
    *,
    interval_s: float,
    uptime_s: float,
    model: ModelInfo,
    sources: Mapping[str, str],
    counters: Mapping[str, int],
    device: Mapping[str, str | int],
    flags: Iterable[str] = (),
    publish_time_ns: int | None = None,
) -> dict[str, Any]:
    """Sign of life of the box. ``sequence`` counts heartbeats, ``sources`` maps each source to its state, and
    ``device`` says how the device is: state, reason, since_ns."""
    if not (math.isfinite(interval_s) and math.isfinite(uptime_s)):
        raise ValueError(f"interval {interval_s} and uptime {uptime_s} must be finite")
    message = _envelope("heartbeat", identity, publish_time_ns)
    message.update(
        seq=sequence,
        interval_s=float(interval_s),
        uptime_s=round(float(uptime_s), 3),
        runtime=model.runtime,
        model=model_map(model),
        sources=dict(sources),
        counters=dict(counters),
        device=dict(device),
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
