"""The boxes found in one frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

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
    """

    xyxy: NDArray[np.float32]
    confidence: NDArray[np.float32]
    class_id: NDArray[np.int32]
    invalid: int = 0
    filtered: int = 0

    def __post_init__(self) -> None:
        count = len(self.confidence)
        if self.xyxy.shape != (count, 4) or self.class_id.shape != (count,):
            raise ValueError(
                f"xyxy {self.xyxy.shape}, confidence {self.confidence.shape} and class_id {self.class_id.shape} "
                "do not describe the same boxes: give (N, 4), (N,) and (N,)"
            )

    @classmethod
    def empty(cls, invalid: int = 0, filtered: int = 0) -> Detections:
        """No box at all."""
        return cls(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int32), invalid, filtered)

    def __len__(self) -> int:
        return len(self.confidence)
