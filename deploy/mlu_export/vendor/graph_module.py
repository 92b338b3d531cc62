"""An imported detector as a ``torch.nn.Module`` with the state dict that the vendor's files have (layout.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..float_runner import FloatRunner
from ..graph import INPUT
from .layout import places

if TYPE_CHECKING:
    from ..graph import Conv, Graph, Head, ImportedModel
    from .layout import Place


class GraphModule(torch.nn.Module):  # type: ignore[misc]
    """Takes normalised pictures (N, 3, H, W), gives the heads' tensors (N, C, H, W) in order."""

    def __init__(self, model: ImportedModel, places: dict[str, Place]) -> None:
        super().__init__()
        self.graph = model.graph
        self.places = places
        convolutions = {conv.name: conv for conv in model.graph.convolutions()}
        for name, place in places.items():
            conv = convolutions[name]
            put(self, place.conv, _convolution(conv))
            if conv.norm is not None:
                put(self, place.norm, _norm(conv))
            for head in model.heads:
                if head.tensor == name and place.conv.startswith("module_list."):
                    _put_yolo_layer(self, head, place, model.graph)

    def forward(self, pictures: Any) -> Any:
        """One pass in the order of the graph."""
        return tuple(_Forward(self).outputs(pictures))


def graph_module(model: ImportedModel, family: str) -> GraphModule | None:
    """The module of a network that has a layout; None for the others."""
    found = places(model.graph, family)
    return None if found is None else GraphModule(model, found).eval()


def put(root: Any, path: str, module: Any) -> None:
    """Registers a module under a dotted path, with plain modules on the way."""
    *parents, last = path.split(".")
    for part in parents:
        if part not in root._modules:  # noqa: SLF001 - names may be numbers
            root.add_module(part, torch.nn.Module())
        root = root._modules[part]  # noqa: SLF001
    root.add_module(last, module)


class _Forward(FloatRunner):
    """Runs the graph with the module's own layers, whatever they have been replaced by."""

    def __init__(self, module: GraphModule) -> None:
        self._module = module
        super().__init__(module.graph)

    def outputs(self, pictures: Any) -> list[Any]:
        values = {INPUT: pictures}
        for index in range(len(self.graph.nodes)):
            self._step(index, values)
        return [values[name] for name in self.graph.outputs]

    def _prepare(self, node: Conv) -> list[Any]:
        del node
        return []

    def _convolve(self, node: Conv, value: Any) -> Any:
        place = self._module.places[node.name]
        top, left, bottom, right = node.pad
        if (top, left) != (bottom, right):
            value = torch.nn.functional.pad(value, (left, right, top, bottom))
        result = self._module.get_submodule(place.conv)(value)
        return result if node.norm is None else self._module.get_submodule(place.norm)(result)


def _convolution(conv: Conv) -> Any:
    out, inputs, *kernel = conv.weight.shape
    top, left, bottom, right = conv.pad
    padding = (top, left) if (top, left) == (bottom, right) else (0, 0)
    made = torch.nn.utils.skip_init(
        torch.nn.Conv2d, inputs * conv.groups, out, kernel, conv.stride, padding, conv.dilation, conv.groups,
        bias=conv.bias is not None,
    )  # fmt: skip
    made.weight = _fixed(conv.weight)
    if conv.bias is not None:
        made.bias = _fixed(conv.bias)
    return made


def _norm(conv: Conv) -> Any:
    norm = conv.norm
    assert norm is not None
    made = torch.nn.BatchNorm2d(norm.gamma.size, norm.eps)
    made.weight, made.bias = _fixed(norm.gamma), _fixed(norm.beta)
    made.running_mean, made.running_var = (torch.from_numpy(np.array(v)) for v in (norm.mean, norm.variance))
    return made.eval()


def _put_yolo_layer(root: Any, head: Head, place: Place, graph: Graph) -> None:
    """The parameters that the fork's yolo layers keep: positions of the cells, and anchors in units of the stride."""
    section = int(place.conv.split(".")[1]) + 1
    rows, cols = (side // head.stride for side in graph.input_shape[:2])
    anchors = np.array(head.anchors, np.float32) / np.float32(head.stride)
    ys, xs = np.meshgrid(np.arange(rows, dtype=np.float32), np.arange(cols, dtype=np.float32), indexing="ij")
    layer = torch.nn.Module()
    for name, values, shape in (
        ("grid_x", xs, (1, 1, -1, 1)),
        ("grid_y", ys, (1, 1, -1, 1)),
        ("scaled_anchors", anchors, anchors.shape),
        ("anchor_w", anchors[:, 0], (1, -1, 1, 1)),
        ("anchor_h", anchors[:, 1], (1, -1, 1, 1)),
    ):
        layer.register_parameter(name, _fixed(values.reshape(shape)))
    put(root, f"module_list.{section}.yolo_{section}", layer)


def _fixed(values: Any) -> Any:
    return torch.nn.Parameter(torch.from_numpy(np.array(values, np.float32)), requires_grad=False)
