"""``mlu-agent adopt``: a manifest for a model of the vendor's compiler."""

from __future__ import annotations

import hashlib
import importlib.metadata
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlu_client.text import printable, printable_json

from ..adopt import Adoption, adopt, families_that_fit
from ..adopt.options import declare_options, request_of
from ..adopt.picture import check_input
from ..adopt.values import Findings
from ..classes import Classes
from ..config.files import read_bounded, reason
from ..config.new_files import write_whole
from ..detections import Detections
from ..detector import Detector
from ..draw import draw, encode_jpeg
from ..errors import DataError, MluAgentError, UserError
from ..model.offline_model import MAX_FILE, read_offline_model
from ..model.standins import described
from ..sources import read_picture
from ..tensors import Tensors

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from ..adopt import Request
    from ..model.bundle import ModelSpec, Thresholds
    from ..model.offline_model import OfflineModel
    from ..postprocess import Result

JPEG_QUALITY = 92
MAX_MANIFEST = 1 << 20


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("model", metavar="MODEL", type=Path, help="a .cambricon file")
    declare_options(parser)
    parser.add_argument("--output", metavar="FILE", type=Path, help="the manifest (NAME.toml beside the model)")
    parser.add_argument("--force", action="store_true", help="replace a manifest that says something else")
    parser.add_argument("--try", dest="picture", metavar="PICTURE", help="run the model on it, and draw what it finds")
    parser.add_argument(
        "--drawn", metavar="FILE", type=Path, help="of --try: the drawing (NAME.try.jpg beside the model)"
    )
    parser.add_argument(
        "--runtime", default="auto", help="of --try: auto, device, simulator or a library's path (auto)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")


@dataclass
class _Trial:
    """What ``--try`` came to: ``told`` for people and programs, or the ``failure``."""

    told: dict[str, Any] = field(default_factory=dict)
    failure: MluAgentError | None = None


def run(arguments: argparse.Namespace) -> int:
    """0; 2 where options and file contradict each other; what ``--try`` failed with, the manifest being there."""
    path: Path = arguments.model
    manifest = _manifest_path(path, arguments.output)
    data = read_bounded(path, MAX_FILE, DataError)
    sha256 = hashlib.sha256(data).hexdigest()
    model = _read(path, data, sha256)
    del data
    request = request_of(arguments)
    if not request.family:
        raise UserError(_what_fits(path, manifest, model, sha256, request))
    provenance = {"tool": f"mlu-agent {importlib.metadata.version('mlu-agent')}", "compiler": _compiler(model)}
    adoption = adopt(path, manifest, model, sha256, request, provenance)
    if arguments.picture:
        read_picture(arguments.picture)  # a wrong one is told before anything is written
    written = _write(manifest, adoption.text, force=arguments.force)
    trial = _try(arguments, manifest) if arguments.picture else None
    if arguments.json:
        print(printable_json(_object(manifest, adoption, written, trial)))
    else:
        for line in _lines(manifest, adoption, written, trial):
            print(printable(line))
    if trial is None or trial.failure is None:
        return 0
    print(f"mlu-agent: {printable(_not_tried(manifest, trial.failure))}", file=sys.stderr)
    return trial.failure.exit_code


def _read(path: Path, data: bytes, sha256: str) -> OfflineModel:
    try:
        return described(read_offline_model(data), sha256)
    except DataError as failure:
        raise DataError(f"{path.name}: {failure.message}") from None


def _manifest_path(path: Path, output: Path | None) -> Path:
    if path.suffix == ".bundle":
        raise UserError(f"{path}: a bundle has its manifest inside; give the .cambricon file of a model that has none")
    if output is None:
        if path.suffix != ".cambricon":
            raise UserError(f"{path}: not named NAME.cambricon; rename it, or give --output NAME.toml beside it")
        return path.with_suffix(".toml")
    if output.suffix != ".toml" or output.resolve().parent != path.resolve().parent:
        raise UserError(f"--output {output}: a manifest is a .toml file in the model's own folder {path.parent}")
    return output


def _what_fits(path: Path, manifest: Path, model: OfflineModel, sha256: str, request: Request) -> str:
    check_input(path.name, model, Findings())
    fitting = families_that_fit(path, manifest, model, sha256, request)
    what = f"; with the other options as they are {', '.join(fitting)} would fit" if fitting else ""
    return f"--as is missing: only you know what network {path.name} is{what}"


def _compiler(model: OfflineModel) -> str:
    return f"CNRT {model.versions['cnrt']}, compiler {model.versions['compiler']}, target {model.target}"


def _write(manifest: Path, text: str, *, force: bool) -> str:
    """What was done: written, replaced or unchanged. UserError where another manifest may not be replaced."""
    data = text.encode()
    there = manifest.exists() or manifest.is_symlink()
    if there:
        if manifest.is_file() and read_bounded(manifest, MAX_MANIFEST, DataError) == data:
            return "unchanged"
        if not force:
            raise UserError(
                f"{manifest}: is there already and says something else; give --force to replace it, or --output NAME"
            )
    _put(manifest, data)
    return "replaced" if there else "written"


def _put(path: Path, data: bytes) -> None:
    try:
        write_whole(path, data)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({reason(error)}); make room or get permission in its folder"
        ) from None


def _try(arguments: argparse.Namespace, manifest: Path) -> _Trial:
    """Runs the model on the picture. A failure is kept: the manifest is right all the same."""
    try:
        return _Trial(_run_on(arguments, manifest))
    except MluAgentError as failure:
        return _Trial(failure=failure)


def _run_on(arguments: argparse.Namespace, manifest: Path) -> dict[str, Any]:
    pixels = read_picture(arguments.picture)
    drawn: Path = arguments.drawn or manifest.with_suffix(".try.jpg")
    if drawn.exists() and drawn.samefile(arguments.picture):
        raise UserError(f"--drawn {drawn}: is the picture itself; give another file")
    with Detector(manifest, arguments.runtime) as detector:
        told: dict[str, Any] = {"runtime": detector.runtime, "reason": detector.reason}
        result = next(detector.results([pixels]))[1]
        labels, thresholds = detector.spec.labels, detector.thresholds
    if isinstance(result, Detections):
        _put(drawn, encode_jpeg(draw(pixels, result, labels), JPEG_QUALITY))
        told["drawn"] = str(drawn)
    return {**told, **_told(result, labels, thresholds)}


def _told(result: Result, labels: tuple[str, ...], thresholds: Thresholds) -> dict[str, Any]:
    if isinstance(result, Tensors):
        return {"tensors": [_summary(name, array) for name, array in zip(result.names, result.arrays)]}
    confidences = [round(confidence, 6) for confidence in result.confidence.tolist()]
    if isinstance(result, Classes):
        classes = [{"label": label, "confidence": one} for label, one in zip(result.label, confidences)]
        return {"classes": classes, "invalid": result.invalid}
    boxes = [[round(side, 3) for side in box] for box in result.xyxy.tolist()]
    found: list[dict[str, Any]] = [
        {"label": labels[class_id], "confidence": confidence, "box": box}
        for box, confidence, class_id in zip(boxes, confidences, result.class_id.tolist())
    ]
    return {"detections": found, "invalid": result.invalid, "most": thresholds.max_detections}


def _summary(name: str, array: NDArray[Any]) -> dict[str, Any]:
    """What a person wants to see first of a tensor; the numbers that are finite alone."""
    finite = array[np.isfinite(array)].astype(np.float64)
    told = {"name": name, "shape": list(array.shape), "not_finite": array.size - finite.size}
    if finite.size:
        told.update(least=float(finite.min()), most=float(finite.max()), mean=round(float(finite.mean()), 6))
    return told


def _not_tried(manifest: Path, failure: MluAgentError) -> str:
    return f"{manifest.name} is there, but the model was not tried: {failure.message}"


def _object(manifest: Path, adoption: Adoption, written: str, trial: _Trial | None) -> dict[str, Any]:
    spec = adoption.spec
    found: dict[str, Any] = {
        "manifest": str(manifest), "result": written, "model": spec.path.name, "sha256": spec.sha256,
        "kind": spec.output.kind, "labels": len(spec.labels), "known": list(adoption.known),
        "assumed": list(adoption.assumed),
    }  # fmt: skip
    if trial is not None:
        found["try"] = trial.told or {"failure": trial.failure.message if trial.failure else ""}
    return found


def _lines(manifest: Path, adoption: Adoption, written: str, trial: _Trial | None) -> Iterator[str]:
    spec = adoption.spec
    yield f"{manifest}: {written}"
    yield from (f"  known    {sentence}" for sentence in adoption.known)
    yield from (f"  assumed  {sentence}" for sentence in adoption.assumed)
    if trial is not None and trial.told:
        yield from _trial_lines(trial.told)
    elif trial is None:
        yield _next(spec)


def _next(spec: ModelSpec) -> str:
    return f"see whether that is right: mlu-agent adopt {spec.path.name} … --try PICTURE"


def _trial_lines(told: dict[str, Any]) -> Iterator[str]:
    drawn = f"; see {told['drawn']}" if "drawn" in told else ""
    count = f", {len(told['detections'])} found" if "detections" in told else ""
    yield f"tried on the {told['runtime']} ({told['reason']}){count}{drawn}"
    for one in told.get("detections", []):
        box = ", ".join(f"{side:.1f}" for side in one["box"])
        yield f"  {one['confidence']:.2f}  {one['label']:<14} ({box})"
    for one in told.get("classes", []):
        yield f"  {one['confidence']:.2f}  {one['label']}"
    for one in told.get("tensors", []):
        numbers = f"{one['least']:g} to {one['most']:g}, mean {one['mean']:g}" if "least" in one else "no numbers"
        yield f"  {one['name']} {'x'.join(map(str, one['shape']))}: {numbers}, {one['not_finite']} not finite"
    if "most" in told and len(told["detections"]) >= told["most"]:
        yield (
            "  as many as --max-detections allows: the scores may be probabilities already (--activated), or the "
            "family is not this network's"
        )
    if told.get("invalid"):
        yield (
            f"  {told['invalid']} candidates held impossible numbers: the family, --activated, --activation or the "
            "outputs' order is not this network's"
        )
