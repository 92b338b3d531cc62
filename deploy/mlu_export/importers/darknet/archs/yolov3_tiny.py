"""YOLOv3-tiny, 416x416, COCO-80, with the mask that its published weights were trained with.

The cfg published beside the weights gives the 26x26 head mask 0,1,2; the weights need 1,2,3: mAP50 on 128 COCO pictures
is .46 with it and .29 without. Both heads therefore share the anchor 81x82.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._parts import conv, head, section, yolo

if TYPE_CHECKING:
    from ..cfg import Section

ANCHORS = "10,14, 23,27, 37,58, 81,82, 135,169, 344,319"


def yolov3_tiny_sections() -> tuple[Section, ...]:
    """416x416; the fine head has the mask of the published weights, which the published cfg has not."""
    layers: list[Section] = [section("net", width=416, height=416, channels=3)]
    for filters in (16, 32, 64, 128, 256):
        layers += [conv(filters, 3), section("maxpool", size=2, stride=2)]
    layers += [conv(512, 3), section("maxpool", size=2, stride=1), conv(1024, 3)]
    layers += [conv(256, 1), conv(512, 3), head(255), yolo("3,4,5", ANCHORS)]
    layers += [
        section("route", layers=-4),
        conv(128, 1),
        section("upsample", stride=2),
        section("route", layers="-1,8"),
    ]
    layers += [conv(256, 3), head(255), yolo("1,2,3", ANCHORS)]
    return tuple(layers)
