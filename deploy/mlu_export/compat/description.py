"""The manifest beside an exported detector, so that the agent can use the model at once.

A script says nothing of how pictures were brought to the network's input: what is taken for granted here stands as
comments at the head of the file, for the user to check.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import network as net
from ..files import sha256_hex
from ..labels import COCO
from ..manifest import DTYPES, Thresholds
from ..network import word_float
from ..reference_detection import YOLOV5
from ..toml_text import dump

if TYPE_CHECKING:
    from ..network import Network, Operator

LETTERBOX_GREY = {YOLOV5: 114}  # of the family's own preprocessing; the others' is 128
COLOURS = 3

NOTES = """\
# Written for a model that a script traced. What the model cannot tell was assumed: check it against the script.
#   input.resize     how pictures reach the input's size: "letterbox" (keeps their proportions) or "stretch"
#   input.pad_value  the border's grey, for "letterbox"
#   input.channels   {channels}
{scale}\
#   labels           {labels}
# The model itself drops boxes below confidence {confidence:g} and overlaps of {iou:g} and more.
"""
COLOUR_NOTE = "the order of colours: the reverse of this if the script fed pictures as OpenCV reads them"
PIXEL_NOTE = "as set_input_format said"
SCALE_NOTE = (
    "#   input.mean, std  what the script did with pixels 0..255: (x - mean) / std; here they were divided by 255\n"
)


def manifest_of(network: Network, name: str, data: bytes, channels: str) -> str | None:
    """TOML text for ``name.cambricon`` with the bytes ``data``; None for networks that give no boxes.

    ``channels`` is the order of byte inputs, as in "rgba". A detector here has one input of pictures and one output,
    which a detection operator makes.
    """
    operator = _detection(network)
    picture = network.tensors[network.inputs[0]] if len(network.inputs) == 1 else None
    if operator is None or picture is None:
        return None
    in_bytes = picture.dtype == net.UINT8
    if picture.dims[3] != (len(channels) if in_bytes else COLOURS):
        return None
    kind, classes, _, _, _, confidence, iou, most = operator.attributes[:8]
    labels = list(COCO) if classes == len(COCO) else [f"class_{number}" for number in range(classes)]
    usual = Thresholds()
    document: dict[str, Any] = {
        "schema": 1,
        "name": name,
        "task": "detect",
        "model": f"{name}.cambricon",
        "sha256": sha256_hex(data),
        "labels": labels,
        "input": {
            "width": picture.dims[2],
            "height": picture.dims[1],
            "resize": "letterbox",
            "pad_value": LETTERBOX_GREY.get(kind, 128),
            "channels": channels if in_bytes else "rgb",
            "dtype": DTYPES[picture.dtype],
            "mean": [0.0] * COLOURS,
            "std": [255.0] * COLOURS,
        },
        "output": {
            "kind": "detection_output",
            "coordinates": "pixels" if kind == YOLOV5 else "normalized",
            "max_boxes": most,
        },
        "thresholds": {
            "confidence": max(usual.confidence, round(word_float(confidence), 6)),
            "iou": round(word_float(iou), 6),
            "max_detections": min(usual.max_detections, most),
        },
        "provenance": {"tool": "mlu-export run"},
    }
    notes = NOTES.format(
        channels=PIXEL_NOTE if in_bytes else COLOUR_NOTE,
        scale="" if in_bytes else SCALE_NOTE,
        labels="the 80 of COCO, because there are 80 classes" if classes == len(COCO) else "the names of the classes",
        confidence=word_float(confidence),
        iou=word_float(iou),
    )
    return notes + "\n" + dump(document)


def _detection(network: Network) -> Operator | None:
    """The operator that makes the only output, if it gives boxes."""
    made = [one for one in network.operators if one.output in network.outputs]
    alone = len(network.outputs) == 1 and len(made) == 1
    return made[0] if alone and made[0].opcode == net.DETECTION_OUTPUT else None
