"""Published sets of anchors and priors by name, in pixels of the network's input."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .values import Pairs  # noqa: TC001 - an alias that is made from it


@dataclass(frozen=True)
class AnchorLevel:
    """``stride`` pixels from cell to cell (0: the input divided evenly into ``cells`` rows and columns)."""

    stride: int
    anchors: Pairs
    scale_x_y: float = 1.0
    cells: int = 0

    def grid(self, width: int, height: int) -> tuple[int, int]:
        """Rows and columns of priors in an input of that size: the last cell may be one in part."""
        if self.cells:
            return self.cells, self.cells
        return -(-height // self.stride), -(-width // self.stride)


AnchorSet = tuple[AnchorLevel, ...]


def _pairs(*sides: float) -> Pairs:
    return tuple(zip(sides[::2], sides[1::2]))


def _priors(least: float, most: float, ratios: tuple[int, ...]) -> Pairs:
    """The priors of one cell in the order of SSD's authors: ``least``, the mean with ``most`` (0: none), and for each
    ratio a lying and a standing one."""
    found = [(least, least)]
    if most:
        found.append((math.sqrt(least * most),) * 2)
    for ratio in ratios:
        root = math.sqrt(ratio)
        found += [(least * root, least / root), (least / root, least * root)]
    return tuple((round(width, 4), round(height, 4)) for width, height in found)


def _ssd(places: list[tuple[int, int]], sides: list[float], ratios: list[tuple[int, ...]]) -> AnchorSet:
    """``places``: stride and cells of each level; ``sides``: from level to level, one more."""
    return tuple(
        AnchorLevel(stride, _priors(least, most, own), cells=cells)
        for (stride, cells), least, most, own in zip(places, sides, sides[1:], ratios)
    )


_SSD300 = [(8, 0), (16, 0), (32, 0), (64, 0), (100, 0), (300, 0)]
_SSD300_RATIOS: list[tuple[int, ...]] = [(2,), (2, 3), (2, 3), (2, 3), (2,), (2,)]
_SSD512 = [(8, 0), (16, 0), (32, 0), (64, 0), (128, 0), (256, 0), (512, 0)]
_MOBILENET = [(0, 19), (0, 10), (0, 5), (0, 3), (0, 2), (0, 1)]
_MOBILENET_SIDES = [60.0, 105.0, 150.0, 195.0, 240.0, 285.0, 300.0]

ANCHOR_SETS: dict[str, AnchorSet] = {
    "yolov3": (
        AnchorLevel(8, _pairs(10, 13, 16, 30, 33, 23)),
        AnchorLevel(16, _pairs(30, 61, 62, 45, 59, 119)),
        AnchorLevel(32, _pairs(116, 90, 156, 198, 373, 326)),
    ),
    "yolov3-tiny": (
        AnchorLevel(16, _pairs(23, 27, 37, 58, 81, 82)),
        AnchorLevel(32, _pairs(81, 82, 135, 169, 344, 319)),
    ),
    "yolo-fastest": (
        AnchorLevel(16, _pairs(12, 18, 37, 49, 52, 132)),
        AnchorLevel(32, _pairs(115, 73, 119, 199, 242, 238)),
    ),
    "yolov4": (
        AnchorLevel(8, _pairs(12, 16, 19, 36, 40, 28), 1.2),
        AnchorLevel(16, _pairs(36, 75, 76, 55, 72, 146), 1.1),
        AnchorLevel(32, _pairs(142, 110, 192, 243, 459, 401), 1.05),
    ),
    "yolov4-tiny": (
        AnchorLevel(16, _pairs(23, 27, 37, 58, 81, 82), 1.05),
        AnchorLevel(32, _pairs(81, 82, 135, 169, 344, 319), 1.05),
    ),
    "yolov5": (
        AnchorLevel(8, _pairs(10, 13, 16, 30, 33, 23)),
        AnchorLevel(16, _pairs(30, 61, 62, 45, 59, 119)),
        AnchorLevel(32, _pairs(116, 90, 156, 198, 373, 326)),
    ),
    "yolov5-p6": (
        AnchorLevel(8, _pairs(19, 27, 44, 40, 38, 94)),
        AnchorLevel(16, _pairs(96, 68, 86, 152, 180, 137)),
        AnchorLevel(32, _pairs(140, 301, 303, 264, 238, 542)),
        AnchorLevel(64, _pairs(436, 615, 739, 380, 925, 792)),
    ),
    "yolov7": (
        AnchorLevel(8, _pairs(12, 16, 19, 36, 40, 28)),
        AnchorLevel(16, _pairs(36, 75, 76, 55, 72, 146)),
        AnchorLevel(32, _pairs(142, 110, 192, 243, 459, 401)),
    ),
    "ssd300": _ssd(_SSD300, [30, 60, 111, 162, 213, 264, 315], _SSD300_RATIOS),
    "ssd300-coco": _ssd(_SSD300, [21, 45, 99, 153, 207, 261, 315], _SSD300_RATIOS),
    "ssd512": _ssd(_SSD512, [35.84, 76.8, 153.6, 230.4, 307.2, 384.0, 460.8, 537.6], [(2,), *[(2, 3)] * 4, (2,), (2,)]),
    "mobilenet-ssd": (
        AnchorLevel(0, _priors(60, 0, (2,)), cells=19),
        *_ssd(_MOBILENET[1:], _MOBILENET_SIDES[1:], [(2, 3)] * 5),
    ),
    "retinaface": (
        AnchorLevel(8, _pairs(16, 16, 32, 32)),
        AnchorLevel(16, _pairs(64, 64, 128, 128)),
        AnchorLevel(32, _pairs(256, 256, 512, 512)),
    ),
}
