"""A decoded message -> typed values. What comes from outside is believed field by field; fields, kinds and words that
a later minor version added are no mistake.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from .codec import MAJOR
from .table import Table
from .values import (
    Class,
    Classes,
    Detection,
    Device,
    End,
    Frame,
    Heartbeat,
    Keypoint,
    Letterbox,
    Message,
    Model,
    Point,
    State,
    Tensor,
    Tensors,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    _Envelope = tuple[str, str, str, str, int]

_NAME = r"[A-Za-z0-9._-]{1,64}"
_DTYPE = r"(?:u?int|float)(?:8|16|32|64)"
_MAX_AXES = 8
MAX_PARTS, MAX_POINTS = 64, 4096  # of one detection; this version's mlu-agent sends 8 and 128


def read_message(message: Mapping[str, Any]) -> Message:
    """``message`` as ``mlu_client.codec.decode`` or a ``Subscriber`` gives it -> a ``Frame``, ``Classes``, ``Tensors``,
    ``State``, ``Heartbeat`` or ``End``; a bare ``Message`` for another kind. DataError, one sentence with field, value
    and remedy, where a field is missing or is not what ``docs/message-1.3.schema.json`` says of it."""
    table = Table(message)
    envelope = (
        table.text("kind"),
        table.text("v", rf"{MAJOR}\.[0-9]+"),
        table.text("box", _NAME),
        table.text("boot_id", r"(?s:.{1,64})"),
        table.integer("t_publish_ns"),
    )
    reader = _READERS.get(envelope[0], _unknown)
    return reader(envelope, table)


def _unknown(envelope: _Envelope, _table: Table) -> Message:
    return Message(*envelope)


def _frame(envelope: _Envelope, table: Table) -> Message:
    return Frame(*envelope, **_context(table), detections=tuple(_detection(one) for one in table.tables("detections")))


def _classes(envelope: _Envelope, table: Table) -> Message:
    return Classes(*envelope, **_context(table), classes=tuple(_class(one) for one in table.tables("classes")))


def _tensors(envelope: _Envelope, table: Table) -> Message:
    return Tensors(*envelope, **_context(table), tensors=tuple(_tensor(one) for one in table.tables("tensors")))


def _context(table: Table) -> dict[str, Any]:
    """What the message of a frame has whatever the model does."""
    return {
        "source_id": table.text("source", _NAME),
        "sequence": table.integer("seq"),
        "position": table.integer("position"),
        "capture_time_ns": table.integer("t_capture_ns"),
        "clock": table.text("clock"),
        "clock_quality": table.text("clock_quality"),
        "width": table.integer("width", 1),
        "height": table.integer("height", 1),
        "letterbox": _letterbox(table.table("letterbox")),
        "model": _model(table.table("model")),
        "runtime": table.text("runtime"),
        "latency_ms": table.numbers("latency_ms"),
        "age_ms": table.number("age_ms"),
        "counters": table.counts("counters"),
        "flags": table.texts("flags"),
        "roi": table.fractions("roi") if table.has("roi") else None,
    }


def _state(envelope: _Envelope, table: Table) -> Message:
    return State(
        *envelope,
        source_id=table.text("source", _NAME),
        state=table.text("state"),
        reason=table.text("reason"),
        since_ns=table.integer("since_ns"),
        counters=table.counts("counters"),
        code=table.text("code") if table.has("code") else "",
    )


def _heartbeat(envelope: _Envelope, table: Table) -> Message:
    return Heartbeat(
        *envelope,
        sequence=table.integer("seq"),
        interval_s=table.number("interval_s", above=0.0),
        uptime_s=table.number("uptime_s", 0.0),
        runtime=table.text("runtime"),
        model=_model(table.table("model")),
        sources=table.words("sources"),
        counters=table.counts("counters"),
        flags=table.texts("flags"),
        device=_device(table.table("device")) if table.has("device") else None,
    )


def _device(table: Table) -> Device:
    return Device(table.text("state"), table.text("reason"), table.integer("since_ns"))


def _end(envelope: _Envelope, table: Table) -> Message:
    return End(
        *envelope,
        source_id=table.text("source", _NAME),
        reason=table.text("reason"),
        frames=table.integer("frames"),
        counters=table.counts("counters"),
    )


def _letterbox(table: Table) -> Letterbox:
    return Letterbox(
        scale_x=table.number("scale_x", above=0.0),
        scale_y=table.number("scale_y", above=0.0),
        pad_x=table.number("pad_x"),  # negative where the model sees a part of the frame
        pad_y=table.number("pad_y"),
    )


def _model(table: Table) -> Model:
    thresholds = table.table("thresholds")
    return Model(
        name=table.text("name"),
        version=table.text("version"),
        sha256=table.text("sha256", r"[0-9a-f]{64}"),
        confidence=thresholds.number("confidence", 0.0, 1.0),
        iou=thresholds.number("iou", 0.0, 1.0),
        max_detections=thresholds.integer("max_detections", 1),
        classes=thresholds.numbers("classes") if thresholds.has("classes") else None,
    )


def _detection(table: Table) -> Detection:
    return Detection(
        class_id=table.integer("class_id"),
        label=table.text("label"),
        confidence=table.number("confidence", 0.0, 1.0),
        box=table.fractions("box"),
        polygons=_polygons(table) if table.has("polygons") else None,
        keypoints=_keypoints(table) if table.has("keypoints") else None,
        corners=_corners(table) if table.has("corners") else None,
        angle=table.number("angle") if table.has("angle") else None,
    )


def _polygons(table: Table) -> tuple[tuple[Point, ...], ...]:
    polygons = table.points_of_parts("polygons", most=MAX_PARTS)
    return tuple(tuple((x, y) for x, y in polygon) for polygon in polygons)


def _keypoints(table: Table) -> tuple[Keypoint, ...]:
    return tuple(Keypoint(*point) for point in table.points("keypoints", sizes=(2, 3), most=MAX_POINTS))


def _corners(table: Table) -> tuple[Point, Point, Point, Point]:
    one, two, three, four = ((x, y) for x, y in table.points("corners", least=4, most=4, bounded=False))
    return one, two, three, four


def _class(table: Table) -> Class:
    return Class(table.integer("class_id"), table.text("label"), table.number("confidence", 0.0, 1.0))


def _tensor(table: Table) -> Tensor:
    name, shape = table.text("name"), table.integers("shape", _MAX_AXES)
    dtype = table.text("dtype", _DTYPE)
    size = math.prod(shape) * int(re.sub("[a-z]", "", dtype)) // 8
    return Tensor(name, shape, dtype, table.data("data", size) if table.has("data") else None)


_READERS = {
    "frame": _frame,
    "classes": _classes,
    "tensors": _tensors,
    "state": _state,
    "heartbeat": _heartbeat,
    "end": _end,
}
