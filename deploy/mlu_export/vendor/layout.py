"""Where each layer of a detector stands in its state dict: the layouts that the vendor's files have. No torch here.

Darknet networks use the layout of the vendor's fork, ``module_list.{i}.Conv2d``, where ``i`` is the number of the cfg's
section; YOLOv5 that of its own modules, ``model.{i}.conv``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..graph import Graph

# Children of YOLOv5's modules in the order of their registration, which is not always that of execution.
_ORDER = ("anchors", "anchor_grid", "conv", "cv1", "cv2", "cv3", "cv4", "bn", "act", "m")


@dataclass(frozen=True)
class Place:
    """Module paths of a convolution and of its batch-norm (which need not exist)."""

    conv: str
    norm: str


def places(graph: Graph, family: str) -> dict[str, Place] | None:
    """The place of every convolution by node name, in the order of the state dict; None where no layout exists."""
    if family == "darknet":
        return {conv.name: _darknet(conv.name) for conv in graph.convolutions()}
    if family == "yolov5":
        found = {conv.name: _yolov5(conv.name, conv.name in graph.outputs) for conv in graph.convolutions()}
        return dict(sorted(found.items(), key=lambda item: _rank(item[1].conv)))
    return None


def _darknet(name: str) -> Place:
    home = f"module_list.{name[: -len('_conv')]}"
    return Place(f"{home}.Conv2d", f"{home}.BatchNorm2d")


def _yolov5(name: str, is_head: bool) -> Place:
    home = f"model.{name[: -len('.conv')]}"
    return Place(home if is_head else f"{home}.conv", f"{home}.bn")


def _rank(path: str) -> list[tuple[int, int]]:
    return [
        (0, int(part)) if part.isdigit() else (1, _ORDER.index(part) if part in _ORDER else len(_ORDER))
        for part in path.split(".")
    ]
