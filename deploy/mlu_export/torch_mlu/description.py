"""The manifest beside an exported network of pictures, so that the agent can use a detector at once.

A script says nothing of how pictures were brought to the network's input: what is taken for granted here stands as
comments at the head of the file, for the user to check.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlu_agent.config.toml_text import dump
from mlu_agent.model.bundle import Thresholds
from mlu_agent.model.label_sets import COCO

from ..formats.manifest import DTYPES, detection_output_table
from ..support.files import sha256_hex
from ..values import network as net
from ..values.network import word_float
from ..values.pixels import Preprocessing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..values.network import Network, Operator, Tensor

LETTERBOX_GREY = {net.YOLOV5: 114}  # of the family's own preprocessing; the others have the usual one
COLOURS = 3

HEAD = """\
# Written for a model that a script traced. What the model cannot tell was assumed: check it against the script.
#   input.resize     how pictures reach the input's size: "letterbox" (keeps their proportions) or "stretch"
#   input.pad_value  the border's grey, for "letterbox"
"""
PIXEL_NOTES = "#   input.channels   as set_input_format said\n"
FLOAT_NOTES = """\
#   input.channels   the order of colours: "bgr" if the script fed pictures as OpenCV reads them
#   input.mean, std  what the script did with pixels 0..255: (x - mean) / std; here they were divided by 255
"""
COCO_NOTE = "#   labels           the 80 of COCO, because there are 80 classes\n"
LABEL_NOTE = "#   labels           the names of the classes\n"
LIMIT_NOTE = "# The model itself drops boxes below confidence {confidence:g} and overlaps of {iou:g} and more.\n"
TENSOR_NOTE = "# The agent detects nothing with this network: its outputs are described for programs that know them.\n"


def manifest_of(
    network: Network, name: str, data: bytes, channels: str, shapes: Sequence[tuple[int, ...]]
) -> str | None:
    """TOML text for ``name.cambricon`` with the bytes ``data``; None where the input is no picture.

    ``channels`` is the order of byte inputs, as in "rgba"; ``shapes`` are those of the outputs as the script sees them.
    """
    picture = network.tensors[network.inputs[0]]
    in_bytes = picture.dtype == net.UINT8
    wanted = len(channels) if in_bytes else COLOURS
    pictures = picture.dims[0]
    if len(network.inputs) != 1 or picture.dims[3] != wanted or any(shape[:1] != (pictures,) for shape in shapes):
        return None
    operator = _detection(network)
    document: dict[str, Any] = {
        "schema": 1,
        "name": name,
        "task": "infer" if operator is None else "detect",
        "model": f"{name}.cambricon",
        "sha256": sha256_hex(data),
        "labels": _labels(operator),
        "input": _input(picture, channels if in_bytes else "rgb", operator),
        "output": _plain_output(shapes) if operator is None else detection_output_table(operator),
        "thresholds": _thresholds(operator),
        "provenance": {"tool": "mlu-export run"},
    }
    kept = {key: value for key, value in document.items() if value not in ([], {})}
    return HEAD + (PIXEL_NOTES if in_bytes else FLOAT_NOTES) + _notes(operator) + "\n" + dump(kept)


def _detection(network: Network) -> Operator | None:
    """The operator that makes the only output, if it gives boxes."""
    made = [one for one in network.operators if one.output in network.outputs]
    alone = len(network.outputs) == 1 and len(made) == 1
    return made[0] if alone and made[0].opcode == net.DETECTION_OUTPUT else None


def _labels(operator: Operator | None) -> list[str]:
    classes = 0 if operator is None else operator.attributes[1]
    return list(COCO) if classes == len(COCO) else [f"class_{number}" for number in range(classes)]


def _input(picture: Tensor, channels: str, operator: Operator | None) -> dict[str, Any]:
    plain = Preprocessing()
    return {
        "width": picture.dims[2],
        "height": picture.dims[1],
        "resize": "stretch" if operator is None else plain.resize,
        "pad_value": plain.pad_value
        if operator is None
        else LETTERBOX_GREY.get(operator.attributes[0], plain.pad_value),
        "channels": channels,
        "dtype": DTYPES[picture.dtype],
        "mean": list(plain.mean),
        "std": list(plain.std),
    }


def _plain_output(shapes: Sequence[tuple[int, ...]]) -> dict[str, Any]:
    names = [f"output{number}" for number in range(len(shapes))]
    return {"kind": "tensors", "names": names, "shapes": [[1, *shape[1:]] for shape in shapes]}


def _thresholds(operator: Operator | None) -> dict[str, Any]:
    """The agent's usual ones, but never looser than what the model lets through."""
    if operator is None:
        return {}
    usual = Thresholds()
    return {
        "confidence": max(usual.confidence, round(word_float(operator.attributes[5]), 6)),
        "iou": round(word_float(operator.attributes[6]), 6),
        "max_detections": min(usual.max_detections, operator.attributes[7]),
    }


def _notes(operator: Operator | None) -> str:
    if operator is None:
        return TENSOR_NOTE
    confidence, iou = (word_float(word) for word in operator.attributes[5:7])
    known = operator.attributes[1] == len(COCO)
    return (COCO_NOTE if known else LABEL_NOTE) + LIMIT_NOTE.format(confidence=confidence, iou=iou)
