"""Views of pictures: parts of them, mirrored or not, and of large inputs a window at a time.

The float network tells what is right for each, so none needs labels, and few pictures give many.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..formats.pictures import float_picture, read_picture
from ..values.graph import Operation, Slice

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    from mlu_agent.model.bundle import InputSpec

    from ..values.arrays import FloatArray
    from ..values.graph import Graph

WHOLE = 0.3  # of the views are of whole pictures
SMALLEST = 0.5  # side of a part
WINDOW = 320  # pixels, at least: of larger inputs four times as many views cost as much
GRID = 64  # which windows keep to: strides divide it


def window(graph: Graph) -> tuple[int, int]:
    """Rows and columns of a view: half of large inputs, where no node of the graph is bound to a size."""
    height, width, _ = graph.input_shape
    if any(isinstance(node, (Operation, Slice)) for node in graph.nodes):
        return height, width
    rows, cols = (max(WINDOW, size // 2 // GRID * GRID) for size in (height, width))
    return (rows, cols) if rows <= height and cols <= width else (height, width)


class Views:
    """An endless row of views, the same for the same seed; every picture is seen once before any is seen again."""

    def __init__(self, paths: Sequence[Path], spec: InputSpec, graph: Graph, seed: int) -> None:
        self._paths, self._spec = paths, spec
        self._window = window(graph)
        self._random = np.random.default_rng(seed)
        self._waiting: list[int] = []

    def next(self) -> FloatArray:
        """One view as a normalised tensor (1, height, width, 3) of the window's size."""
        if not self._waiting:
            self._waiting = self._random.permutation(len(self._paths)).tolist()
        pixels = read_picture(self._paths[self._waiting.pop()])
        whole = float_picture(self._part(pixels), self._spec)[0]
        places = [
            int(self._random.integers(0, (size - part) // GRID + 1)) * GRID
            for size, part in zip(whole.shape[1:], self._window)
        ]
        rows, cols = (slice(place, place + part) for place, part in zip(places, self._window))
        return whole[:, rows, cols]

    def _part(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        mirrored, whole, side, top, left = self._random.random(5)
        side = 1.0 if whole < WHOLE else SMALLEST + (1 - SMALLEST) * side
        height, width = (max(1, int(size * side)) for size in pixels.shape[:2])
        y, x = int(top * (pixels.shape[0] - height)), int(left * (pixels.shape[1] - width))
        part = pixels[y : y + height, x : x + width]
        return np.ascontiguousarray(part[:, ::-1] if mirrored < 0.5 else part)
