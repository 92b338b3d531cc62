"""What a message says, as typed values. Fields and their meaning: ``docs/wire.md``; ``mlu_client.reading`` makes them.

Times are nanoseconds since 1970 UTC by the box's clock. Words that later versions may add to (states, clocks, runtimes,
flags, counters) are plain texts here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Message:
    """What every message says. One of a kind that this version does not know is read as this alone.

    ``box``      the agent's name.
    ``boot_id``  another one after each start of the agent.
    """

    kind: str
    version: str
    box: str
    boot_id: str
    publish_time_ns: int


Point = tuple[float, float]


@dataclass(frozen=True)
class Keypoint:
    """A place on an object; ``visibility`` 0..1, None where the model does not tell it."""

    x: float
    y: float
    visibility: float | None = None


@dataclass(frozen=True)
class Detection:
    """One object. ``box`` is left, top, right, bottom in the original frame, divided by its width and height.

    All else are places in the frame, divided likewise, which some models tell since version 1.3; None where nothing was
    told. ``polygons``: the outlines of the object's parts, the largest first. ``keypoints``: in the model's order.
    ``corners``: of a turned box, clockwise as one sees it, also beyond the frame; ``angle``: radians of the side from
    the first corner to the second, clockwise from the x axis, in pixels of the frame.
    """

    class_id: int
    label: str
    confidence: float
    box: tuple[float, float, float, float]
    polygons: tuple[tuple[Point, ...], ...] | None = None
    keypoints: tuple[Keypoint, ...] | None = None
    corners: tuple[Point, Point, Point, Point] | None = None
    angle: float | None = None


@dataclass(frozen=True)
class Letterbox:
    """How the frame was laid into the network: x_network = x_frame * scale_x + pad_x, in pixels; the same for y."""

    scale_x: float
    scale_y: float
    pad_x: float
    pad_y: float


@dataclass(frozen=True)
class Model:
    """The model behind the detections; confidence, iou and max_detections are the thresholds in force; ``classes``:
    the labels that are looked for, each with the confidence that it needs, None: all of them."""

    name: str
    version: str
    sha256: str
    confidence: float
    iou: float
    max_detections: int
    classes: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Class:
    """What a picture shows as a whole."""

    class_id: int
    label: str
    confidence: float


@dataclass(frozen=True)
class Tensor:
    """One output of a network. ``dtype``: "float16", "float32" or another name of numpy's; ``data``: its numbers,
    little-endian, the last axis first, as ``numpy.frombuffer(data, dtype).reshape(shape)`` takes them; None where they
    did not fit into the message."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    data: bytes | None


@dataclass(frozen=True)
class Result(Message):
    """What is told of a frame that was worked through, whatever the model does. ``sequence`` counts a source's frames
    from 0 since ``boot_id`` began, ``position`` those of its file or stream; width and height are pixels of the
    original frame. ``roi``: the part of it that the model saw, as a box; None: all of it."""

    source_id: str
    sequence: int
    position: int
    capture_time_ns: int
    clock: str
    clock_quality: str
    width: int
    height: int
    letterbox: Letterbox
    model: Model
    runtime: str
    latency_ms: Mapping[str, float]
    age_ms: float
    counters: Mapping[str, int]
    flags: tuple[str, ...]
    roi: tuple[float, float, float, float] | None


@dataclass(frozen=True)
class Frame(Result):
    """Of a model that detects: ``detections`` stand by descending confidence."""

    detections: tuple[Detection, ...]


@dataclass(frozen=True)
class Classes(Result):
    """Of a model that classifies: ``classes`` stand by descending confidence. Since version 1.2."""

    classes: tuple[Class, ...]


@dataclass(frozen=True)
class Tensors(Result):
    """Of any other model: its outputs. Since version 1.2."""

    tensors: tuple[Tensor, ...]


@dataclass(frozen=True)
class State(Message):
    """How a source is: ``state`` is one of ``codec.STATES`` or a later version's, ``reason`` one sentence, ``code`` the
    same in one word for programs; empty where the state says it all, and in messages of version 1.0."""

    source_id: str
    state: str
    reason: str
    since_ns: int
    counters: Mapping[str, int]
    code: str = ""


@dataclass(frozen=True)
class Device:
    """How the device is: ``state`` is ok, recovering, suspect (it works, and had a fault a short while ago) or lost;
    ``reason``: its last fault, "" if there was none."""

    state: str
    reason: str
    since_ns: int


@dataclass(frozen=True)
class Heartbeat(Message):
    """Sign of life of the box, every ``interval_s``; ``sources`` maps each source to its state. ``device``: None from
    before version 1.1."""

    sequence: int
    interval_s: float
    uptime_s: float
    runtime: str
    model: Model
    sources: Mapping[str, str]
    counters: Mapping[str, int]
    flags: tuple[str, ...]
    device: Device | None = None


@dataclass(frozen=True)
class End(Message):
    """No frame of this source will follow; ``frames`` is the sequence number that the next one would have had."""

    source_id: str
    reason: str
    frames: int
    counters: Mapping[str, int]
