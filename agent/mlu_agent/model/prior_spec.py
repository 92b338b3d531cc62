"""Heads of the SSD family: boxes as offsets from priors, class scores behind a softmax with the background first.

RetinaFace has the same heads with one class; its landmarks are not read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SSD_HEADS = "ssd_heads"  # the kind of outputs
PRIOR_FIELDS = ("box", "classes")  # in their usual order


@dataclass(frozen=True, eq=False)
class PriorLevel:
    """The cells of one level and the priors that stand in the middle of each.

    ``stride``   pixels from cell to cell, 0: what divides the input evenly into ``cells``.
    ``cells``    rows and columns, (0, 0): as many strides as the input has, the last one perhaps in part.
    ``anchors``  float32 (A, 2): the priors' width and height in network pixels.
    """

    stride: int
    cells: tuple[int, int]
    anchors: NDArray[np.float32]

    def grid(self, width: int, height: int) -> tuple[int, int]:
        """Rows and columns of an input of that size."""
        return self.cells if self.cells != (0, 0) else (-(-height // self.stride), -(-width // self.stride))

    def steps(self, width: int, height: int) -> tuple[float, float]:
        """Pixels from cell to cell, across and down."""
        if self.stride:
            return float(self.stride), float(self.stride)
        rows, columns = self.cells
        return width / columns, height / rows


@dataclass(frozen=True)
class PriorSpec:
    """How such outputs are to be understood.

    ``variances``  by which the offsets of centres, and of logarithms of sides, were divided in training.
    ``tensors``    the tensors of each level, each with its fields in channel order.
    ``softmaxed``  the class scores went through the softmax in the network.
    ``joined``     the priors of all levels follow one another in each tensor.
    """

    levels: tuple[PriorLevel, ...]
    variances: tuple[float, float] = (0.1, 0.2)
    tensors: tuple[tuple[str, ...], ...] = (("box",), ("classes",))
    softmaxed: bool = False
    joined: bool = False

    def depths(self, classes: int) -> list[int]:
        """Numbers for each prior in each of the ``tensors``."""
        channels = {"box": 4, "classes": 1 + classes}
        return [sum(channels[field] for field in fields) for fields in self.tensors]

    def counts(self, width: int, height: int) -> list[int]:
        """Priors of each level."""
        grids = [level.grid(width, height) for level in self.levels]
        return [rows * columns * len(level.anchors) for (rows, columns), level in zip(grids, self.levels)]

    def shapes(self, width: int, height: int, classes: int) -> list[tuple[int, int, int]]:
        """(H, W, C) of every output; a joined one is (priors, 1, C)."""
        depths = self.depths(classes)
        if self.joined:
            return [(sum(self.counts(width, height)), 1, depth) for depth in depths]
        return [(*level.grid(width, height), len(level.anchors) * depth) for level in self.levels for depth in depths]


def lies_in_rows(shape: tuple[int, ...], count: int, depth: int) -> bool | None:
    """Whether a joined output (H, W, C) holds ``count`` rows of ``depth`` numbers, or (False) as many columns; None:
    neither.

    A compiler that takes a network's (N, count, depth) for N, C, H leaves (depth, 1, count), the numbers of one kind
    together.
    """
    height, width, channels = shape
    if (channels == depth and height * width == count) or (height * width == 1 and channels == count * depth):
        return True
    return False if channels == count and height * width == depth else None
