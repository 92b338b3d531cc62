"""Overlap of boxes, and the mapping between a frame and the network's input.

Coordinates are continuous: pixel i covers [i, i + 1), so a box over the whole frame is (0, 0, width, height). Boxes
may have any leading shape (..., 4) and any float dtype.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.floating[Any]]


def box_area(boxes: FloatArray) -> FloatArray:
    """Areas (...) of xyxy boxes (..., 4); an inverted box has area 0."""
    area: FloatArray = np.prod(np.maximum(boxes[..., 2:] - boxes[..., :2], 0), axis=-1)
    return area


def iou_matrix(a: FloatArray, b: FloatArray) -> FloatArray:
    """Intersection over union of each box of ``a`` (N, 4) with each of ``b`` (M, 4): (N, M), 0 for empty boxes."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    overlap = np.prod(np.maximum(high - low, 0), axis=-1)
    union = box_area(a)[:, None] + box_area(b)[None, :] - overlap
    iou: FloatArray = np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)
    return iou


@dataclass(frozen=True)
class Letterbox:
    """How a frame lies in the network's input: ``x_network = x_frame * scale_x + pad_x``, the same for y.

    ``scale_x``, ``scale_y``  network pixels per frame pixel. They differ for "stretch", and by a rounding for
                              "letterbox".
    ``pad_x``, ``pad_y``      left and top border, network pixels.
    ``width``, ``height``     of the original frame, pixels.
    """

    scale_x: float
    scale_y: float
    pad_x: float
    pad_y: float
    width: int
    height: int

    @property
    def scale(self) -> float:
        """The smaller of the two scales: the one number of a letterbox."""
        return min(self.scale_x, self.scale_y)

    def invert(self, xyxy: FloatArray) -> NDArray[np.float32]:
        """Boxes (N, 4) in network pixels -> new float32 (N, 4) in frame pixels, clipped to the frame."""
        shift = np.array([self.pad_x, self.pad_y] * 2, np.float32)
        scale = np.array([self.scale_x, self.scale_y] * 2, np.float32)
        limit = np.array([self.width, self.height] * 2, np.float32)
        boxes = (xyxy.astype(np.float32) - shift) / scale
        return np.clip(boxes, np.float32(0), limit, out=boxes)
