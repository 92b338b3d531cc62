"""How a model's outputs are to be understood: which tensors there are, and what their channels hold.

Heads with anchors (decode "yolov3", "yolov5") are one tensor per level, whose layout the decode rule fixes. Heads
without anchors come from many exporters, which split and order them differently, so a specification names the fields
of each tensor:

    box           yolox: 4 channels x, y, w, h; yolov8 and its kin: 4 * reg_max, the distances left, top, right, bottom
    objectness    1 channel, yolox only
    classes       1 channel per label
    coefficients  yolov8-seg: what each prototype counts in the object's mask. The prototypes are an output of their
                  own for all levels, the last one
    keypoints     yolov8-pose: x, y and, if there are three dimensions, visibility of each keypoint
    angle         yolov8-obb: 1 channel
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from .prior_spec import PriorSpec

Output = TypeVar("Output")

ANCHORED = ("yolov3", "yolov5")
# The fields of decode rules without anchors, in their usual order within one tensor.
FIELDS = {
    "yolox": ("box", "objectness", "classes"),
    "yolov8": ("box", "classes"),
    "yolov8-seg": ("box", "classes", "coefficients"),
    "yolov8-pose": ("box", "classes", "keypoints"),
    "yolov8-obb": ("box", "classes", "angle"),
}
SEGMENTS, POSES, ORIENTED = "yolov8-seg", "yolov8-pose", "yolov8-obb"
SHAPED = (SEGMENTS, POSES, ORIENTED)  # decode rules that tell more of an object than its box
DISTANCES = ("yolov8", *SHAPED)  # decode rules whose boxes are distances from the cell's centre
COEFFICIENTS, KEYPOINTS, PROTOTYPE_STRIDE = 32, (17, 3), 4  # of the published networks
MAX_COEFFICIENTS, MAX_KEYPOINTS, MAX_PROTOTYPE_STRIDE = 256, 64, 32
DECODES = (*ANCHORED, *FIELDS)
DETECTION_OUTPUT = "detection_output"
ROW_HEADER, ROW_FIELDS = 64, 7  # numbers of its row: in front of the boxes, and of each box
TENSORS, CLASSES = "tensors", "classes"  # the kinds of outputs that are no detections
TASKS = {TENSORS: "infer", CLASSES: "classify"}  # what is done with them; with all others: "detect"
ACTIVATIONS = ("none", "softmax", "sigmoid")
MAX_REG = 64


@dataclass(frozen=True, eq=False)
class HeadSpec:
    """One head, or level: ``stride`` in network pixels, ``anchors`` float32 (A, 2) width and height in network pixels,
    (0, 2) for decode rules without anchors."""

    stride: int
    anchors: NDArray[np.float32]
    scale_x_y: float = 1.0


@dataclass(frozen=True)
class PlainSpec:
    """An output that is no detection head: its name and shape in the axis order of the network it was made from, for
    one picture (a first axis of 1, as a rule); in the file the same numbers lie as N, H, W, C."""

    name: str
    shape: tuple[int, ...]


def stored_shape(shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """How an output of the network lies in the file: (N, C, H, W) -> N, H, W, C; (N, C, H) -> N, H, 1, C; fewer axes
    and more keep their order, the last of more than four merged."""
    if len(shape) == 4:
        return shape[0], shape[2], shape[3], shape[1]
    if len(shape) == 3:
        return shape[0], shape[2], 1, shape[1]
    if len(shape) > 4:
        return shape[0], shape[1], shape[2], math.prod(shape[3:])
    return (shape[0], 1, 1, shape[1]) if len(shape) == 2 else (1, 1, 1, math.prod(shape))


@dataclass(frozen=True)
class OutputSpec:
    """How the outputs are to be understood.

    ``kind``         "yolo_heads" (logits, decoded here), "ssd_heads" (the same, of ``priors``), "detection_output" (the
                     on-device operator's boxes), "classes" (one number per label) or "tensors" (anything else, handed
                     on as it is).
    ``order``        the numbers of the container's outputs in the order that the rest speaks of, where it is another
                     one; outputs that are not named are not read. (): all of them as they are.
    ``decode``       "yolov3", "yolov5", or one of ``FIELDS``, for heads.
    ``heads``        in the container's output order.
    ``coordinates``  "normalized" or "pixels" of the network's input, for detection_output.
    ``max_boxes``    rows of the detection_output, else 0.
    ``background``   the detection_output counts a background as class 0, so that the first label is class 1.
    ``plain``        the outputs of kind "tensors", in the container's order.
    ``activation``   for "classes": what is still to be applied to the numbers, "none", "softmax" or "sigmoid".
    ``top``          for "classes": the most that a picture has.

    For heads without anchors, where () and the defaults mean what the network's own authors export:
    ``reg_max``      yolov8 and its kin: how many logits make one distance; 1: the distance itself, in strides.
    ``tensors``      the tensors of each level in the container's order, each with its fields in channel order; (): one
                     tensor with all fields.
    ``activated``    fields that went through a sigmoid in the network: probabilities, no logits. "angle": radians.
    ``joined``       False: each level has its own tensors (H, W, channels). True: the cells of all levels follow one
                     another in each tensor, row by row, in the order of ``heads``.
    ``coefficients``, ``prototype_stride``  yolov8-seg: how many prototypes there are, and the network's pixels to each
                     of theirs.
    ``keypoints``    yolov8-pose: how many, and their dimensions: 2 for x, y, 3 with visibility.
    """

    kind: str
    decode: str = "yolov3"
    heads: tuple[HeadSpec, ...] = ()
    coordinates: str = "normalized"
    max_boxes: int = 0
    reg_max: int = 16
    tensors: tuple[tuple[str, ...], ...] = ()
    activated: tuple[str, ...] = ()
    joined: bool = False
    coefficients: int = COEFFICIENTS
    prototype_stride: int = PROTOTYPE_STRIDE
    keypoints: tuple[int, int] = KEYPOINTS
    plain: tuple[PlainSpec, ...] = ()
    order: tuple[int, ...] = ()
    background: bool = False
    priors: PriorSpec | None = None
    activation: str = "none"
    top: int = 0

    @property
    def task(self) -> str:
        """What is done with the model: "detect", "classify" or "infer"."""
        return TASKS.get(self.kind, "detect")

    def chosen(self, outputs: Sequence[Output]) -> Sequence[Output]:
        """Of a model's outputs those that are read, in the order that the specification speaks of."""
        return [outputs[number] for number in self.order] if self.order else outputs

    @property
    def anchored(self) -> bool:
        """Whether the decode rule has anchors."""
        return self.decode in ANCHORED

    @property
    def distances(self) -> bool:
        """Whether boxes are distances, of ``reg_max`` logits each."""
        return self.decode in DISTANCES

    @property
    def layout(self) -> tuple[tuple[str, ...], ...]:
        """``tensors``, or the usual one; for decode rules without anchors."""
        return self.tensors or (FIELDS[self.decode],)

    def channels(self, field: str, classes: int) -> int:
        """How many channels a field has."""
        sizes = {
            "box": 4 * (self.reg_max if self.distances else 1),
            "classes": classes,
            "coefficients": self.coefficients,
            "keypoints": self.keypoints[0] * self.keypoints[1],
        }
        return sizes.get(field, 1)

    def shapes(self, width: int, height: int, classes: int) -> list[tuple[int, int, int]]:
        """(H, W, C) of every output, for an input of that size and that many classes; a joined one is (cells, 1, C).
        Prototypes come last."""
        if self.priors is not None:
            return self.priors.shapes(width, height, classes)
        cells = [(height // head.stride, width // head.stride) for head in self.heads]
        if self.anchored:
            return [(*cell, len(head.anchors) * (5 + classes)) for cell, head in zip(cells, self.heads)]
        depths = [sum(self.channels(field, classes) for field in fields) for fields in self.layout]
        shared = []
        if self.decode == SEGMENTS:
            shared.append((height // self.prototype_stride, width // self.prototype_stride, self.coefficients))
        if self.joined:
            return [(sum(rows * columns for rows, columns in cells), 1, depth) for depth in depths] + shared
        return [(*cell, depth) for cell in cells for depth in depths] + shared
