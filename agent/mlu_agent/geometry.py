"""The mapping between a frame and the network's input.

Coordinates are continuous: pixel i covers [i, i + 1), so a box over the whole frame is (0, 0, width, height). Boxes
may have any leading shape (..., 4) and any float dtype.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.floating[Any]]

Shares = tuple[float, float, float, float]  # left, top, right, bottom in 0..1 of a frame
WHOLE: Shares = (0.0, 0.0, 1.0, 1.0)


class Region(NamedTuple):
    """A rectangle of a frame, in whole pixels: right and bottom are the first ones beyond it."""

    left: int
    top: int
    right: int
    bottom: int

    @classmethod
    def of(cls, shares: Shares, width: int, height: int) -> Region:
        """The rectangle left, top, right, bottom in 0..1 of a frame of that size, to the nearest pixels."""
        left, top = min(round(shares[0] * width), width - 1), min(round(shares[1] * height), height - 1)
        return cls(left, top, max(left + 1, round(shares[2] * width)), max(top + 1, round(shares[3] * height)))


@dataclass(frozen=True)
class Letterbox:
    """How a frame lies in the network's input: ``x_network = x_frame * scale_x + pad_x``, the same for y.

    ``scale_x``, ``scale_y``  network pixels per frame pixel. They differ for "stretch", and by a rounding for
                              "letterbox".
    ``pad_x``, ``pad_y``      left and top border, network pixels; less than 0 where a part of the frame was cut off.
    ``width``, ``height``     of the original frame, pixels.
    ``region``                the part of the frame that the network sees; None: all of it.
    """

    scale_x: float
    scale_y: float
    pad_x: float
    pad_y: float
    width: int
    height: int
    region: Region | None = None

    def within(self, region: Region, width: int, height: int) -> Letterbox:
        """The same of the whole frame of that size, where this one is of what ``region`` cuts out of it."""
        pad_x, pad_y = self.pad_x - region.left * self.scale_x, self.pad_y - region.top * self.scale_y
        return Letterbox(self.scale_x, self.scale_y, pad_x, pad_y, width, height, region)

    @property
    def scale(self) -> float:
        """The smaller of the two scales: the one number of a letterbox."""
        return min(self.scale_x, self.scale_y)

    def invert(self, xyxy: FloatArray) -> NDArray[np.float32]:
        """Boxes (N, 4) in network pixels -> new float32 (N, 4) in frame pixels, clipped to the frame, or to
        its region."""
        return self.points(xyxy.reshape(-1, 2, 2)).reshape(-1, 4)

    @property
    def seen(self) -> tuple[float, float, float, float]:
        """Where the frame, or its region, lies in the network's input: left, top, right, bottom in its pixels."""
        left, top, right, bottom = self._ends
        return (
            left * self.scale_x + self.pad_x,
            top * self.scale_y + self.pad_y,
            right * self.scale_x + self.pad_x,
            bottom * self.scale_y + self.pad_y,
        )

    @property
    def _ends(self) -> tuple[int, int, int, int]:
        return self.region or (0, 0, self.width, self.height)

    def points(self, points: FloatArray, *, clip: bool = True) -> NDArray[np.float32]:
        """Points (..., 2) in network pixels -> new float32 in frame pixels, clipped as boxes are, or (``clip``) not."""
        shift = np.array([self.pad_x, self.pad_y], np.float32)
        scale = np.array([self.scale_x, self.scale_y], np.float32)
        moved: NDArray[np.float32] = np.divide(points.astype(np.float32) - shift, scale)
        left, top, right, bottom = self._ends
        return np.clip(moved, (left, top), (right, bottom), out=moved) if clip else moved
