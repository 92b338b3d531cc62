"""One decoded picture and where it came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Frame:
    """One decoded picture.

    ``pixels``           uint8 (H, W, 3), BGR.
    ``source_id``        the source that produced it.
    ``sequence``         from 0, counts the frames that this source handed out: a gap is a loss.
    ``capture_time_ns``  wall clock when it was taken, nanoseconds since 1970.
    ``clock``            where that time comes from: "arrival" (its packet came), "file_pts" (the file's own times),
                         "rtcp_sr" (the sender's clock).
    ``position``         number of the frame in the file or stream, dropped ones included.
    """

    pixels: NDArray[np.uint8]
    source_id: str
    sequence: int
    capture_time_ns: int
    clock: str = "arrival"
    position: int = 0

    @property
    def width(self) -> int:
        """Width in pixels."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.pixels.shape[0])
