"""The manifest beside the model (FORMAT.md section 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlu_agent.config.toml_text import dump
from mlu_agent.model.output_spec import ANCHORED, CLASSES, DISTANCES, FIELDS, POSES, SEGMENTS, TASKS, TENSORS

from ..values import network as net

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlu_agent.model.bundle import Thresholds

    from ..lowering.lower import LowerOptions
    from ..values.graph import ImportedModel
    from ..values.heads import Head
    from ..values.network import Network, Operator
    from ..values.pixels import Preprocessing

TOP = 5  # classes of a picture
DTYPES = {net.UINT8: "uint8", net.FLOAT16: "float16", net.FLOAT32: "float32"}


def manifest_text(
    name: str,
    sha256: str,
    model: ImportedModel,
    network: Network,
    options: LowerOptions,
    preprocessing: Preprocessing,
    thresholds: Thresholds,
    labels: Sequence[str],
    provenance: Mapping[str, str],
) -> str:
    """TOML text of the manifest for ``NAME.cambricon`` with that digest."""
    document: dict[str, Any] = {
        "schema": 1,
        "name": name,
        "task": TASKS[CLASSES if model.classify else TENSORS] if model.decode == TENSORS else "detect",
        "model": f"{name}.cambricon",
        "sha256": sha256,
        "labels": list(labels),
        "input": _input(network, options, preprocessing),
        "output": _output(model, network),
        "thresholds": thresholds_table(thresholds),
        "provenance": dict(provenance),
    }
    return dump(document)


def thresholds_table(thresholds: Thresholds) -> dict[str, Any]:
    """What manifests and recipes keep of thresholds; whether a box may have several classes is the agent's to say."""
    kept = ("confidence", "iou", "max_detections")
    return {key: getattr(thresholds, key) for key in kept}


def _input(network: Network, options: LowerOptions, preprocessing: Preprocessing) -> dict[str, Any]:
    tensor = network.tensors[network.inputs[0]]
    _, height, width, _ = tensor.dims
    table: dict[str, Any] = {"width": width, "height": height, "resize": preprocessing.resize}
    if preprocessing.resize != "stretch":
        table["pad_value"] = preprocessing.pad_value
    pixels = {"mean": list(preprocessing.mean), "std": list(preprocessing.std)}
    table.update(channels=options.channels, dtype=DTYPES[tensor.dtype], **pixels)
    return table


def _output(model: ImportedModel, network: Network) -> dict[str, Any]:
    last = network.operators[-1]
    if last.opcode == net.DETECTION_OUTPUT:
        return detection_output_table(last)
    if model.classify:
        return {"kind": CLASSES, "activation": model.classify, "top": TOP}
    if model.decode == TENSORS:
        names, shapes = ([getattr(one, key) for one in model.tensors] for key in ("name", "shape"))
        return {"kind": "tensors", "names": names, "shapes": shapes}
    table: dict[str, Any] = {"kind": "yolo_heads", "decode": model.decode}
    if model.decode not in ANCHORED:
        layout = model.layout
        if model.decode in DISTANCES:
            table["reg_max"] = layout.reg_max
        table["tensors"] = [list(fields) for fields in layout.tensors or (FIELDS[model.decode],)]
        table["activated"] = list(layout.activated)
        table["joined"] = layout.joined
        if model.decode == SEGMENTS:
            table.update(coefficients=layout.coefficients, prototype_stride=layout.prototype_stride)
        if model.decode == POSES:
            table["keypoints"] = list(layout.keypoints)
    table["heads"] = [_head(head, model.decode) for head in model.heads]
    return table


def detection_output_table(operator: Operator) -> dict[str, Any]:
    """How to read the rows that the operator writes."""
    coordinates = "pixels" if operator.attributes[0] == net.YOLOV5 else "normalized"
    return {"kind": "detection_output", "coordinates": coordinates, "max_boxes": operator.attributes[7]}


def _head(head: Head, decode: str) -> dict[str, Any]:
    table: dict[str, Any] = {"stride": head.stride}
    if decode in ANCHORED:
        table["anchors"] = [_pair(anchor) for anchor in head.anchors]
    if decode == "yolov3" and head.scale_x_y != 1.0:
        table["scale_x_y"] = head.scale_x_y
    return table


def _pair(anchor: tuple[float, float]) -> tuple[float, ...]:
    return tuple(int(side) if side == int(side) else side for side in anchor)
