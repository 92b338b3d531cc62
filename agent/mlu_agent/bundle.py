"""A model and its manifest, checked against each other: ``load_bundle`` gives the ModelSpec that everything else
works from.

The manifest's fields are described in ``deploy/FORMAT.md`` section 3.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlu_agent._fields import Fields, is_number, raise_problems, show
from mlu_agent._files import path_problem, read_bounded
from mlu_agent._toml import parse_toml
from mlu_agent.errors import DataError, UserError
from mlu_agent.offline_model import MAX_FILE, OfflineModel, read_offline_model
from mlu_agent.output_spec import ANCHORED, DECODES, FIELDS, MAX_REG, HeadSpec, OutputSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["HeadSpec", "InputSpec", "ModelSpec", "OutputSpec", "Thresholds", "load_bundle"]

MAX_MANIFEST = 1 << 20
MAX_LABELS = 4096
MAX_LABEL = 128  # bytes: 10,000 detections have to fit into a message
MAX_SIDE = 16384
CHANNELS = ("rgb", "bgr", "rgba", "bgra", "argb", "abgr")
_FILE_NAME = r"(?!\.)[^/\\:]{1,200}"


@dataclass(frozen=True)
class InputSpec:
    """What the network's input wants: filled by ``preprocess``.

    ``width``, ``height``  pixels.
    ``resize``             "letterbox" or "stretch".
    ``pad_value``          0..255, for the letterbox's border.
    ``channels``           order in the tensor, one letter each: "rgb", "bgr", "rgba", "bgra", "argb", "abgr".
    ``dtype``              "uint8", "float16" or "float32".
    ``mean``, ``std``      float inputs hold (x - mean) / std, x being 0..255; in the tensor's order, without "a".
    """

    width: int
    height: int
    resize: str = "letterbox"
    pad_value: int = 128
    channels: str = "rgb"
    dtype: str = "uint8"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (255.0, 255.0, 255.0)


@dataclass(frozen=True)
class Thresholds:
    """Which candidates become detections.

    ``multi_label``  False: a box has its best class only. True: every class with confidence of at least the threshold
                     is a candidate of its own, as accuracy is measured.
    """

    confidence: float = 0.25
    iou: float = 0.45
    max_detections: int = 300
    multi_label: bool = False


@dataclass(frozen=True)
class ModelSpec:
    """A model that may be loaded: ``path`` is that of the .cambricon, ``sha256`` its digest, checked."""

    name: str
    path: Path
    manifest_path: Path
    sha256: str
    offline: OfflineModel
    input: InputSpec
    output: OutputSpec
    thresholds: Thresholds
    labels: tuple[str, ...]
    provenance: dict[str, str]

    @property
    def batch(self) -> int:
        """Pictures per invocation, compiled in."""
        return self.offline.inputs[0].shape[0]

    @property
    def num_classes(self) -> int:
        """Number of labels."""
        return len(self.labels)


def load_bundle(path: str | Path) -> ModelSpec:
    """Read a model and its manifest; ``path`` may be either of the two, which lie beside each other.

    Raises UserError for a path that is neither, DataError if a file is wrong or the two do not fit each other.
    """
    manifest = _manifest_path(Path(path))
    name = manifest.name
    root = Fields(parse_toml(read_bounded(manifest, MAX_MANIFEST, DataError), name, DataError), "", [])
    fields = _read_manifest(root)
    raise_problems(name, root.problems, DataError)
    model = manifest.parent / fields["model"]
    if Path(path).suffix == ".cambricon" and model.name != Path(path).name:
        raise DataError(
            f"{name}: model: {show(model.name)} is not {show(Path(path).name)}; put each model beside its manifest"
        )
    offline = _read_model(model, fields["sha256"], name)
    problems: list[str] = []
    _check_input(fields["input"], offline, problems)
    _check_output(fields["output"], fields["input"], len(fields["labels"]), offline, problems)
    raise_problems(name, problems, DataError)
    del fields["model"]
    return ModelSpec(path=model, manifest_path=manifest, offline=offline, **fields)


def _manifest_path(path: Path) -> Path:
    if path.suffix == ".toml":
        return path
    if path.suffix != ".cambricon":
        raise UserError(f"{path}: neither a .cambricon model nor its .toml manifest; give one of the two")
    problem = path_problem(path)
    if problem:
        raise UserError(f"{path}: {problem}")
    if not path.is_file():
        raise UserError(f"{path}: not a regular file; give the path of a file")
    manifest = path.with_suffix(".toml")
    if not manifest.is_file():
        raise UserError(
            f"{path}: its manifest {manifest.name} is not beside it; mlu-export writes both, copy it too; "
            "for a model of the vendor's tools write one as deploy/FORMAT.md, section 3, describes"
        )
    return manifest


def _read_model(path: Path, sha256: str, manifest: str) -> OfflineModel:
    data = read_bounded(path, MAX_FILE, DataError)
    digest = hashlib.sha256(data).hexdigest()
    if digest != sha256:
        raise DataError(
            f"{manifest}: sha256: {sha256[:12]}… is not the digest of {path.name} ({digest[:12]}…); "
            "one of the two files was changed: copy both again"
        )
    try:
        return read_offline_model(data)
    except DataError as failure:
        raise DataError(f"{path.name}: {failure.message}") from None


def _read_manifest(root: Fields) -> dict[str, Any]:
    schema = root.integer("schema", minimum=0, maximum=2**31)
    if schema != 1:
        root.problem("schema", f"{schema} is not known; this version reads schema 1: update mlu-agent")
    root.text("task", choices=("detect",))
    fields = {
        "name": root.text("name", longest=127),
        "model": root.text("model", pattern=_FILE_NAME, remedy="write a file name without directories"),
        "sha256": root.text("sha256", pattern="[0-9a-f]{64}", remedy="write the 64 hexadecimal digits of sha256sum"),
        "labels": _read_labels(root),
        "input": _read_input(root.table("input", required=True)),
        "output": _read_output(root.table("output", required=True)),
        "thresholds": _read_thresholds(root.table("thresholds")),
        "provenance": {str(key): str(value)[:4096] for key, value in root.table("provenance").items()},
    }
    root.close()
    return fields


def _read_labels(root: Fields) -> tuple[str, ...]:
    remedy = f"write 1 to {MAX_LABELS} names in quotes"
    labels = root.array("labels", longest=MAX_LABELS, remedy=remedy)
    for index, label in enumerate(labels):
        if not isinstance(label, str) or not label.isprintable() or not 1 <= len(label.encode()) <= MAX_LABEL:
            root.problem(f"labels[{index}]", f"{show(label)} is not accepted; write a name of 1 to {MAX_LABEL} bytes")
    if root.has("labels") and not labels:
        root.problem("labels", f"is empty; {remedy}")
    return tuple(str(label) for label in labels)


def _read_input(table: Fields) -> InputSpec:
    spec = InputSpec(
        width=table.integer("width", minimum=1, maximum=MAX_SIDE),
        height=table.integer("height", minimum=1, maximum=MAX_SIDE),
        resize=table.text("resize", choices=("letterbox", "stretch")),
        pad_value=table.integer("pad_value", 128, minimum=0, maximum=255),
        channels=table.text("channels", choices=CHANNELS),
        dtype=table.text("dtype", choices=("uint8", "float16", "float32")),
        mean=_three(table, "mean", (0.0, 0.0, 0.0), -1e6),
        std=_three(table, "std", (255.0, 255.0, 255.0), 1e-6),
    )
    table.close()
    return spec


def _three(table: Fields, key: str, default: tuple[float, float, float], least: float) -> tuple[float, float, float]:
    remedy = f"write three numbers from {least:g} to 1e+06"
    values = table.array(key, list(default), longest=3, remedy=remedy)
    if len(values) != 3 or not all(is_number(value) and least <= value <= 1e6 for value in values):
        table.problem(key, f"{show(values)} is not accepted; {remedy}")
        return default
    return float(values[0]), float(values[1]), float(values[2])


def _read_output(table: Fields) -> OutputSpec:
    kind = table.text("kind", choices=("yolo_heads", "detection_output"))
    if kind == "detection_output":
        spec = OutputSpec(
            kind,
            coordinates=table.text("coordinates", choices=("normalized", "pixels")),
            max_boxes=table.integer("max_boxes", minimum=1, maximum=65536),
        )
    else:
        spec = _read_heads(table, kind)
    table.close()
    return spec


def _read_heads(table: Fields, kind: str) -> OutputSpec:
    decode = table.text("decode", choices=DECODES) or DECODES[0]
    heads = tuple(_read_head(head, decode) for head in table.tables("heads", longest=16))
    if not heads:
        table.problem("heads", "is missing; write one [[output.heads]] per level")
    if decode in ANCHORED:
        return OutputSpec(kind, decode, heads)
    fields = FIELDS[decode]
    return OutputSpec(
        kind,
        decode,
        heads,
        reg_max=table.integer("reg_max", 16, minimum=1, maximum=MAX_REG) if decode == "yolov8" else 1,
        tensors=_read_tensors(table, fields),
        activated=_read_activated(table, fields[1:]),
        joined=table.boolean("joined", False),
    )


def _read_tensors(table: Fields, fields: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    remedy = f"write the fields of each tensor, as [{_quoted(fields)}], so that each of them is in one tensor"
    tensors = table.array("tensors", [list(fields)], longest=len(fields), remedy=remedy)
    flat = [field for tensor in tensors if isinstance(tensor, list) for field in tensor]
    right = all(isinstance(tensor, list) and tensor for tensor in tensors)
    if not right or len(flat) != len(fields) or any(field not in flat for field in fields):
        table.problem("tensors", f"{show(tensors)} is not accepted; {remedy}")
        return (fields,)
    return tuple(tuple(tensor) for tensor in tensors)


def _read_activated(table: Fields, scores: tuple[str, ...]) -> tuple[str, ...]:
    """The fields that are probabilities already: of scores alone, boxes never are."""
    remedy = f"write those of {_quoted(scores)} that went through a sigmoid in the network"
    values = table.array("activated", [], longest=len(scores), remedy=remedy)
    if any(value not in scores for value in values):
        table.problem("activated", f"{show(values)} is not accepted; {remedy}")
        return ()
    return tuple(values)


def _quoted(names: tuple[str, ...]) -> str:
    return "[" + ", ".join(f'"{name}"' for name in names) + "]"


def _read_head(table: Fields, decode: str) -> HeadSpec:
    anchors = _read_anchors(table) if decode in ANCHORED else np.empty((0, 2), np.float32)
    scale = table.number("scale_x_y", 1.0, minimum=1.0, maximum=4.0)
    if decode != "yolov3" and scale != 1.0:
        table.problem("scale_x_y", f'{scale} is not accepted; it belongs to decode = "yolov3" only: remove it')
    stride = table.integer("stride", minimum=1, maximum=1024)
    table.close()
    return HeadSpec(stride, anchors, scale)


def _read_anchors(table: Fields) -> NDArray[np.float32]:
    remedy = "write 1 to 16 pairs [width, height] above 0"
    pairs = table.array("anchors", longest=16, remedy=remedy)
    right = all(
        isinstance(pair, list) and len(pair) == 2 and all(is_number(side) and 0 < side <= 1e5 for side in pair)
        for pair in pairs
    )
    if not pairs or not right:
        table.problem("anchors", f"{show(pairs)} is not accepted; {remedy}")
        pairs = [[1, 1]]
    return np.array(pairs, np.float32)


def _read_thresholds(table: Fields) -> Thresholds:
    usual = Thresholds()
    spec = Thresholds(
        confidence=table.number("confidence", usual.confidence, minimum=0.0, maximum=1.0),
        iou=table.number("iou", usual.iou, minimum=0.0, maximum=1.0),
        max_detections=table.integer("max_detections", usual.max_detections, minimum=1, maximum=10000),
    )
    table.close()
    return spec


def _check_input(spec: InputSpec, offline: OfflineModel, problems: list[str]) -> None:
    if len(offline.inputs) != 1:
        problems.append(
            f"input: the model has {len(offline.inputs)} inputs that it describes; models with exactly 1 are served"
        )
        return
    tensor = offline.inputs[0]
    expected = (spec.height, spec.width, len(spec.channels))
    if len(tensor.shape) != 4 or tensor.shape[1:] != expected:
        problems.append(
            f"input: height, width, channels {list(expected)} is not the model's input {list(tensor.shape)}; rebuild it"
        )
    if tensor.dtype != spec.dtype:
        problems.append(f'input.dtype: "{spec.dtype}" is not the model\'s {tensor.dtype}; write that')


def _check_output(spec: OutputSpec, size: InputSpec, classes: int, offline: OfflineModel, problems: list[str]) -> None:
    shapes = [tensor.shape for tensor in offline.outputs]
    batch = offline.inputs[0].shape[0] if offline.inputs else 0
    for index, tensor in enumerate(offline.outputs):
        if tensor.dtype not in ("float16", "float32") or len(tensor.shape) != 4 or tensor.shape[0] != batch:
            problems.append(
                f"output: the model's output {index} is {tensor.dtype} {list(tensor.shape)}; "
                f"float16 or float32 of rank 4 and batch {batch} can be served: rebuild it"
            )
            return
    if spec.kind == "detection_output":
        row = 64 + 7 * spec.max_boxes
        if len(shapes) != 1 or int(np.prod(shapes[0][1:])) != row:
            problems.append(
                f"output.max_boxes: {spec.max_boxes} needs one output of {row} numbers, the model has {show(shapes)}"
            )
        return
    expected = spec.shapes(size.width, size.height, classes)
    if len(expected) != len(shapes):
        problems.append(
            f"output.heads: {len(spec.heads)} heads make {len(expected)} outputs, but the model has {len(shapes)} "
            "outputs; describe each"
        )
        return
    for index, (wanted, shape) in enumerate(zip(expected, shapes)):
        got = (shape[1] * shape[2], 1, shape[3]) if spec.joined else shape[1:]
        if got != wanted:
            problems.append(_wrong_shape(spec, index, wanted, got, classes))


def _wrong_shape(spec: OutputSpec, index: int, wanted: tuple[int, ...], got: tuple[int, ...], classes: int) -> str:
    if spec.joined:
        what, parts = f"output {index}", f"strides {[head.stride for head in spec.heads]}"
    else:
        number = index // (1 if spec.anchored else len(spec.layout))
        head = spec.heads[number]
        what, parts = f"output.heads[{number}]", f"stride {head.stride}"
        parts += f", {len(head.anchors)} anchors" if spec.anchored else ""
    if spec.anchored:
        correct = "stride, anchors or labels"
    else:
        fields = spec.layout[index % len(spec.layout)]
        parts += f", {' + '.join(fields)}" + (f", reg_max {spec.reg_max}" if spec.decode == "yolov8" else "")
        correct = "stride, tensors, reg_max or labels" if spec.decode == "yolov8" else "stride, tensors or labels"
    return (
        f"{what}: {parts} and {classes} labels make {list(wanted)}, but the model's output is {list(got)}; "
        f"correct {correct}"
    )
