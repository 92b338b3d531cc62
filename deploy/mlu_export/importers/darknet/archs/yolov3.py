"""YOLOv3 and YOLOv3-SPP, COCO-80: Darknet-53 and three heads, the coarse one first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._parts import conv, head, pool_pyramid, section, shortcut, yolo

if TYPE_CHECKING:
    from ..cfg import Section

ANCHORS = "10,13, 16,30, 33,23, 30,61, 62,45, 59,119, 116,90, 156,198, 373,326"
# Channels and number of residual blocks of each stage.
STAGES = ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4))


def yolov3_sections() -> tuple[Section, ...]:
    """416x416, as the published cfg has it."""
    return (*_backbone(416), *_coarse(512, 3), *_heads())


def yolov3_spp_sections() -> tuple[Section, ...]:
    """608x608, with a pyramid of pools before the coarse head."""
    pyramid = [conv(512, 1), conv(1024, 3), conv(512, 1), *pool_pyramid()]
    return (*_backbone(608), *pyramid, *_coarse(512, 2), *_heads())


def _backbone(size: int) -> list[Section]:
    layers = [section("net", width=size, height=size, channels=3), conv(32, 3)]
    for filters, repeat in STAGES:
        layers.append(conv(filters, 3, stride=2))
        for _ in range(repeat):
            layers += [conv(filters // 2, 1), conv(filters, 3), shortcut(-3)]
    return layers


def _coarse(filters: int, pairs: int) -> list[Section]:
    return [*_pairs(filters, pairs), head(255), yolo("6,7,8", ANCHORS)]


def _heads() -> list[Section]:
    """The two finer heads; 61 and 36 are the last layers of the stages of 512 and of 256 channels."""
    layers: list[Section] = []
    for filters, source, mask in ((256, 61, "3,4,5"), (128, 36, "0,1,2")):
        layers += [section("route", layers=-4), conv(filters, 1), section("upsample", stride=2)]
        layers += [section("route", layers=f"-1,{source}"), *_pairs(filters, 3), head(255), yolo(mask, ANCHORS)]
    return layers


def _pairs(filters: int, count: int) -> list[Section]:
    return [conv(filters, 1), conv(2 * filters, 3)] * count
