"""``mlu-agent inspect``: what a model file says of itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlu_client.text import printable, printable_json

from ..model.bundle import load_bundle
from ..model.bundle_file import SUFFIX as BUNDLE
from ..model.labels import label_remarks
from ..model.offline_model import OfflineModel, read_offline_model
from ..model.signatures import described

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from ..model.bundle import ModelSpec
    from ..model.packed import Packed


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument(
        "file", metavar="FILE", help="a .cambricon model (the vendor's or ours), a .toml manifest or a .bundle"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Prints the description."""
    path = Path(arguments.file)
    manifest: dict[str, Any] = {}
    if path.suffix in (".toml", BUNDLE):
        spec = load_bundle(path)
        model = spec.offline
        manifest = {
            "name": spec.name,
            "model": spec.path.name,
            "sha256": spec.sha256,
            **({} if spec.device is None else {"device": spec.device.path.name}),
            "labels": len(spec.labels),
            "output": _output(spec),
            "remarks": label_remarks(spec),
            "provenance": spec.provenance,
            **({} if spec.packed is None else _bundle(spec.packed)),
        }
    else:
        model = read_offline_model(path)
    if arguments.json:
        print(printable_json({**model.describe(), **({"manifest": manifest} if manifest else {})}))
    else:
        for line in _lines(model, manifest):
            print(printable(line))
        if not manifest and model.inputs and not path.with_suffix(".toml").exists():
            print(printable(f"manifest     none beside it; write one by: mlu-agent adopt {path.name} --as FAMILY"))
    return 0


def _bundle(packed: Packed) -> dict[str, Any]:
    """What the one file says beyond its manifest."""
    index = packed.index
    return {
        "version": index.version,
        "hardware": list(index.hardware),
        "least_agent": index.least_agent,
        "members": {member.role: member.name for member in index.members},
        "signed_by": list(described(packed.signers)),
    }


def _output(spec: ModelSpec) -> str:
    """What the outputs mean, in a line."""
    if spec.output.kind == "yolo_heads":
        return f"{spec.output.decode} heads of strides {', '.join(str(head.stride) for head in spec.output.heads)}"
    if spec.output.kind == "classes":
        applied = f"{spec.output.activation} still to be applied" if spec.output.activation != "none" else "confidences"
        return f"{spec.num_classes} classes, {applied}, the first {spec.output.top} are told"
    if spec.output.priors is not None:
        counts = spec.output.priors.counts(spec.input.width, spec.input.height)
        return f"{sum(counts)} priors in {len(counts)} levels"
    if spec.output.kind == "tensors":
        return "no detections: " + ", ".join(f"{one.name} {'x'.join(map(str, one.shape))}" for one in spec.output.plain)
    return f"detection output of up to {spec.output.max_boxes} boxes"


def _lines(model: OfflineModel, manifest: dict[str, Any]) -> Iterator[str]:
    held = "a network for the simulator" if model.kind == "simulator" else "device code only"
    yield f"name         {model.name}"
    yield f"kind         {model.kind} ({held})"
    yield f"target       {model.target}, {model.parallelism} core(s) per invocation"
    yield f"functions    {', '.join(model.functions)}"
    yield f"versions     {', '.join(f'{key} {value}' for key, value in model.versions.items())}"
    for what, tensors in (("input", model.inputs), ("output", model.outputs)):
        for tensor in tensors:
            shape = "x".join(map(str, tensor.shape))
            layout = f"{shape} {tensor.dtype} {tensor.order}"
            yield f"{what:<12} {tensor.name or '(unnamed)'}: {layout}, {tensor.bytes} bytes"
    if not model.inputs:
        yield "inputs       not described by this file (a format before 2020)"
    for key, value in manifest.items():
        if key != "remarks":
            yield f"manifest     {key}: {value}"
    for remark in manifest.get("remarks", ()):
        yield f"remark       {remark}"
