"""What a detection has beside its box: polygons, keypoints, a turned box; from the network's pixels to the frame's."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..model.output_spec import ORIENTED, POSES, SEGMENTS
from .masks import polygons_of
from .rotated import corners_of, upright

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ..detections import Detections
    from ..geometry import Letterbox
    from ..model.output_spec import OutputSpec
    from .candidates import Candidates


def with_shapes(
    detections: Detections, found: Candidates, outputs: Sequence[NDArray[Any]], spec: OutputSpec, letterbox: Letterbox
) -> Detections:
    """``detections`` with all that the model tells of them; ``found`` are the candidates that they were, ``outputs``
    the picture's. Polygons and keypoints end where the frame, or the part of it that the model sees, ends; the corners
    of a turned box do not, as it would be none any more."""
    if found.extra is None:
        return detections
    if spec.decode == SEGMENTS:
        # cut before they are simplified, so that no points are spent along the frame's edges
        left, top, right, bottom = letterbox.seen
        boxes = np.clip(found.xyxy, [left, top] * 2, [right, bottom] * 2).astype(np.float32)
        with np.errstate(over="ignore", invalid="ignore"):  # of prototypes that are none: nothing is outlined there
            polygons = polygons_of(outputs[-1], found.extra, boxes, spec.prototype_stride)
        return replace(detections, polygons=tuple(_in_frame(one, letterbox) for one in polygons))
    if spec.decode == POSES:
        keypoints = found.extra.reshape(len(found.extra), *spec.keypoints).copy()
        keypoints[..., :2] = letterbox.points(keypoints[..., :2])
        return replace(detections, keypoints=keypoints)
    assert spec.decode == ORIENTED
    corners = letterbox.points(corners_of(upright(found.extra)), clip=False)
    side = corners[:, 1] - corners[:, 0]
    return replace(detections, corners=corners, angle=np.arctan2(side[:, 1], side[:, 0]))


def _in_frame(
    polygons: tuple[NDArray[np.float32], ...] | None, letterbox: Letterbox
) -> tuple[NDArray[np.float32], ...] | None:
    return None if polygons is None else tuple(letterbox.points(polygon) for polygon in polygons)
