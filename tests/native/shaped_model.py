"""A network whose detections are known from the picture: what the tests of segmentation, poses and turned boxes run.

green   an object of the class "thing" in each cell of 8 x 8 pixels that is more than half green
red     of segmentation: its mask is where the picture is red
"""

from __future__ import annotations

from typing import TYPE_CHECKING

try:
    import codes  # run as a script
except ImportError:
    from tests.native import codes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from make_model import Layers, Model

    Rows = Sequence[Sequence[float]]  # of each output channel: what red, green and blue count, and a bias

SIZE, STRIDE, PROTOTYPE = 32, 8, 2
# Distances to the left, top, right and bottom of a cell's middle in cells, then the logit of "thing".
BOX = ((0, 0, 0, 2.0), (0, 0, 0, 1.0), (0, 0, 0, 2.0), (0, 0, 0, 1.0))
THING = ((0, 20, 0, -10),)
THIRDS: dict[str, Rows] = {
    "outlines": ((0, 0, 0, 1.0),),
    "pose": ((0, 0, 0, 0.25), (0, 0, 0, 0.25), (0, 0, 0, 4.0), (0, 0, 0, 0.75), (0, 0, 0, 0.25), (0, 0, 0, -4.0)),
    "turned": ((0, 0, 0, 0.0),),
}


def shaped(model: Model, layers: Layers, batch: int) -> None:
    """By the model's name: a head of box, class and what more there is; "outlines" with a prototype, redness."""
    x = layers.normalize(model.input("data", (batch, SIZE, SIZE, 4), codes.UINT8), [0, 1, 2])
    third = THIRDS[model.name]
    model.output(_mean(model, layers, x, (*BOX, *THING, *third), STRIDE), "head")
    if model.name == "outlines":
        model.output(_mean(model, layers, x, ((2, 0, 0, -1),), PROTOTYPE), "prototypes")


def _mean(model: Model, layers: Layers, x: int, rows: Rows, stride: int) -> int:
    """Sums of the mean colours of squares, by a convolution of float weights."""
    n, height, width, _ = layers.dims(x)
    out = model.tensor((n, height // stride, width // stride, len(rows)), codes.FLOAT32)
    area = stride * stride
    weights = [colour / area for row in rows for _ in range(area) for colour in row[:3]]
    constants = [model.floats(weights), None, model.floats([row[3] for row in rows]), None, None]
    attributes = [stride, stride, stride, stride, 0, 0, 1, 1, 1, 0]
    return model.operator(codes.CONV, [x], out, constants, attributes, "mean")
