"""Networks known by name: how their weights are read, and how a picture enters and leaves them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

from mlu_agent.errors import UserError

from ..importers.darknet_cfg import Section
from .yolo_fastest import yolo_fastest_sections
from .yolov3_tiny import yolov3_tiny_sections

Sections = tuple[Section, ...]


@dataclass(frozen=True)
class Arch:
    """One entry of the register: ``family`` is darknet, yolov5, onnx or module; the rest are manifest defaults."""

    name: str
    family: str
    resize: str = "letterbox"
    pad_value: int = 128
    iou: float = 0.45
    sections: Callable[[], Sections] | None = None
    needs_cfg: bool = False


def _yolov5(name: str) -> Arch:
    return Arch(name, "yolov5", pad_value=114, iou=0.6)


ARCHS: dict[str, Arch] = {
    arch.name: arch
    for arch in (
        Arch("yolov3-tiny", "darknet", sections=yolov3_tiny_sections),
        Arch("yolo-fastest", "darknet", resize="stretch", sections=yolo_fastest_sections),
        Arch("darknet", "darknet", needs_cfg=True),
        *(_yolov5(f"yolov5{size}") for size in "nsmlx"),
        Arch("onnx", "onnx", pad_value=114),
        Arch("module", "module", pad_value=114),
    )
}


def find_arch(name: str) -> Arch:
    """The entry of that name; raises UserError listing the known ones."""
    if name not in ARCHS:
        raise UserError(
            f"--arch {name!r} is not known; known are {', '.join(ARCHS)} (darknet takes any v3-family --cfg)"
        )
    return ARCHS[name]
