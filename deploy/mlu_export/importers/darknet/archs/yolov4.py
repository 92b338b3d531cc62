"""YOLOv4 and YOLOv4-tiny, COCO-80. Pictures are stretched to the input, as Darknet does for the published cfgs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._parts import conv, head, pool_pyramid, section, shortcut, yolo

if TYPE_CHECKING:
    from ..cfg import Section

ANCHORS = "12,16, 19,36, 40,28, 36,75, 76,55, 72,146, 142,110, 192,243, 459,401"
TINY_ANCHORS = "10,14, 23,27, 37,58, 81,82, 135,169, 344,319"
# Channels of a stage, of its two halves, of what its residual blocks squeeze to, and their number.
STAGES = ((64, 64, 32, 1), (128, 64, 64, 2), (256, 128, 128, 8), (512, 256, 256, 8), (1024, 512, 512, 4))


def yolov4_sections() -> tuple[Section, ...]:
    """608x608: CSPDarknet-53 with mish, a pyramid of pools, and paths up and down again; the fine head comes first."""
    layers = [section("net", width=608, height=608, channels=3), _mish(32, 3)]
    for stage in STAGES:
        layers += _stage(*stage)
    layers += [conv(512, 1), conv(1024, 3), conv(512, 1), *pool_pyramid()]
    layers += [conv(512, 1), conv(1024, 3), conv(512, 1)]
    for filters, source in ((256, 85), (128, 54)):
        layers += [conv(filters, 1), section("upsample", stride=2), section("route", layers=source)]
        layers += [conv(filters, 1), section("route", layers="-1,-3"), *_five(filters)]
    layers += [conv(256, 3), head(255), yolo("0,1,2", ANCHORS, scale_x_y=1.2)]
    for filters, source, mask, scale in ((256, -16, "3,4,5", 1.1), (512, -37, "6,7,8", 1.05)):
        layers += [section("route", layers=-4), conv(filters, 3, stride=2), section("route", layers=f"-1,{source}")]
        layers += [*_five(filters), conv(2 * filters, 3), head(255), yolo(mask, ANCHORS, scale_x_y=scale)]
    return tuple(layers)


def yolov4_tiny_sections() -> tuple[Section, ...]:
    """416x416: three blocks that work on half of their channels, and two heads, the coarse one first."""
    layers = [section("net", width=416, height=416, channels=3), conv(32, 3, stride=2), conv(64, 3, stride=2)]
    for filters in (64, 128, 256):
        half = filters // 2
        layers += [conv(filters, 3), section("route", layers=-1, groups=2, group_id=1), conv(half, 3), conv(half, 3)]
        layers += [section("route", layers="-1,-2"), conv(filters, 1), section("route", layers="-6,-1")]
        layers.append(section("maxpool", size=2, stride=2))
    layers += [conv(512, 3), conv(256, 1), conv(512, 3), head(255), yolo("3,4,5", TINY_ANCHORS, scale_x_y=1.05)]
    layers += [section("route", layers=-4), conv(128, 1), section("upsample", stride=2)]
    layers += [section("route", layers="-1,23"), conv(256, 3), head(255), yolo("1,2,3", TINY_ANCHORS, scale_x_y=1.05)]
    return tuple(layers)


def _mish(filters: int, size: int, stride: int = 1) -> Section:
    return conv(filters, size, stride, activation="mish")


def _stage(filters: int, half: int, narrow: int, repeat: int) -> list[Section]:
    """Half the channels go through residual blocks, the others past them."""
    layers = [_mish(filters, 3, stride=2), _mish(half, 1), section("route", layers=-2), _mish(half, 1)]
    for _ in range(repeat):
        layers += [_mish(narrow, 1), _mish(half, 3), shortcut(-3)]
    return [*layers, _mish(half, 1), section("route", layers=f"-1,{-4 - 3 * repeat}"), _mish(filters, 1)]


def _five(filters: int) -> list[Section]:
    return [conv(filters, 1), conv(2 * filters, 3), conv(filters, 1), conv(2 * filters, 3), conv(filters, 1)]
