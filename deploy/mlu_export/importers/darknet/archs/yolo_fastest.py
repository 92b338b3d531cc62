"""Yolo-Fastest 1.1, 320x320, COCO-80: inverted residual blocks with depthwise convolutions; pictures are stretched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._parts import conv, head, pool_pyramid, section, shortcut, yolo

if TYPE_CHECKING:
    from ..cfg import Section

ANCHORS = "12,18, 37,49, 52,132, 115,73, 119,199, 242,238"
# Wide, narrow channels and number of residual blocks; the single step between two stages follows each.
STAGES = (
    ((8, 4, 1), (24, 8, 2)),
    ((32, 8, 2), (32, 8, 2)),
    ((48, 8, 2), (48, 16, 1)),
    ((96, 16, 4), (96, 24, 2)),
    ((136, 24, 4), (136, 48, 2)),
)


def yolo_fastest_sections() -> tuple[Section, ...]:
    """320x320: depthwise convolutions between narrow layers, and two heads."""
    layers: list[Section] = [section("net", width=320, height=320, channels=3), conv(8, 3, stride=2)]
    layers += _step(8, 4, 1)
    for (wide, narrow, repeat), (step_wide, step_narrow, stride) in STAGES:
        for _ in range(repeat):
            layers += [
                *_step(wide, narrow, 1),
                section("dropout"),
                shortcut(-5),
            ]
        layers += _step(step_wide, step_narrow, stride)
    for _ in range(5):
        layers += [*_step(224, 48, 1), section("dropout"), shortcut(-5)]
    layers += pool_pyramid((3, 5, 9)) + _head(96, "3,4,5")
    layers += [section("route", layers=-7), section("upsample", stride=2), section("route", layers="-1,80")]
    layers += _head(120, "0,1,2", entry=False)
    return tuple(layers)


def _step(wide: int, narrow: int, stride: int) -> list[Section]:
    """Widen, filter each channel, narrow."""
    return [conv(wide, 1), conv(wide, 3, stride, groups=wide), conv(narrow, 1, activation="linear")]


def _head(wide: int, mask: str, entry: bool = True) -> list[Section]:
    layers = [conv(wide, 1)] if entry else []
    for _ in range(2):
        layers += [conv(wide, 5, groups=wide), conv(wide, 1, activation="linear")]
    return [*layers, head(255), yolo(mask, ANCHORS)]
