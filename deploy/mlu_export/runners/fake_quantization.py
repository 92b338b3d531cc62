"""The quantized network in torch: what the integers will do, but for a float's rounding, and many times faster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..values.graph import INPUT, Conv
from ..values.ranges import Range, qmax_of, quantize_weights
from .float_graph import FloatRunner

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..values.arrays import FloatArray
    from ..values.graph import Graph, Node

Values = dict[str, Any]


class FakeQuantRunner(FloatRunner):
    """Weights are rounded as in the model file, inputs of quantized layers by ``ranges``, which may change."""

    def __init__(self, graph: Graph, ranges: Mapping[str, Range], bits: int, per_channel: bool) -> None:
        super().__init__(graph)
        self.ranges = dict(ranges)
        rounded = [conv for conv in graph.quantized() if conv.name in self.ranges]  # the others stay in float
        self.qmax = {conv.name: qmax_of(conv.bits or bits) for conv in rounded}
        for conv in rounded:
            qmax = float(self.qmax[conv.name])
            unit = Range(-qmax, qmax)  # then a layer's scale is that of its weights
            done = quantize_weights(conv.weight, unit, conv.bits or bits, per_channel, conv.name)
            steps = done.scale.astype(np.float64)[:, None, None, None]
            rounded = (done.weight.transpose(0, 3, 1, 2) * steps).astype(np.float32)
            self._convolutions[conv.name][0] = self.torch.from_numpy(rounded)

    def start(self, pictures: FloatArray) -> Values:
        """Live tensors before the first node."""
        return {INPUT: self.torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)))}

    def advance(self, values: Values, first: int, last: int) -> Values:
        """Live tensors before node ``last``, from those before node ``first``, which stay as they are."""
        live = dict(values)
        with self.torch.inference_mode():
            for index in range(first, last):
                self._step(index, live)
        return live

    def outputs(self, values: Values) -> list[Any]:
        """The network's outputs as torch tensors (N, C, H, W)."""
        return [values[name] for name in self.graph.outputs]

    def outputs_of(self, pictures: FloatArray) -> list[Any]:
        """Those for normalised pictures (N, H, W, C), with the ranges as they are now."""
        return self.outputs(self.advance(self.start(pictures), 0, len(self.graph.nodes)))

    def adopt(self, name: str, other: FakeQuantRunner) -> None:
        """A layer as another runner of the same graph has it: weights, range and bits, or in float."""
        self._convolutions[name] = other._convolutions[name]
        self.ranges.pop(name, None)
        if name in other.ranges:
            self.ranges[name], self.qmax[name] = other.ranges[name], other.qmax[name]

    def _apply(self, node: Node, inputs: list[Any]) -> Any:
        if isinstance(node, Conv) and node.name in self.ranges:
            return super()._apply(node, [self._rounded(inputs[0], self.ranges[node.name], self.qmax[node.name])])
        return super()._apply(node, inputs)

    def _rounded(self, value: Any, seen: Range, qmax: int) -> Any:
        step = (seen.absmax if seen.absmax > 0 else float(qmax)) / qmax
        return (value / step).round_().clamp_(-qmax, qmax).mul_(step)  # one tensor, written four times
