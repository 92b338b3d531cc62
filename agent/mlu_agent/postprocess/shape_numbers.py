"""What heads tell of an object beside box and classes, from their logits.

coefficients  as they are: what each prototype counts in the object's mask
keypoints     xy = (2 t + cell) * stride, visibility = sigmoid(t)
angle         (sigmoid(t) - 1/4) * pi. The distances lead to the sides of a box around another middle than the cell's,
              which the angle turns around the cell's
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..model.output_spec import ORIENTED, POSES, SEGMENTS
from .logits import sigmoid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..model.output_spec import OutputSpec

    Floats = NDArray[np.float32]

MAX_SIDE = 1e5  # network pixels: a turned box beyond it is none


def shape_numbers(
    values: dict[str, Floats], boxes: Floats, centres: Floats, stride: int, spec: OutputSpec
) -> Floats | None:
    """(N, numbers) of fields (N, channels) at cells whose middles are ``centres`` (N, 2), in cells; see ``Candidates``.

    ``boxes`` (N, 4): where the sides are, before they are turned. Not finite where there is no such box.
    """
    if spec.decode == SEGMENTS:
        return values["coefficients"]
    if spec.decode == POSES:
        return _keypoints(values["keypoints"], centres, stride, spec.keypoints)
    if spec.decode == ORIENTED:
        angle = values["angle"][:, 0]
        if "angle" not in spec.activated:
            angle = (sigmoid(angle) - np.float32(0.25)) * np.float32(np.pi)
        return _turned(boxes, centres * np.float32(stride), angle)
    return None


def _keypoints(numbers: Floats, centres: Floats, stride: int, kind: tuple[int, int]) -> Floats:
    points = numbers.reshape(len(numbers), *kind)
    result = np.empty_like(points)
    result[..., :2] = (points[..., :2] * np.float32(2) + (centres - np.float32(0.5))[:, None]) * np.float32(stride)
    result[..., 2:] = sigmoid(points[..., 2:])
    return result.reshape(numbers.shape)


def _turned(boxes: Floats, origin: Floats, angle: Floats) -> Floats:
    """(N, 5) of sides (N, 4) xyxy that are turned around ``origin`` (N, 2)."""
    middle = (boxes[:, :2] + boxes[:, 2:]) / np.float32(2) - origin
    side = boxes[:, 2:] - boxes[:, :2]
    cos, sin = np.cos(angle), np.sin(angle)
    x = origin[:, 0] + middle[:, 0] * cos - middle[:, 1] * sin
    y = origin[:, 1] + middle[:, 0] * sin + middle[:, 1] * cos
    turned = np.column_stack((x, y, side, angle)).astype(np.float32)
    turned[~((side > 0) & (side <= MAX_SIDE)).all(axis=1)] = np.nan
    return turned
