"""Equalization: channels that use little of their tensor's range are enlarged before they are rounded.

One scale serves all channels of a layer's input, so that a channel of small values is rounded coarsely. Where only
functions lie between that commute with a positive factor (ReLU, leaky ReLU, pooling, joins), the factor can be moved:
into the batch norm of the layer that makes the channel, and its inverse into the weights of those that read it. The
float network computes the same.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..values.graph import (
    INPUT,
    Activation,
    Add,
    AveragePool,
    Concat,
    Conv,
    Graph,
    MaxPool,
    Node,
    Upsample,
    infer_shapes,
)  # fmt: skip

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from ..values.arrays import FloatArray

    Places = npt.NDArray[np.int64]
    Factors = npt.NDArray[np.float64]

HOMOGENEOUS = ("relu", "leaky_relu")
LEAST = 1 / 64  # no channel is enlarged more than that: of what is almost always zero the range says nothing


def equalized(graph: Graph, magnitudes: Mapping[str, FloatArray], strength: float) -> Graph:
    """The same function with factors moved; ``magnitudes``: of each channel at the input of each quantized layer.

    ``strength`` 1 lets every channel use the whole range, 0 changes nothing; between them weights are spared.
    """
    channels = _Channels(graph)
    factors = _factors(graph, channels, magnitudes, strength)
    if factors is None:
        return graph
    nodes = tuple(_moved(node, channels, factors) if isinstance(node, Conv) else node for node in graph.nodes)
    return replace(graph, nodes=nodes)


def _factors(
    graph: Graph, channels: _Channels, magnitudes: Mapping[str, FloatArray], strength: float
) -> Factors | None:
    """By the number of a group of channels: what its values are divided by; None where nothing can be moved."""
    used = np.zeros(channels.count)
    for conv in graph.quantized():
        seen = magnitudes[conv.name].astype(np.float64)
        top = float(seen.max(initial=0.0))
        if top > 0:
            np.maximum.at(used, channels.of(conv.inputs[0]), np.maximum(seen / top, 0))
    free = (used > 0) & ~channels.fixed
    if not free.any():
        return None
    return np.where(free, np.maximum(np.where(free, used, 1.0), LEAST) ** strength, 1.0)


def _moved(conv: Conv, channels: _Channels, factors: Factors) -> Conv:
    inward, outward = factors[channels.of(conv.inputs[0])], factors[channels.of(conv.name)]
    out, per_group, _, _ = conv.weight.shape
    weight = conv.weight.astype(np.float64)
    if not conv.is_depthwise:
        weight *= inward.reshape(conv.groups, 1, per_group).repeat(out // conv.groups, 1).reshape(out, per_group, 1, 1)
    bias = conv.bias
    if conv.norm is None:
        if bias is not None:
            bias = (bias.astype(np.float64) / outward).astype(np.float32)
        return replace(conv, weight=(weight / outward[:, None, None, None]).astype(np.float32), bias=bias)
    norm = conv.norm
    first = inward.repeat(out // conv.groups) if conv.is_depthwise else np.ones(out)
    gamma = norm.gamma.astype(np.float64) * first / outward
    per_unit = 1 / np.sqrt(norm.variance.astype(np.float64) + norm.eps)
    # beta - mean * alpha, divided by the factor, is what the new norm has to have
    offset = (norm.beta.astype(np.float64) - norm.mean * norm.gamma.astype(np.float64) * per_unit) / outward
    beta = offset + norm.mean * gamma * per_unit
    changed = replace(norm, gamma=gamma.astype(np.float32), beta=beta.astype(np.float32))
    return replace(conv, weight=weight.astype(np.float32), norm=changed)


class _Channels:
    """Which channels of all tensors must have one factor, as group numbers; ``fixed`` ones keep a factor of one."""

    def __init__(self, graph: Graph) -> None:
        shapes = infer_shapes(graph)
        starts = np.cumsum([0, *(shape[2] for shape in shapes.values())])
        self._places = {name: np.arange(a, b) for name, a, b in zip(shapes, starts, starts[1:])}
        self._parents = np.arange(starts[-1])
        self._fix: list[Places] = [self._places[INPUT], *(self._places[name] for name in graph.outputs)]
        for node in graph.nodes:
            self._connect(node)
        roots = self._roots(np.arange(starts[-1]))
        self.count = int(starts[-1])
        self._groups = roots
        self.fixed = np.zeros(self.count, bool)
        self.fixed[roots[np.concatenate(self._fix)]] = True

    def of(self, tensor: str) -> Places:
        return self._groups[self._places[tensor]]

    def _connect(self, node: Node) -> None:
        own = self._places[node.name]
        inputs = [self._places[name] for name in node.inputs]
        if isinstance(node, Conv):
            if node.is_float and (node.norm is None or not node.is_depthwise):
                self._fix += [own, *inputs]  # its weights are not among what is learned
            elif node.norm is not None and node.bias is not None:
                self._fix.append(own)  # a bias before the norm is not among what is learned
                if node.is_depthwise:
                    self._fix += inputs
        elif isinstance(node, Concat):
            self._join(own, np.concatenate(inputs))
        elif _commutes(node):
            for one in inputs:
                self._join(own, one)
        else:
            self._fix += [own, *inputs]

    def _join(self, one: Places, other: Places) -> None:
        a, b = self._roots(one), self._roots(other)
        for first, second in zip(a.tolist(), b.tolist()):
            low, high = sorted((self._root(first), self._root(second)))
            self._parents[high] = low

    def _root(self, place: int) -> int:
        while self._parents[place] != place:
            place = int(self._parents[place])
        return place

    def _roots(self, places: Places) -> Places:
        found = self._parents[places]
        while (self._parents[found] != found).any():
            found = self._parents[found]
        return found


def _commutes(node: Node) -> bool:
    if isinstance(node, Activation):
        return node.function in HOMOGENEOUS
    return isinstance(node, (MaxPool, Upsample, AveragePool, Add))


def channel_magnitudes(runner: Any, pictures: Any) -> dict[str, FloatArray]:
    """Of each channel at the input of each quantized layer: its largest magnitude in a picture, averaged over them."""
    sums: dict[str, Any] = {}
    count = 0

    def see(name: str, values: FloatArray) -> None:
        tops = np.abs(values).max(axis=(0, 2, 3)).astype(np.float64)
        sums[name] = tops if name not in sums else sums[name] + tops

    for picture in pictures:
        runner.run(picture, see)
        count += 1
    return {name: total / count for name, total in sums.items()}
