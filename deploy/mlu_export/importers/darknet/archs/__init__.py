"""Networks known by name: how their weights are read, and how a picture enters and leaves them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Callable

from mlu_agent.errors import UserError
from mlu_agent.model.bundle import Thresholds

from ....values.pixels import Preprocessing
from ..cfg import Section
from .yolo_fastest import yolo_fastest_sections
from .yolov3 import yolov3_sections, yolov3_spp_sections
from .yolov3_tiny import yolov3_tiny_sections
from .yolov4 import yolov4_sections, yolov4_tiny_sections

Sections = tuple[Section, ...]
OPEN = ("onnx", "module", "torchscript")  # families of any network, whose outputs mean what the user says or they show


@dataclass(frozen=True)
class Arch:
    """One entry of the register: ``family`` is darknet, yolov5 or one of OPEN; the rest are manifest defaults.

    ``activation`` is what a state dict of the network does not tell, None to take the usual one.
    """

    name: str
    family: str
    resize: str = Preprocessing.resize
    pad_value: int = Preprocessing.pad_value
    iou: float = Thresholds.iou
    sections: Callable[[], Sections] | None = None
    needs_cfg: bool = False
    activation: str | None = None

    @property
    def is_published(self) -> bool:
        """Whether it is one network, known by name, and not what a file describes."""
        return self.sections is not None or self.family == "yolov5"

    @property
    def model_name(self) -> str:
        """What a model is called that nobody named."""
        return self.name.replace("@", "-")


def _yolov5(name: str) -> Arch:
    return Arch(name, "yolov5", pad_value=114, iou=0.6)


ARCHS: dict[str, Arch] = {
    arch.name: arch
    for arch in (
        Arch("yolov3", "darknet", sections=yolov3_sections),
        Arch("yolov3-spp", "darknet", sections=yolov3_spp_sections),
        Arch("yolov3-tiny", "darknet", sections=yolov3_tiny_sections),
        Arch("yolov4", "darknet", resize="stretch", sections=yolov4_sections),
        Arch("yolov4-tiny", "darknet", resize="stretch", sections=yolov4_tiny_sections),
        Arch("yolo-fastest", "darknet", resize="stretch", sections=yolo_fastest_sections),
        Arch("darknet", "darknet", needs_cfg=True),
        *(_yolov5(f"yolov5{size}") for size in "nsmlx"),
        Arch("onnx", "onnx", pad_value=114),
        Arch("module", "module", pad_value=114),
        Arch("torchscript", "torchscript", pad_value=114),
    )
}


# Activations by release of YOLOv5, for state dicts: --arch yolov5s@v3.1.
RELEASES = {
    "v3.0": "leaky_relu",
    "v3.1": "hardswish",
    **dict.fromkeys(("v4.0", "v5.0", "v6.0", "v6.1", "v6.2", "v7.0"), "silu"),
}


def find_arch(name: str) -> Arch:
    """The entry of that name, of YOLOv5 also with its release (``yolov5s@v3.1``); raises UserError."""
    base, at, release = name.partition("@")
    if base not in ARCHS:
        raise UserError(
            f"--arch {name!r:.60} is not known; known are {', '.join(ARCHS)} (darknet takes any --cfg of the v3 and v4 "
            "families)"
        )
    arch = ARCHS[base]
    if not at:
        return arch
    if arch.family != "yolov5" or release not in RELEASES:
        raise UserError(f"--arch {name!r:.60}: releases are those of YOLOv5: yolov5s@{', @'.join(RELEASES)}")
    return replace(arch, name=name, activation=RELEASES[release])
