"""A model and its manifest, checked against each other: ``load_bundle`` gives the ModelSpec that all else works from.

The manifest's fields are described in ``deploy/FORMAT.md`` section 3.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config.fields import Fields, is_number, raise_problems, show
from ..config.files import may_pass, path_failure, path_problem, read_bounded, read_stamped
from ..config.toml import parse_toml
from ..errors import DataError, UserError, passing
from .bundle_file import SUFFIX
from .offline_model import MAX_FILE, OfflineModel, read_offline_model
from .output_reader import check_output, read_output
from .output_spec import DETECTION_OUTPUT, TASKS, TENSORS, HeadSpec, OutputSpec
from .packed import Packed, open_last_good, open_packed
from .standins import described

if TYPE_CHECKING:
    from ..config.files import Stamp
    from .signatures import Trust

__all__ = ["HeadSpec", "InputSpec", "ModelSpec", "OutputSpec", "Thresholds", "load_bundle", "load_detection_bundle"]

MAX_MANIFEST = 1 << 20
MAX_LABELS = 4096
MAX_LABEL = 128  # bytes: 10,000 detections have to fit into a message
MAX_SIDE = 16384
MAX_PIXEL = 1e6  # of mean and std
SMALLEST_DEVIATION = 1e-6
RESIZES = ("letterbox", "corner", "stretch")
CHANNELS = ("rgb", "bgr", "rgba", "bgra", "argb", "abgr")
_FILE_NAME = r"(?!\.)[^/\\:]{1,200}"


@dataclass(frozen=True)
class InputSpec:
    """What the network's input wants: filled by ``preprocess``.

    ``width``, ``height``  pixels.
    ``resize``             "letterbox", "corner" or "stretch".
    ``pad_value``          0..255, for the border of the first two.
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
    """A model that may be loaded: ``path`` is that of the .cambricon, ``sha256`` its digest, checked.

    ``device`` is the same model as the vendor's compiler made it, where the bundle has that file too. ``packed``: the
    one file that all of it came in, None where the files lie beside each other.
    """

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
    device: ModelSpec | None = None
    packed: Packed | None = None
    manifest_sha256: str = ""  # which has the models' digests in it: all that matters of it has the same
    stamp: Stamp | None = field(default=None, compare=False)  # of the file whose digest that is, None if unknown

    def on(self, runtime: str) -> ModelSpec:
        """The file that a runtime ("device" or "simulator") takes: a device takes its own where there is one."""
        return self.device if runtime == "device" and self.device is not None else self

    @property
    def given(self) -> Path:
        """The file that a person gave: the bundle, where it came in one."""
        return self.path if self.packed is None else self.packed.path

    @property
    def batch(self) -> int:
        """Pictures per invocation, compiled in."""
        return self.offline.inputs[0].shape[0]

    @property
    def num_classes(self) -> int:
        """Number of labels."""
        return len(self.labels)


def load_bundle(path: str | Path, trust: Trust | None = None) -> ModelSpec:
    """Reads a model and its manifest; ``path`` may be either of the two, which lie beside each other, or a ``.bundle``.

    ``trust``: who has to have signed it. Raises UserError for a path that is none of these, DataError if a file is
    wrong, the two do not fit each other or a signature is missing, CannotUnpack if there is no room to unpack one.
    """
    path = Path(path)
    if path.suffix == SUFFIX:
        return _load_packed(open_packed(path, trust))
    if trust is not None and trust.required:
        raise DataError(
            f"{path}: only a bundle can be signed, and model.trust = {show(str(trust.place))} wants that; "
            "give the .bundle that mlu-export bundle --sign writes"
        )
    manifest = _manifest_path(path)
    spec = read_manifest(manifest, read_bounded(manifest, MAX_MANIFEST, DataError))
    if path.suffix == ".cambricon" and spec.path.name != path.name:
        raise DataError(
            f"{manifest.name}: model: {show(spec.path.name)} is not {show(path.name)}; put each model beside its "
            "manifest"
        )
    return spec


def load_last_good(path: Path, trust: Trust | None, refused: str) -> ModelSpec | None:
    """The last good bundle of a path, whose own was ``refused``; None if none was kept. DataError if it is, too."""
    packed = open_last_good(path, trust, refused)
    return None if packed is None else _load_packed(packed)


def _load_packed(packed: Packed) -> ModelSpec:
    """A model that was unpacked, which the spec keeps where it is."""
    manifest = packed.manifest
    spec = replace(read_manifest(manifest, read_bounded(manifest, MAX_MANIFEST, DataError)), packed=packed)
    models = {"model": (runs_on(spec.offline), spec.sha256)}
    if spec.device is not None:
        device = replace(spec.device, packed=packed)
        spec = replace(spec, device=device)
        models["device_model"] = (runs_on(device.offline), device.sha256)
    packed.agree(spec.name, models)
    return spec


def read_manifest(manifest: Path, data: bytes) -> ModelSpec:
    """The bundle whose manifest lies, or will lie, at that path and holds ``data``. DataError as ``load_bundle``."""
    name = manifest.name
    root = Fields(parse_toml(data, name, DataError), "", [])
    fields = _read_manifest(root)
    raise_problems(name, root.problems, DataError)
    model = manifest.parent / fields["model"]
    offline, stamp = _read_model(model, fields["sha256"], name)
    problems: list[str] = []
    _check_input(fields["input"], offline, problems)
    size = fields["input"]
    check_output(fields["output"], size.width, size.height, len(fields["labels"]), offline, problems)
    raise_problems(name, problems, DataError)
    del fields["model"]
    other = fields.pop("device")
    digest = hashlib.sha256(data).hexdigest()
    spec = ModelSpec(path=model, manifest_path=manifest, offline=offline, manifest_sha256=digest, stamp=stamp, **fields)
    return spec if other is None else replace(spec, device=_device_spec(spec, *other))


def _device_spec(spec: ModelSpec, model: str, sha256: str) -> ModelSpec:
    """The bundle's file for a device, held to the same description."""
    name = spec.manifest_path.name
    path = spec.manifest_path.parent / model
    offline, stamp = _read_model(path, sha256, name)
    problems: list[str] = []
    if offline.kind != "device":
        problems.append(f"device.model: {show(model)} holds a network for the simulator; name the device's file there")
    _check_input(spec.input, offline, problems)
    check_output(spec.output, spec.input.width, spec.input.height, len(spec.labels), offline, problems)
    raise_problems(f"{name}: {model}", problems, DataError)
    return replace(spec, path=path, sha256=sha256, offline=offline, stamp=stamp)


def below_floor(spec: ModelSpec, thresholds: Thresholds) -> str:
    """Why a lower confidence than the manifest's may find no more than that one, "" where it does."""
    if spec.output.kind != DETECTION_OUTPUT or thresholds.confidence >= spec.thresholds.confidence:
        return ""
    return (
        f"confidence {thresholds.confidence:g} is below the manifest's {spec.thresholds.confidence:g}: the model ends "
        "in the detection output, which drops boxes itself, and may give none below; build it with a lower --confidence"
    )


def load_detection_bundle(path: str | Path, trust: Trust | None = None) -> ModelSpec:
    """As ``load_bundle``; UserError for a model that detects nothing."""
    spec = load_bundle(path, trust)
    if spec.output.task != "detect":
        raise UserError(
            f'{spec.manifest_path.name}: output.kind = "{spec.output.kind}": the model has no detection heads, so '
            "nothing can be detected with it; run it with mlu-agent infer, or give a model that was built with --decode"
        )
    return spec


def _manifest_path(path: Path) -> Path:
    if path.suffix == ".toml":
        return path
    if path.suffix != ".cambricon":
        raise UserError(f"{path}: neither a .cambricon model nor its .toml manifest nor a .bundle; give one of them")
    problem = path_problem(path)
    if problem:
        unreachable = UserError(f"{path}: {problem}")
        unreachable.passes = may_pass(path_failure(path))
        raise unreachable
    if not path.is_file():
        raise UserError(f"{path}: not a regular file; give the path of a file")
    manifest = path.with_suffix(".toml")
    if not manifest.is_file():
        raise passing(
            UserError(
                f"{path}: its manifest {manifest.name} is not beside it; mlu-export writes both, copy it too; "
                f"for a model of the vendor's tools write one by: mlu-agent adopt {path.name} --as FAMILY"
            )
        )
    return manifest


def runs_on(offline: OfflineModel) -> str:
    """The hardware that a bundle says of such a model."""
    return "simulator" if offline.kind == "simulator" else offline.target


def _read_model(path: Path, sha256: str, manifest: str) -> tuple[OfflineModel, Stamp]:
    data, stamp = read_stamped(path, MAX_FILE, DataError)
    digest = hashlib.sha256(data).hexdigest()
    if digest != sha256:
        raise DataError(
            f"{manifest}: sha256: {sha256[:12]}… is not the digest of {path.name} ({digest[:12]}…); "
            "one of the two files was changed: copy both again"
        )
    try:
        return described(read_offline_model(data), digest), stamp
    except DataError as failure:
        raise DataError(f"{path.name}: {failure.message}") from None


def _read_manifest(root: Fields) -> dict[str, Any]:
    schema = root.integer("schema", minimum=0, maximum=2**31)
    if schema != 1:
        root.problem("schema", f"{schema} is not known; this version reads schema 1: update mlu-agent")
    task = root.text("task", choices=("detect", *TASKS.values()))
    output = read_output(root.table("output", required=True))
    if task and output.kind and task != output.task:
        root.problem(
            "task", f'"{task}" does not go with output.kind = "{output.kind}"; "{output.task}" does: write that'
        )
    fields = {
        "name": root.text("name", longest=127),
        "model": root.text("model", pattern=_FILE_NAME, remedy="write a file name without directories"),
        "sha256": root.text("sha256", pattern="[0-9a-f]{64}", remedy="write the 64 hexadecimal digits of sha256sum"),
        "labels": _read_labels(root, 0 if output.kind == TENSORS else 1),
        "input": _read_input(root.table("input", required=True)),
        "output": output,
        "thresholds": read_thresholds(root.table("thresholds"), Thresholds()),
        "device": _read_device(root.table("device")) if root.has("device") else None,
        "provenance": {str(key): str(value)[:4096] for key, value in root.table("provenance").items()},
    }
    root.close()
    return fields


def _read_device(table: Fields) -> tuple[str, str]:
    model = table.text("model", pattern=_FILE_NAME, remedy="write a file name without directories")
    sha256 = table.text("sha256", pattern="[0-9a-f]{64}", remedy="write the 64 hexadecimal digits of sha256sum")
    table.close()
    return model, sha256


def _read_labels(root: Fields, least: int) -> tuple[str, ...]:
    remedy = f"write {least} to {MAX_LABELS} names in quotes"
    labels = root.array("labels", None if least else [], longest=MAX_LABELS, remedy=remedy)
    for index, label in enumerate(labels):
        if not isinstance(label, str) or not label.isprintable() or not 1 <= len(label.encode()) <= MAX_LABEL:
            root.problem(f"labels[{index}]", f"{show(label)} is not accepted; write a name of 1 to {MAX_LABEL} bytes")
    if root.has("labels") and len(labels) < least:
        root.problem("labels", f"is empty; {remedy}")
    return tuple(str(label) for label in labels)


def _read_input(table: Fields) -> InputSpec:
    spec = InputSpec(
        width=table.integer("width", minimum=1, maximum=MAX_SIDE),
        height=table.integer("height", minimum=1, maximum=MAX_SIDE),
        resize=table.text("resize", choices=RESIZES),
        pad_value=table.integer("pad_value", InputSpec.pad_value, minimum=0, maximum=255),
        channels=table.text("channels", choices=CHANNELS),
        dtype=table.text("dtype", choices=("uint8", "float16", "float32")),
        mean=read_three(table, "mean", InputSpec.mean, -MAX_PIXEL),
        std=read_three(table, "std", InputSpec.std, SMALLEST_DEVIATION),
    )
    table.close()
    return spec


def read_three(
    table: Fields, key: str, default: tuple[float, float, float], least: float
) -> tuple[float, float, float]:
    """Three numbers from ``least`` on, a mean or a deviation of pixels; the default where the key is missing."""
    remedy = f"write three numbers from {least:g} to {MAX_PIXEL:g}"
    values = table.array(key, list(default), longest=3, remedy=remedy)
    if len(values) != 3 or not all(is_number(value) and least <= value <= MAX_PIXEL for value in values):
        table.problem(key, f"{show(values)} is not accepted; {remedy}")
        return default
    return float(values[0]), float(values[1]), float(values[2])


def read_thresholds(table: Fields, usual: Thresholds | None = None) -> Thresholds:
    """A table of thresholds; without ``usual`` each has to be written."""
    spec = Thresholds(
        confidence=table.number("confidence", usual.confidence if usual else None, minimum=0.0, maximum=1.0),
        iou=table.number("iou", usual.iou if usual else None, minimum=0.0, maximum=1.0),
        max_detections=table.integer(
            "max_detections", usual.max_detections if usual else None, minimum=1, maximum=10000
        ),
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
