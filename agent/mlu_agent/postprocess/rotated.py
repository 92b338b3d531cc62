"""Boxes that are turned: their corners, what encloses them, and suppression.

A turned box is cx, cy, width, height, angle: network pixels, and radians from the x axis to the y axis, that is
clockwise as one sees it. Two of them overlap by as much as the Gaussians of the same centres and second moments do, 1 -
Hellinger distance (Llerena et al. 2021, "Gaussian Bounding Boxes and Probabilistic Intersection-over-Union",
arXiv:2106.06072, section 3.2), which is what networks with such heads are trained and published with. It needs no
clipping of polygons.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .nms import by_confidence, greedy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.floating[Any]]
    Indices = NDArray[np.intp]

_BLOCK = 128
_EPS = 1e-7
_SIGNS = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]], np.float32)


def corners_of(turned: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, 4, 2) corners of (N, 5), clockwise as one sees it; from the first to the second runs the width."""
    cos, sin = np.cos(turned[:, 4, None]), np.sin(turned[:, 4, None])
    along, across = (turned[:, None, 2:4] * _SIGNS).transpose(2, 0, 1)
    x = turned[:, 0, None] + along * cos - across * sin
    y = turned[:, 1, None] + along * sin + across * cos
    return np.asarray(np.stack((x, y), axis=2), np.float32)


def enclosing(turned: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, 4) xyxy: the smallest upright boxes around (N, 5)."""
    corners = corners_of(turned)
    return np.asarray(np.concatenate((corners.min(axis=1), corners.max(axis=1)), axis=1), np.float32)


def upright(turned: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same boxes with angles in 0..pi/2, width and height exchanged where that takes it."""
    angle = turned[:, 4].astype(np.float64)
    quarters = np.floor(angle / (np.pi / 2))  # of whole numbers, so that what rounds to a quarter turns with it
    swap = quarters % 2 == 1
    result: NDArray[np.float32] = turned.copy()
    result[swap, 2:4] = turned[swap, 3:1:-1]
    result[:, 4] = angle - quarters * (np.pi / 2)
    return result


def suppress_turned(
    turned: NDArray[np.float32],
    confidence: NDArray[np.float32],
    class_id: NDArray[np.int32],
    iou: float,
    max_detections: int,
) -> Indices:
    """As ``nms``, of turned boxes (N, 5) by the overlap of their Gaussians."""
    gaussians = _gaussians(turned.astype(np.float64))
    kept = np.empty(0, np.intp)
    for order in by_confidence(-confidence):
        for start in range(0, len(order), _BLOCK):
            if len(kept) >= max_detections:
                return kept[:max_detections]
            part = order[start : start + _BLOCK]
            if len(kept):
                part = part[~_crossed(gaussians, class_id, part, kept, iou).any(axis=1)]
            kept = np.concatenate((kept, part[greedy(_crossed(gaussians, class_id, part, part, iou))]))
    return kept[:max_detections]


def _crossed(
    gaussians: Floats, class_id: NDArray[np.int32], rows: Indices, columns: Indices, iou: float
) -> NDArray[np.bool_]:
    """Where a pair is of one class and overlaps by more than ``iou``."""
    result: NDArray[np.bool_] = _overlaps(gaussians[:, rows, None], gaussians[:, None, columns]) > iou
    result &= class_id[rows, None] == class_id[columns]
    return result


def _gaussians(turned: Floats) -> Floats:
    """(5, N): x, y and the covariance xx, yy, xy of a uniform density over each box."""
    x, y, width, height, angle = turned.T
    along, across = width**2 / 12, height**2 / 12
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack(
        (x, y, along * cos**2 + across * sin**2, along * sin**2 + across * cos**2, (along - across) * cos * sin)
    )


def _overlaps(one: Floats, other: Floats) -> Floats:
    """1 - Hellinger distance, broadcast: the distance is sqrt(1 - exp(-b)), b being Bhattacharyya's."""
    xx, yy, xy = one[2] + other[2], one[3] + other[3], one[4] + other[4]
    dx, dy = one[0] - other[0], one[1] - other[1]
    both = np.maximum(xx * yy - xy**2, 0)
    mean = (xx * dy**2 + yy * dx**2 - 2 * xy * dx * dy) / (4 * (both + _EPS))
    own = [np.maximum(each[2] * each[3] - each[4] ** 2, 0) for each in (one, other)]
    spread = np.log(both / (4 * np.sqrt(own[0] * own[1]) + _EPS) + _EPS) / 2
    distance = np.clip(mean + spread, 0, 100)
    result: Floats = 1 - np.sqrt(np.maximum(1 - np.exp(-distance), 0))
    return result
