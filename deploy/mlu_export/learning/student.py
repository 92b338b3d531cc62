"""The quantized network with everything that may be learned in it as parameters of torch.

Of every quantized layer: the codes of its weights, as real numbers that are rounded on the way through (the gradient
passes rounding unchanged), and the step of its input. Of every layer with a batch norm or a bias: those. The scales of
the weights stay the weights' own: the largest one of each channel (or of the layer) keeps its code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..runners.float_graph import FloatRunner
from ..values.graph import INPUT, Conv
from ..values.learned import LearnedLayer, weight_tops
from ..values.ranges import Range, qmax_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..values.arrays import FloatArray
    from ..values.graph import Graph, Node

RATES = {"codes": 0.003, "steps": 0.0006, "gains": 0.00015, "offsets": 0.0003}


class Student(FloatRunner):
    """Runs a graph as the integers will, differentiably; ``ranges`` are where learning begins."""

    def __init__(self, graph: Graph, ranges: Mapping[str, Range], bits: int, per_channel: bool) -> None:
        super().__init__(graph)
        self._rounding = _functions(self.torch)
        self._layers: dict[str, _Layer] = {
            conv.name: _Layer(self.torch, conv, ranges.get(conv.name), conv.bits or bits, per_channel)
            for conv in graph.convolutions()
        }
        self._ranges = dict(ranges)

    def set_units(self, sizes: Mapping[str, float]) -> None:
        """``sizes``: the usual magnitude of each layer's output, which is the unit of its offsets."""
        for name, layer in self._layers.items():
            layer.unit = sizes[name]

    def groups(self) -> list[dict[str, Any]]:
        """Parameters with the rate that each kind is learned at, relative to others."""
        found: dict[str, list[Any]] = {kind: [] for kind in RATES}
        for layer in self._layers.values():
            for kind, value in layer.parameters.items():
                found[kind].append(value)
        return [{"params": values, "lr": RATES[kind], "rate": RATES[kind]} for kind, values in found.items() if values]

    def outputs(self, pictures: Any) -> list[Any]:
        """Head outputs (N, C, H, W) of pictures of that layout."""
        values = {INPUT: pictures}
        for index in range(len(self.graph.nodes)):
            self._step(index, values)
        return [values[name] for name in self.graph.outputs]

    def learned(self) -> tuple[dict[str, LearnedLayer], dict[str, Range]]:
        """What was learned of each layer, and the ranges."""
        layers = {name: layer.learned() for name, layer in self._layers.items() if layer.parameters}
        ranges = {name: _scaled(seen, self._layers[name].absmax()) for name, seen in self._ranges.items()}
        return layers, ranges

    def _apply(self, node: Node, inputs: list[Any]) -> Any:
        if isinstance(node, Conv):
            return self._layers[node.name].run(self._rounding, node, inputs[0])
        return super()._apply(node, inputs)


def _scaled(seen: Range, absmax: float) -> Range:
    return Range(max(seen.low, -absmax), absmax) if seen.high >= -seen.low else Range(-absmax, min(seen.high, absmax))


class _Layer:
    """One convolution's constants and parameters."""

    def __init__(self, torch: Any, conv: Conv, seen: Range | None, bits: int, per_channel: bool) -> None:
        self._torch, self._conv = torch, conv
        self.parameters: dict[str, Any] = {}
        self.unit = 1.0
        self.qmax = qmax_of(bits)
        self._weight = _tensor(torch, conv.weight)
        self._bias = None if conv.bias is None else _tensor(torch, conv.bias)
        self._norm: list[Any] | None = None
        self._tops: FloatArray | None = None
        out = conv.weight.shape[0]
        if seen is not None and not conv.is_float:
            self._tops = weight_tops(conv.weight, self.qmax, per_channel)
            steps = np.resize(self._tops.astype(np.float64) / self.qmax, out)[:, None, None, None]
            codes = np.clip(conv.weight.astype(np.float64) / steps, -self.qmax, self.qmax)
            self._steps = _tensor(torch, steps)
            used = (
                np.abs(codes).reshape(out, -1).max(1) > 0
            )  # of zeros alone nothing can be learned: they have no scale
            free = (np.abs(np.rint(codes)) < self.qmax) & used[:, None, None, None]
            self._free = torch.from_numpy(free).float()
            self.parameters["codes"] = _parameter(torch, codes)
            self.parameters["steps"] = _parameter(torch, np.log([(seen.absmax or float(self.qmax)) / self.qmax]))
        if conv.norm is not None:
            names = ("mean", "variance", "gamma", "beta")
            self._norm = [_tensor(torch, getattr(conv.norm, name)) for name in names]
            self.parameters["gains"] = _parameter(torch, np.zeros(out))
        if conv.norm is not None or conv.bias is not None:
            self.parameters["offsets"] = _parameter(torch, np.zeros(out))

    def absmax(self) -> float:
        return float(self.parameters["steps"].detach().double().exp()) * self.qmax

    def run(self, rounding: Any, node: Conv, value: Any) -> Any:
        """The layer's output: its batch norm is folded into weights and bias, which costs nothing per pixel."""
        functional = self._torch.nn.functional
        weight = self._weight
        if "codes" in self.parameters:
            value = rounding[0].apply(value, self.parameters["steps"], self.qmax)
            weight = rounding[1].apply(self.parameters["codes"], self._free, self.qmax) * self._steps
        top, left, bottom, right = node.pad
        if (top, left) != (bottom, right):
            value, top, left = functional.pad(value, (left, right, top, bottom)), 0, 0
        weight, bias = self._folded(node, weight)
        return functional.conv2d(value, weight, bias, node.stride, (top, left), node.dilation, node.groups)

    def _folded(self, node: Conv, weight: Any) -> tuple[Any, Any]:
        moved = self.parameters["offsets"] * self.unit if "offsets" in self.parameters else None
        if self._norm is None or node.norm is None:
            return weight, self._bias if moved is None else self._bias + moved
        mean, variance, gamma, beta = self._norm
        alpha = gamma * (1 + self.parameters["gains"]) * (variance + node.norm.eps).rsqrt()
        before = mean if self._bias is None else mean - self._bias
        return weight * alpha[:, None, None, None], beta + moved - before * alpha

    def learned(self) -> LearnedLayer:
        taken = {kind: value.detach().double().numpy() for kind, value in self.parameters.items()}
        codes = None
        if "codes" in taken:
            dtype = np.int8 if self.qmax == 127 else np.int16
            codes = np.rint(taken["codes"].clip(-self.qmax, self.qmax)).astype(dtype)
        norm = self._conv.norm
        before = self._conv.bias if norm is None else norm.beta
        if before is None:
            return LearnedLayer(codes, self._tops)
        offset = (before.astype(np.float64) + taken["offsets"] * self.unit).astype(np.float32)
        if norm is None:
            return LearnedLayer(codes, self._tops, None, offset)
        gain = (norm.gamma.astype(np.float64) * (1 + taken["gains"])).astype(np.float32)
        return LearnedLayer(codes, self._tops, gain, offset)


def _tensor(torch: Any, values: Any) -> Any:
    return torch.from_numpy(np.array(values, np.float32))


def _parameter(torch: Any, values: Any) -> Any:
    return torch.nn.Parameter(_tensor(torch, values))


def _functions(torch: Any) -> tuple[Any, Any]:
    """Rounding of a layer's input by a step that is learned, and of codes."""

    class Input(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, value: Any, log_step: Any, qmax: int) -> Any:
            step = float(log_step.detach().exp())
            ctx.save_for_backward(value)
            ctx.step, ctx.qmax = step, qmax
            return (value * (1 / step)).round_().clamp_(-qmax, qmax).mul_(step)

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> tuple[Any, Any, None]:
            codes = ctx.saved_tensors[0] * (1 / ctx.step)
            passed = gradient.masked_fill(codes.abs() > ctx.qmax, 0.0)
            slope = -torch.dot(passed.flatten(), codes.flatten())
            slope += torch.dot(gradient.flatten(), codes.round_().clamp_(-ctx.qmax, ctx.qmax).flatten())
            return passed, slope.reshape(1) * ctx.step, None

    class Codes(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, codes: Any, free: Any, qmax: int) -> Any:
            ctx.save_for_backward(free)
            return codes.round().clamp_(-qmax, qmax)

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> tuple[Any, None, None]:
            return gradient * ctx.saved_tensors[0], None, None

    return Input, Codes
