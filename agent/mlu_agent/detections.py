"""The boxes found in one frame."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Detections:
    """Boxes of one frame, sorted by descending confidence.

    ``xyxy``        float32 (N, 4): left, top, right, bottom in pixels of the original frame.
    ``confidence``  float32 (N,), objectness x class score, 0..1.
    ``class_id``    int32 (N,), from 0.
    ``invalid``     candidates that were thrown away because a number in them was not finite: a sign of a broken model.
    ``filtered``    candidates that were sure enough to be looked at and are not what the source wants.

    What some models tell beside, in pixels of the original frame; None of all others:

    ``polygons``    of each box those around the object's mask, float32 (P, 2), the largest first; None in the place of
                    a box whose mask was left out because there were too many.
    ``keypoints``   float32 (N, K, 2): x, y, or (N, K, 3) with visibility, 0..1.
    ``corners``     float32 (N, 4, 2) of turned boxes, clockwise as one sees it; ``xyxy`` encloses them in the frame.
    ``angle``       float32 (N,): radians of the side from the first corner to the second, clockwise from the x axis.
    """

    xyxy: NDArray[np.float32]
    confidence: NDArray[np.float32]
    class_id: NDArray[np.int32]
    invalid: int = 0
    filtered: int = 0
    polygons: tuple[tuple[NDArray[np.float32], ...] | None, ...] | None = None
    keypoints: NDArray[np.float32] | None = None
    corners: NDArray[np.float32] | None = None
    angle: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        count = len(self.confidence)
        if self.xyxy.shape != (count, 4) or self.class_id.shape != (count,):
            raise ValueError(
                f"xyxy {self.xyxy.shape}, confidence {self.confidence.shape} and class_id {self.class_id.shape} "
                "do not describe the same boxes: give (N, 4), (N,) and (N,)"
            )
        for name in ("polygons", "keypoints", "corners", "angle"):
            shapes = getattr(self, name)
            if shapes is not None and len(shapes) != count:
                raise ValueError(f"{name} of {len(shapes)} boxes, but there are {count}: give one for each")

    @classmethod
    def empty(cls, invalid: int = 0, filtered: int = 0) -> Detections:
        """No box at all."""
        return cls(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int32), invalid, filtered)

    def __len__(self) -> int:
        return len(self.confidence)

    def at(self, index: NDArray[np.intp]) -> Detections:
        """Those of these numbers, in that order."""
        return replace(
            self,
            xyxy=self.xyxy[index],
            confidence=self.confidence[index],
            class_id=self.class_id[index],
            polygons=None if self.polygons is None else tuple(self.polygons[one] for one in index.tolist()),
            keypoints=None if self.keypoints is None else self.keypoints[index],
            corners=None if self.corners is None else self.corners[index],
            angle=None if self.angle is None else self.angle[index],
        )

    def scaled(self, factor: float) -> Detections:
        """The same in a picture that is larger or smaller by a factor."""
        by = np.float32(factor)
        keypoints = self.keypoints
        if keypoints is not None:
            keypoints = np.concatenate((keypoints[..., :2] * by, keypoints[..., 2:]), axis=2)
        outlines = self.polygons
        if outlines is not None:
            outlines = tuple(None if one is None else tuple(part * by for part in one) for one in outlines)
        corners = None if self.corners is None else self.corners * by
        return replace(self, xyxy=self.xyxy * by, polygons=outlines, keypoints=keypoints, corners=corners)

    @property
    def shaped(self) -> bool:
        """Whether the model tells more than boxes."""
        return not (self.polygons is None and self.keypoints is None and self.corners is None)

    def numbers(self, index: int) -> int:
        """How many numbers the shape of one has, and one more for each of its parts."""
        if self.polygons is not None:
            return 2 + sum(polygon.size + 1 for polygon in self.polygons[index] or ())
        return 11 if self.keypoints is None else 2 + self.keypoints[index].size


def shape_map(detections: Detections, index: int, size: tuple[int, int], digits: int) -> dict[str, Any]:
    """What is told of one beside its box, its points divided by ``size``, width and height, and rounded."""
    told: dict[str, Any] = {}
    polygons = None if detections.polygons is None else detections.polygons[index]
    if polygons is not None:
        told["polygons"] = [_rounded(polygon, size, digits) for polygon in polygons]
    if detections.keypoints is not None:
        told["keypoints"] = _rounded(detections.keypoints[index], size, digits)
    if detections.corners is not None and detections.angle is not None:
        told["corners"] = _rounded(detections.corners[index], size, digits)
        told["angle"] = round(float(detections.angle[index]), 6)
    return told


def _rounded(points: NDArray[np.float32], size: tuple[int, int], digits: int) -> list[list[float]]:
    scale = np.array([*size, 1.0][: points.shape[-1]], np.float64)
    rounded: list[list[float]] = np.round(points / scale, digits).tolist()
    return rounded
