"""The float reference: runs a graph in torch (extra ``[torch]``), optionally telling an observer each layer's input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

import numpy as np

from ..support.torch_needed import import_torch
from ..values.arrays import FloatArray
from ..values.graph import (
    INPUT,
    Activation,
    Add,
    AveragePool,
    Concat,
    Conv,
    Graph,
    MaxPool,
    Mul,
    Node,
    Operation,
    Slice,
    Upsample,
)
from .float_operations import activate, run_operation

if TYPE_CHECKING:
    from collections.abc import Iterable

# Called with a quantized layer's name and the values at its input.
Observer = Callable[[str, FloatArray], None]


class FloatRunner:
    """Runs one graph; weights are copied into torch once."""

    def __init__(self, graph: Graph, observed: Iterable[str] | None = None) -> None:
        """``observed``: layers whose inputs ``run`` shows to its observer (None: those that are quantized)."""
        self.torch = import_torch()
        self.graph = graph
        self._convolutions: dict[str, list[Any]] = {conv.name: self._prepare(conv) for conv in graph.convolutions()}
        self._last_use = {name: index for index, node in enumerate(graph.nodes) for name in node.inputs}
        self._observed = {conv.name for conv in graph.quantized()} if observed is None else set(observed)

    def run(self, pictures: FloatArray, observer: Observer | None = None) -> list[FloatArray]:
        """Output tensors as float32 (N, H, W, C) for normalised pictures of the same layout."""
        torch = self.torch
        values = {INPUT: torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)))}
        with torch.inference_mode():
            for index, node in enumerate(self.graph.nodes):
                if observer is not None and node.name in self._observed:
                    observer(node.name, values[node.inputs[0]].numpy())
                self._step(index, values)
            outputs = [values[name] for name in self.graph.outputs]
        return [np.ascontiguousarray(output.permute(0, 2, 3, 1).numpy()) for output in outputs]

    def _step(self, index: int, values: dict[str, Any]) -> None:
        """Runs one node and forgets the tensors that nobody reads any more."""
        node = self.graph.nodes[index]
        values[node.name] = self._apply(node, [values[name] for name in node.inputs])
        for name in node.inputs:
            if self._last_use[name] == index and name not in self.graph.outputs:
                values.pop(name, None)

    def _prepare(self, node: Conv) -> list[Any]:
        arrays: list[FloatArray | None] = [node.weight, node.bias]
        if node.norm is not None:
            arrays += [node.norm.mean, node.norm.variance, node.norm.gamma, node.norm.beta]
        return [None if array is None else self.torch.from_numpy(np.array(array, np.float32)) for array in arrays]

    def _apply(self, node: Node, inputs: list[Any]) -> Any:
        functional = self.torch.nn.functional
        if isinstance(node, Conv):
            return self._convolve(node, inputs[0])
        if isinstance(node, MaxPool):
            top, left, bottom, right = node.pad
            padded = functional.pad(inputs[0], (left, right, top, bottom), value=float("-inf"))
            return functional.max_pool2d(padded, node.kernel, node.stride)
        if isinstance(node, Upsample):
            return functional.interpolate(inputs[0], scale_factor=node.scale, mode="nearest")
        if isinstance(node, Concat):
            return self.torch.cat(inputs, 1)
        if isinstance(node, Add):
            return inputs[0] + inputs[1]
        if isinstance(node, Mul):
            return inputs[0] * inputs[1]
        if isinstance(node, AveragePool):
            return self._average(node, inputs[0])
        if isinstance(node, Slice):
            return _slice(node, inputs[0])
        if isinstance(node, Operation):
            return run_operation(self.torch, node, inputs)
        assert isinstance(node, Activation)
        return activate(self.torch, node.function, inputs[0], node.a)

    def _convolve(self, node: Conv, value: Any) -> Any:
        weight, bias, *norm = self._convolutions[node.name]
        top, left, bottom, right = node.pad
        functional = self.torch.nn.functional
        if (top, left) != (bottom, right):
            value, top, left = functional.pad(value, (left, right, top, bottom)), 0, 0
        result = functional.conv2d(value, weight, bias, node.stride, (top, left), node.dilation, node.groups)
        # as torch's own layer computes it, so that ranges are to the bit those of a module made of such layers
        return functional.batch_norm(result, *norm, eps=node.norm.eps) if node.norm is not None else result

    def _average(self, node: AveragePool, value: Any) -> Any:
        """Sums over the padded windows, divided by how many places of each lie inside the picture."""
        top, left, bottom, right = node.pad
        functional = self.torch.nn.functional

        def pool(tensor: Any) -> Any:
            return functional.avg_pool2d(functional.pad(tensor, (left, right, top, bottom)), node.kernel, node.stride)

        if node.pad == (0, 0, 0, 0):
            return pool(value)
        return pool(value) / pool(self.torch.ones_like(value[:1, :1]))


def _slice(node: Slice, value: Any) -> Any:
    ranges = [
        slice(begin, begin + (count - 1) * step + 1, step)
        for begin, step, count in zip(node.begin, node.step, node.count)
    ]
    return value[:, ranges[2], ranges[0], ranges[1]]
