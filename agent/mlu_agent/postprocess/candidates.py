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
    (N,), in no order; ``invalid`` counts those dropped because a number in them was not finite or not possible."""

    xyxy: NDArray[np.float32]
    confidence: NDArray[np.float32]
    class_id: NDArray[np.int32]
    invalid: int = 0


def nothing() -> Candidates:
    """No candidates."""
    return Candidates(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int32))


def join(parts: Sequence[Candidates]) -> Candidates:
    """The candidates of several heads as one."""
    if len(parts) == 1:
        return parts[0]
    return Candidates(
        np.concatenate([part.xyxy for part in parts]),
        np.concatenate([part.confidence for part in parts]),
        np.concatenate([part.class_id for part in parts]),
        sum(part.invalid for part in parts),
    )
