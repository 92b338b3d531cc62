"""What one picture shows as a whole: its classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Classes:
    """Classes of one frame by descending confidence; equal ones by ascending number.

    ``class_id``    int32 (N,), from 0.
    ``label``       of each.
    ``confidence``  float32 (N,), 0..1.
    ``invalid``     classes that were thrown away because their number was not finite, or no confidence: a sign of a
                    broken model, or of an ``activation`` that the manifest has wrong.
    ``filtered``    classes that were sure enough to be looked at and are not what the source wants.
    """

    class_id: NDArray[np.int32]
    label: tuple[str, ...]
    confidence: NDArray[np.float32]
    invalid: int = 0
    filtered: int = 0

    def __post_init__(self) -> None:
        count = len(self.label)
        if self.class_id.shape != (count,) or self.confidence.shape != (count,):
            raise ValueError(
                f"class_id {self.class_id.shape}, confidence {self.confidence.shape} and {count} labels do not "
                "describe the same classes: give as many of each"
            )

    def __len__(self) -> int:
        return len(self.label)
