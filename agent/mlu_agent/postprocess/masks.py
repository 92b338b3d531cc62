"""Masks of objects -> polygons.

An object's mask is a sum of prototypes, each counted by one of the object's coefficients: it is where that sum is above
0 inside the object's box (YOLACT, Bolya et al. 2019, section 3). The sum is brought to the network's pixels bilinearly,
as the networks' authors do, and its zeros are followed between the pixels: so a polygon of few points is closer to the
mask than a stair of its pixels, also where the object is small.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

MAX_PARTS = 8  # polygons of an object: the largest ones
MAX_POINTS = 128  # of all polygons of an object
MAX_PIXELS = 1 << 24  # of all masks of a picture: beyond it the less sure objects have none
_TOLERANCE = 0.25  # network pixels that a polygon may lie beside the edge; doubled until the points suffice
_LEAST = 1.0  # square pixels of a part
_MARGIN = 2  # pixels around a box, so that an edge that leaves it is cut exactly there


def polygons_of(
    prototypes: NDArray[Any], coefficients: Floats, boxes: Floats, stride: int
) -> list[tuple[Floats, ...] | None]:
    """Of each object its polygons (P, 2) in network pixels, the largest first; None where MAX_PIXELS were used up.

    ``prototypes``    (H, W, C), one for ``stride`` network pixels; ``coefficients`` (N, C); ``boxes`` (N, 4) xyxy.
    """
    rows, columns = prototypes.shape[:2]
    sides = np.clip(boxes, 0, [columns * stride, rows * stride] * 2).astype(np.float32)
    used = np.cumsum(np.prod(np.maximum(sides[:, 2:] - sides[:, :2], 0), axis=1, dtype=np.float64))
    made = int(np.count_nonzero(used <= MAX_PIXELS))
    numbers = prototypes.astype(np.float32, copy=False)
    found = [_polygons(numbers, own, box, stride) for own, box in zip(coefficients[:made], sides)]
    return [*found, *[None] * (len(boxes) - made)]


def _polygons(prototypes: Floats, coefficients: Floats, box: Floats, stride: int) -> tuple[Floats, ...]:
    if not (box[2:] > box[:2]).all():
        return ()
    field, corner = _field(prototypes, coefficients, box, stride)
    inside = (field > 0).astype(np.uint8)
    contours, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    parts = []
    for contour in sorted(contours, key=cv2.contourArea, reverse=True)[: 2 * MAX_PARTS]:  # of noise there are thousands
        edge = _onto_zeros(field, np.asarray(contour[:, 0], np.int32)) + corner
        edge = np.clip(edge, box[:2], box[2:]).astype(np.float32)
        area = cv2.contourArea(edge)
        if area >= _LEAST:
            parts.append((area, edge))
    parts.sort(key=lambda part: -part[0])
    return _simplified([edge for _, edge in parts[:MAX_PARTS]])


def _field(prototypes: Floats, coefficients: Floats, box: Floats, stride: int) -> tuple[Floats, Floats]:
    """The sum of prototypes at each network pixel of the box and around it, and where the first one's middle lies."""
    low = np.floor(box[:2]).astype(int) - _MARGIN
    high = np.ceil(box[2:]).astype(int) + _MARGIN
    rows, columns = prototypes.shape[:2]
    # one prototype pixel more on each side, as bilinear values in between need it
    first = np.clip(low // stride - 1, 0, (columns - 1, rows - 1))
    last = np.clip(-(-high // stride) + 1, first + 1, (columns, rows))
    # row by row: products so small are made in this thread alone, which shares the processor with many
    total = np.ascontiguousarray(prototypes[first[1] : last[1], first[0] : last[0]] @ coefficients)
    large = cv2.resize(total, None, fx=stride, fy=stride, interpolation=cv2.INTER_LINEAR)
    before = np.maximum(first * stride - low, 0)
    after = np.maximum(high - last * stride, 0)
    padded = cv2.copyMakeBorder(
        large, int(before[1]), int(after[1]), int(before[0]), int(after[0]), cv2.BORDER_REPLICATE
    )
    start = low - (first * stride - before)
    size = high - low
    field = padded[start[1] : start[1] + size[1], start[0] : start[0] + size[0]]
    return np.ascontiguousarray(field, np.float32), (low + 0.5).astype(np.float32)


def _onto_zeros(field: Floats, contour: NDArray[np.int32]) -> Floats:
    """The outermost pixels (P, 2) of a part, moved to where the field is zero: one step along its gradient, of at most
    a pixel."""
    x, y = contour[:, 0], contour[:, 1]
    rows, columns = field.shape
    values = field.reshape(-1)
    here = y * columns + x
    slope_x = values.take(here + (x < columns - 1)) - values.take(here - (x > 0))
    slope_y = values.take(here + columns * (y < rows - 1)) - values.take(here - columns * (y > 0))
    length = np.maximum(np.hypot(slope_x, slope_y) / np.float32(2), np.float32(1e-12))
    step = np.minimum(values.take(here) / length, np.float32(1)) / (2 * length)
    return np.stack((x - slope_x * step, y - slope_y * step), axis=1)


def _simplified(edges: Sequence[Floats]) -> tuple[Floats, ...]:
    """Polygons of at most MAX_POINTS in all, as close to the edges as that allows."""
    tolerance = _TOLERANCE
    while True:
        found = [np.asarray(cv2.approxPolyDP(edge, tolerance, True), np.float32)[:, 0] for edge in edges]
        found = [polygon for polygon in found if len(polygon) >= 3]
        if sum(map(len, found)) <= MAX_POINTS:
            return tuple(found)
        tolerance *= 2
