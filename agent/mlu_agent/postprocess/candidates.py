"""What decoding hands to NMS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Candidates:
    """Boxes before NMS: ``xyxy`` float32 (N, 4) in network pixels, ``confidence`` float32 (N,), ``class_id`` int32
    (N,), in no order; ``invalid`` counts those dropped because a number in them was not finite or not possible.

    ``extra`` float32 (N, numbers) is what more the model tells of each: mask coefficients, keypoints in network pixels,
    or the turned box whose enclosing one is in ``xyxy``; None where there is nothing more.
    """

    xyxy: NDArray[np.float32]
    confidence: NDArray[np.float32]
    class_id: NDArray[np.int32]
    invalid: int = 0
    extra: NDArray[np.float32] | None = None

    def at(self, index: NDArray[np.intp]) -> Candidates:
        """Those of these numbers."""
        extra = None if self.extra is None else self.extra[index]
        return Candidates(self.xyxy[index], self.confidence[index], self.class_id[index], self.invalid, extra)


def nothing() -> Candidates:
    """No candidates."""
    return Candidates(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int32))


def join(parts: Sequence[Candidates]) -> Candidates:
    """The candidates of several heads as one."""
    if len(parts) == 1:
        return parts[0]
    extras = [part.extra for part in parts if part.extra is not None]
    return Candidates(
        np.concatenate([part.xyxy for part in parts]),
        np.concatenate([part.confidence for part in parts]),
        np.concatenate([part.class_id for part in parts]),
        sum(part.invalid for part in parts),
        np.concatenate(extras) if extras else None,
    )
