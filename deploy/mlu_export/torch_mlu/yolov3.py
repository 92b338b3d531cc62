"""YOLOv3 as a ``torch.nn.Module`` with the keys of the vendor's torchvision: ``module_list.{i}.Conv2d.weight`` ...

``i`` counts the sections of Darknet's yolov3.cfg behind ``[net]``. On the CPU the module gives decoded boxes, on the
device the vendor's detection operator.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import torch

from mlu_agent.errors import DataError, UserError

from .tensor import DEVICE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ANCHORS = ((10, 13), (16, 30), (33, 23), (30, 61), (62, 45), (59, 119), (116, 90), (156, 198), (373, 326))
MASKS = ((6, 7, 8), (3, 4, 5), (0, 1, 2))
STRIDES = (32, 16, 8)
MAX_BOXES = 1024
CLASSES = 80
LAST_HEAD = "module_list.105.Conv2d.weight"
Section = tuple[Any, ...]


def _convolution(filters: int, size: int, stride: int = 1) -> Section:
    return "convolutional", filters, size, stride


def _backbone() -> Iterator[Section]:
    """Darknet-53: 75 sections, 0 to 74."""
    yield _convolution(32, 3)
    for filters, blocks in ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4)):
        yield _convolution(filters, 3, 2)
        for _ in range(blocks):
            yield _convolution(filters // 2, 1)
            yield _convolution(filters, 3)
            yield "shortcut", -3


def _heads() -> Iterator[Section]:
    for number, (filters, skip) in enumerate(((512, None), (256, 61), (128, 36))):
        if skip is not None:
            yield "route", (-4,)
            yield _convolution(filters, 1)
            yield ("upsample",)
            yield "route", (-1, skip)
        for _ in range(3):
            yield _convolution(filters, 1)
            yield _convolution(2 * filters, 3)
        yield "head", number
        yield "yolo", number


class Yolo(torch.nn.Module):  # type: ignore[misc]
    """Decodes one head on the CPU; holds the parameters that the vendor's files have for it."""

    def __init__(self, number: int, size: int) -> None:
        super().__init__()
        cells, self.stride = size // STRIDES[number], STRIDES[number]
        steps = torch.arange(cells, dtype=torch.float32)
        scaled = torch.tensor([ANCHORS[place] for place in MASKS[number]], dtype=torch.float32) / self.stride
        parameters = {
            "grid_x": steps.repeat(cells).reshape(1, 1, -1, 1),
            "grid_y": steps.repeat_interleave(cells).reshape(1, 1, -1, 1),
            "scaled_anchors": scaled,
            "anchor_w": scaled[:, :1].reshape(1, -1, 1, 1).clone(),
            "anchor_h": scaled[:, 1:].reshape(1, -1, 1, 1).clone(),
        }
        for name, values in parameters.items():
            self.register_parameter(name, torch.nn.Parameter(values, requires_grad=False))

    def forward(self, head: Any) -> Any:
        """(N, 3 * (5 + classes), S, S) -> (N, 3 * S * S, 5 + classes): centre and size in pixels, then scores."""
        count = len(MASKS[0])
        values = head.flatten(2).unflatten(1, (count, -1)).transpose(2, 3)
        parts = (
            (torch.sigmoid(values[..., 0:1]) + self.grid_x) * self.stride,
            (torch.sigmoid(values[..., 1:2]) + self.grid_y) * self.stride,
            torch.exp(values[..., 2:3]) * self.anchor_w * self.stride,
            torch.exp(values[..., 3:4]) * self.anchor_h * self.stride,
            torch.sigmoid(values[..., 4:]),
        )
        return torch.cat(parts, -1).flatten(1, 2)


class YOLOv3(torch.nn.Module):  # type: ignore[misc]
    """``size`` is the side of the square input (N, 3, size, size), a multiple of 32."""

    def __init__(self, size: int, classes: int, confidence: float, iou: float) -> None:
        super().__init__()
        if size <= 0 or size % STRIDES[0]:
            raise UserError(f"yolov3: img_size={size!r}: give a multiple of {STRIDES[0]}, like 416")
        self.img_size, self.num_classes, self.conf_thres, self.nms_thres = size, classes, confidence, iou
        self.sections = [*_backbone(), *_heads()]
        self.module_list = torch.nn.ModuleList()
        channels: list[int] = []
        for place, section in enumerate(self.sections):
            made, width = self._made(place, section, channels)
            self.module_list.append(made)
            channels.append(width)

    def _made(self, place: int, section: Section, channels: list[int]) -> tuple[Any, int]:
        module, width = torch.nn.Sequential(), channels[-1] if channels else 3
        if section[0] == "convolutional":
            _, filters, size, stride = section
            module.add_module("Conv2d", torch.nn.Conv2d(width, filters, size, stride, size // 2, bias=False))
            module.add_module("BatchNorm2d", torch.nn.BatchNorm2d(filters))
            module.add_module("activation", torch.nn.LeakyReLU(0.1))
            return module, filters
        if section[0] == "head":
            filters = len(MASKS[0]) * (5 + self.num_classes)
            module.add_module("Conv2d", torch.nn.Conv2d(width, filters, 1))
            return module, filters
        if section[0] == "upsample":
            module.add_module(f"upsample_{place}", torch.nn.Upsample(scale_factor=2, mode="nearest"))
        elif section[0] == "yolo":
            module.add_module(f"yolo_{place}", Yolo(section[1], self.img_size))
        elif section[0] == "route":
            width = sum(channels[one] for one in section[1])
        return module, width

    def forward(self, x: Any) -> Any:
        """Boxes (N, boxes, 5 + classes) on the CPU; the detection operator's (N, 64 + 7 * 1024, 1, 1) on the device."""
        on_device = x.device.type == DEVICE
        results: list[Any] = []
        kept: list[Any] = []
        for section, module in zip(self.sections, self.module_list):
            if section[0] == "yolo":
                results.append(x if on_device else module(x))
            elif section[0] == "route":
                parts = [kept[place] for place in section[1]]
                x = parts[0] if len(parts) == 1 else torch.cat(parts, 1)
            else:
                x = x + kept[section[1]] if section[0] == "shortcut" else module(x)
            kept.append(x)
        return self._detected(results) if on_device else torch.cat(results, 1)

    def _detected(self, heads: list[Any]) -> Any:
        anchors = [side for mask in MASKS for place in mask for side in ANCHORS[place]]
        return torch.ops.torch_mlu.yolov3_detection_output(
            *heads, anchors, self.num_classes, len(anchors), self.img_size, self.conf_thres, self.nms_thres, MAX_BOXES
        )


_UPSTREAM = {"conv": "Conv2d", "batch_norm": "BatchNorm2d"}
_UPSTREAM_KEY = re.compile(r"(module_list\.\d+)\.(conv|batch_norm)_\d+\.(.+)")
_DECODING = re.compile(r"module_list\.\d+\.yolo_\d+\.")


def vendor_keys(state: Mapping[str, Any]) -> dict[str, Any]:
    """A checkpoint with keys ``conv_{i}``, ``batch_norm_{i}`` in the vendor's names; what decodes boxes is left out."""
    renamed = {}
    for key, value in state.items():
        match = _UPSTREAM_KEY.fullmatch(key)
        name = f"{match[1]}.{_UPSTREAM[match[2]]}.{match[3]}" if match else key
        if not _DECODING.match(name):
            renamed[name] = value
    return renamed


def classes_of(state: Mapping[str, Any]) -> int:
    """How many classes the heads of a checkpoint have. Raises DataError if it is no YOLOv3's."""
    weight = state.get(LAST_HEAD)
    filters = weight.shape[0] if weight is not None else 0
    if filters % len(MASKS[0]) or filters // len(MASKS[0]) <= 5:
        raise DataError(f"it is no checkpoint of YOLOv3: it has no {LAST_HEAD} of 3 * (5 + classes) filters")
    return int(filters // len(MASKS[0]) - 5)
