"""The vendor's detection output behind a network's heads: boxes are found on the device (FORMAT.md, DETECTION_OUTPUT).

The heads of v3 and v4 go into the operator as they are, those of v5 through a sigmoid, as ports for the device do it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mlu_agent.errors import UserError
from mlu_agent.model.output_spec import ANCHORED, ROW_FIELDS, ROW_HEADER

from ..values import network as net
from ..values.network import Network, Operator, Tensor, float_word

if TYPE_CHECKING:
    from mlu_agent.model.bundle import Thresholds

    from ..values.graph import ImportedModel

NAME = "detection_output"
MOST_BOXES, USUAL_BOXES = 32768, 1024
MOST_HEADS = 7  # that the vendor's operator takes
DTYPES = {"f16": net.FLOAT16, "f32": net.FLOAT32}
NONE = "none"


@dataclass(frozen=True)
class DetectionOutput:
    """The operator's part of a request: ``dtype`` of ``DTYPES``, room for ``max_boxes``, and its thresholds."""

    dtype: str
    max_boxes: int
    thresholds: Thresholds


def check_heads(model: ImportedModel) -> None:
    """Raises UserError where the device has no operator for the heads of a network."""
    if model.decode not in ANCHORED:
        raise UserError(
            f"--detection-output: the device's operator decodes heads with anchors (yolov3, yolov4, yolov5), this "
            f"network has {f'those of {model.decode}' if model.heads else 'none'}: leave the option out, the agent "
            "decodes them"
        )
    each = {len(head.anchors) for head in model.heads}
    if len(each) > 1 or len(model.heads) > MOST_HEADS:
        raise UserError(
            f"--detection-output: the device's operator takes up to {MOST_HEADS} heads with as many anchors each; this "
            f"network has {len(model.heads)}, with {' and '.join(map(str, sorted(each)))} anchors"
        )


def append_detection_output(network: Network, model: ImportedModel, wanted: DetectionOutput) -> Network:
    """``network`` with the boxes as its only output. Raises UserError."""
    check_heads(model)
    picture = network.tensors[network.inputs[0]].dims
    made = _Appended(network, model)
    heads = tuple(made.head(name) for name in (head.tensor for head in model.heads))
    for head, number in zip(model.heads, heads):
        _, rows, cols, _ = network.tensors[number].dims if number < len(network.tensors) else made.tensors[number].dims
        if (rows * head.stride, cols * head.stride) != picture[1:3]:
            raise UserError(
                f"--detection-output: the device's operator divides the input evenly, and {picture[2]}x{picture[1]} is "
                f"no multiple of {head.stride}: give another --size"
            )
    return made.finish(heads, wanted)


class _Appended:
    def __init__(self, network: Network, model: ImportedModel) -> None:
        self._network, self._model = network, model
        self.tensors, self._operators = list(network.tensors), list(network.operators)

    def head(self, name: str) -> int:
        """The tensor of a head as the operator takes it."""
        number = self._network.outputs[self._network.output_names.index(name)]
        if self._model.decode != "yolov5":
            return number
        words = (net.FUNCTIONS["sigmoid"], float_word(0.0), float_word(0.0))
        self.tensors.append(self.tensors[number])
        output = len(self.tensors) - 1
        self._operators.append(Operator(net.ACTIVATION, (number,), (), words, output, f"{name}.sigmoid"))
        return output

    def finish(self, heads: tuple[int, ...], wanted: DetectionOutput) -> Network:
        """With the operator behind the heads."""
        network, model = self._network, self._model
        batch, height, width, _ = network.tensors[network.inputs[0]].dims
        scales = [head.scale_x_y for head in model.heads]
        anchors = np.array([head.anchors for head in model.heads], np.float32).reshape(-1)
        words = (
            _kind(model.decode, scales), model.classes, len(model.heads[0].anchors), height, width,
            float_word(wanted.thresholds.confidence), float_word(wanted.thresholds.iou), wanted.max_boxes,
            *map(float_word, scales),
        )  # fmt: skip
        dims = (batch, 1, 1, ROW_HEADER + ROW_FIELDS * wanted.max_boxes)
        self.tensors.append(Tensor(dims, DTYPES[wanted.dtype]))
        output = len(self.tensors) - 1
        operator = Operator(net.DETECTION_OUTPUT, heads, (len(network.constants),), words, output, NAME)
        return replace(
            network,
            tensors=tuple(self.tensors),
            constants=(*network.constants, anchors),
            operators=(*self._operators, operator),
            outputs=(output,),
            output_names=(NAME,),
        )


def _kind(decode: str, scales: list[float]) -> int:
    if decode == "yolov5":
        return net.YOLOV5
    return net.YOLOV3 if all(scale == 1.0 for scale in scales) else net.YOLOV4
