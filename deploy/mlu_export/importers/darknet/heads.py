"""The ``[yolo]`` sections of a Darknet network: anchors, strides and how their numbers become boxes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mlu_agent.errors import DataError

from ...values.graph import Activation, ImportedModel, Node, Shape
from ...values.heads import Head

if TYPE_CHECKING:
    from .cfg import Section

# The published YOLOv3-tiny was trained with mask 1,2,3 on its fine head, but the cfg that travels with it says 0,1,2.
TINY_SHA256 = "dccea06f59b781ec1234ddf8d1e94b9519a97f4245748a7d4db75d5b7080a42c"
TINY_ANCHORS = ((10.0, 14.0), (23.0, 27.0), (37.0, 58.0), (81.0, 82.0), (135.0, 169.0), (344.0, 319.0))


class Heads:
    """Collects the heads; ``folded`` names the sigmoids in front of them that the decoding does itself.

    With ``new_coords`` (scaled YOLOv4) a head gives sigmoids, and boxes are computed as YOLOv5 does:
    ``xy = 2 s - 0.5 + cell``, ``wh = (2 s)^2 anchor``. The network then ends before that sigmoid.
    """

    def __init__(self, input_shape: Shape) -> None:
        self.rows, self.cols, _ = input_shape
        self.classes = 0
        self.decode = ""
        self.folded: set[str] = set()
        self._heads: list[Head] = []

    def finish(self) -> tuple[Head, ...]:
        if not self._heads:
            raise DataError("the cfg has no [yolo] section: only detectors of the v3 and v4 families are supported")
        return tuple(self._heads)

    def add(self, section: Section, tensor: str, shape: Shape, node: Node | None) -> None:
        """One head on ``tensor``, which ``node`` makes."""
        anchors = self._anchors(section, shape)
        scale = section.number("scale_x_y", 1.0, 1.0, 4.0)
        decode = "yolov5" if section.integer("new_coords", 0, 0, 1) else "yolov3"
        if self.decode not in ("", decode):
            raise DataError(f"{section.where()}: new_coords must be the same in all heads")
        self.decode = decode
        if decode == "yolov5":
            tensor = self._before_sigmoid(section, node, scale)
            scale = 1.0
        self._heads.append(Head(tensor, self._stride(section, shape), anchors, scale))

    def _before_sigmoid(self, section: Section, node: Node | None, scale: float) -> str:
        if not isinstance(node, Activation) or node.function != "sigmoid" or scale != 2.0:
            raise DataError(
                f"{section.where()}: new_coords = 1 needs scale_x_y = 2.0 and a convolution with activation = logistic "
                "before it"
            )
        self.folded.add(node.name)
        return node.inputs[0]

    def _anchors(self, section: Section, shape: Shape) -> tuple[tuple[float, float], ...]:
        values = section.numbers("anchors")
        anchors = tuple(zip(values[0::2], values[1::2]))
        mask = section.integers("mask", 0, max(len(anchors) - 1, 0)) or tuple(range(len(anchors)))
        classes = section.integer("classes", 20, 1, 65536)
        if not mask or not anchors or shape[2] != len(mask) * (classes + 5):
            raise DataError(
                f"{section.where()}: {len(mask)} masks of {classes} classes need {len(mask) * (classes + 5)} channels, "
                f"the layer before has {shape[2]}"
            )
        if self.classes not in (0, classes):
            raise DataError(f"{section.where()}: classes = {classes}, an earlier head has {self.classes}")
        self.classes = classes
        if any(min(anchors[number]) <= 0 for number in mask):
            raise DataError(f"{section.where()}: an anchor of width or height 0 cannot be")
        return tuple(anchors[number] for number in mask)

    def _stride(self, section: Section, shape: Shape) -> int:
        height, width, _ = shape
        if self.rows % height or self.cols % width or self.rows // height != self.cols // width:
            raise DataError(
                f"{section.where()}: a head of {width}x{height} does not divide the input of {self.cols}x{self.rows}; "
                "choose an input size that is a multiple of 32"
            )
        return self.rows // height


def check_masks(model: ImportedModel, weights_sha256: str) -> ImportedModel:
    """Refuses the published YOLOv3-tiny weights under the published cfg's wrong mask; warns where it looks the same."""
    if not any(head.stride == 16 and head.anchors == TINY_ANCHORS[:3] for head in model.heads):
        return model
    remedy = "use `--arch yolov3-tiny` without --cfg, or set mask = 1,2,3 in the last [yolo] section"
    if weights_sha256 == TINY_SHA256:
        raise DataError(
            "the cfg gives the 26x26 head mask = 0,1,2, but these weights were trained with 1,2,3 "
            f"(a known mistake of the published cfg; it costs a third of the accuracy): {remedy}"
        )
    warning = (
        "the stride-16 head has mask = 0,1,2, as in the published yolov3-tiny.cfg, whose own weights need 1,2,3; "
        f"if accuracy is poor: {remedy}"
    )
    return replace(model, warnings=(*model.warnings, warning))
