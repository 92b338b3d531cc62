"""Float network + activation ranges -> the lowered network that the model file holds.

Activations between layers are float16 for half and uint8 inputs, else float32. Depthwise weights stay float.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Callable

import numpy as np

from mlu_agent.errors import DataError

from ..values import network as net
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
    infer_shapes,
)
from ..values.network import Array, Network, Operator, Tensor
from ..values.pixels import CHANNEL_SOURCES, INPUT_DTYPES, Preprocessing
from ..values.ranges import Range, quantize_weights

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class LowerOptions:
    """How the network is lowered: input kind (u8, half, float), its channel order, batch, bits and granularity.

    ``pixels`` says what the network itself wants to see: the device does it for a u8 input, the agent for the others.
    """

    input: str = "u8"
    channels: str = "rgba"
    batch: int = 1
    bits: int = 8
    per_channel: bool = True
    pixels: Preprocessing = field(default_factory=Preprocessing)


def lower(graph: Graph, ranges: Mapping[str, Range], options: LowerOptions) -> Network:
    """Lowers ``graph``; ``ranges`` has the input range of every quantized layer. Raises DataError."""
    needed = {conv.name for conv in graph.quantized()}
    if needed != set(ranges):
        odd = sorted(needed ^ set(ranges))
        raise DataError(f"the activation ranges do not belong to this network: they differ in layer {odd[0]!r}")
    return _Lowering(graph, ranges, options).run()


class _Lowering:
    def __init__(self, graph: Graph, ranges: Mapping[str, Range], options: LowerOptions) -> None:
        self.graph, self.ranges, self.options = graph, ranges, options
        self.shapes = infer_shapes(graph)
        self.dtype = net.FLOAT32 if options.input == "float" else net.FLOAT16
        self.tensors: list[Tensor] = []
        self.constants: list[Array] = []
        self.operators: list[Operator] = []
        self.numbers: dict[str, int] = {}

    def run(self) -> Network:
        entry = self._enter()
        for node in self.graph.nodes:
            _LOWERINGS[type(node)](self, node)
        outputs = tuple(self.numbers[name] for name in self.graph.outputs)
        return Network(
            tuple(self.tensors),
            tuple(self.constants),
            tuple(self.operators),
            (entry,),
            outputs,
            (INPUT,),
            tuple(self.graph.outputs),
        )

    def _enter(self) -> int:
        height, width, channels = self.graph.input_shape
        stored = len(self.options.channels)
        entry = self._tensor((self.options.batch, height, width, stored), INPUT_DTYPES[self.options.input])
        if self.options.input != "u8":
            self.numbers[INPUT] = entry
            return entry
        pixels = (np.array(values, np.float32) for values in (self.options.pixels.mean, self.options.pixels.std))
        constants = tuple(self._constant(values) for values in pixels)
        output = self._tensor((self.options.batch, height, width, channels), self.dtype)
        sources = CHANNEL_SOURCES[self.options.channels]
        sources = sources if self.options.pixels.colours == "rgb" else sources[::-1]
        self.operators.append(Operator(net.NORMALIZE, (entry,), constants, sources, output, "normalize"))
        self.numbers[INPUT] = output
        return entry

    def _tensor(self, dims: net.Dims, dtype: int) -> int:
        self.tensors.append(Tensor(dims, dtype))
        return len(self.tensors) - 1

    def _constant(self, values: Array) -> int:
        self.constants.append(values)
        return len(self.constants) - 1

    def emit(
        self,
        node: Node,
        opcode: int,
        attributes: tuple[int, ...],
        constants: tuple[int, ...] = (),
        dims: net.Dims | None = None,
    ) -> None:
        first, *others = dims or (1, *self.shapes[node.name])
        output = self._tensor((self.options.batch * first, *others), self.dtype)  # type: ignore[arg-type] # four
        inputs = tuple(self.numbers[name] for name in node.inputs)
        self.operators.append(Operator(opcode, inputs, constants, attributes, output, node.name))
        self.numbers[node.name] = output

    def operation(self, node: Operation) -> None:
        if self.options.batch > 1 and _mixes_pictures(node):
            raise DataError(
                f"layer {node.name}: rearranges the first axis, where the pictures of a batch lie: build with --batch 1"
            )
        constants = tuple(net.ABSENT if one is None else self._constant(one) for one in node.constants)
        self.emit(node, node.opcode, node.attributes, constants, node.dims)

    def conv(self, node: Conv) -> None:
        weight, scale, quant_scale = self._weights(node)
        bias = net.ABSENT if node.bias is None else self._constant(node.bias.astype(np.float32))
        alpha = beta = net.ABSENT
        if node.norm is not None:
            alpha, beta = (self._finite(values, node.name) for values in node.norm.affine())
        _, _, kernel_h, kernel_w = node.weight.shape
        attributes = (
            kernel_h,
            kernel_w,
            *node.stride,
            node.pad[0],
            node.pad[1],
            *node.dilation,
            node.groups,
            net.float_word(quant_scale),
        )
        self.emit(node, net.CONV, attributes, (weight, scale, bias, alpha, beta))

    def _weights(self, node: Conv) -> tuple[int, int, float]:
        if node.is_float:
            return self._constant(np.ascontiguousarray(node.weight.transpose(0, 2, 3, 1))), net.ABSENT, 0.0
        done = quantize_weights(
            node.weight, self.ranges[node.name], node.bits or self.options.bits, self.options.per_channel, node.name
        )
        return self._constant(done.weight), self._constant(done.scale), done.quant_scale

    def _finite(self, values: Array, name: str) -> int:
        if not np.isfinite(values).all():
            raise DataError(
                f"layer {name}: its batch-norm statistics give a value that is not finite; the weights are damaged"
            )
        return self._constant(values)


def _mixes_pictures(node: Operation) -> bool:
    if node.opcode == net.PERMUTE:
        return node.attributes[0] != 0
    if node.opcode == net.REDUCE:
        return bool(node.attributes[1] & 1)
    return node.opcode == net.SLICE and (node.attributes[0], node.attributes[4]) != (0, 1)


def _operation(state: _Lowering, node: Node) -> None:
    assert isinstance(node, Operation)
    state.operation(node)


def _conv(state: _Lowering, node: Node) -> None:
    assert isinstance(node, Conv)
    state.conv(node)


def _max_pool(state: _Lowering, node: Node) -> None:
    assert isinstance(node, MaxPool)
    state.emit(node, net.MAX_POOL, (*node.kernel, *node.stride, node.pad[0], node.pad[1]))


def _upsample(state: _Lowering, node: Node) -> None:
    assert isinstance(node, Upsample)
    state.emit(node, net.UPSAMPLE_NEAREST, (node.scale, node.scale))


def _concat(state: _Lowering, node: Node) -> None:
    state.emit(node, net.CONCAT, (3,))


def _add(state: _Lowering, node: Node) -> None:
    state.emit(node, net.ADD, ())


def _mul(state: _Lowering, node: Node) -> None:
    state.emit(node, net.MUL, ())


def _average_pool(state: _Lowering, node: Node) -> None:
    assert isinstance(node, AveragePool)
    state.emit(node, net.AVERAGE_POOL, (*node.kernel, *node.stride, node.pad[0], node.pad[1], 0))


def _slice(state: _Lowering, node: Node) -> None:
    assert isinstance(node, Slice)
    state.emit(node, net.SLICE, (0, *node.begin, 1, *node.step))


def _activation(state: _Lowering, node: Node) -> None:
    assert isinstance(node, Activation)
    state.emit(node, net.ACTIVATION, (net.FUNCTIONS[node.function], net.float_word(node.a), net.float_word(0.0)))


_LOWERINGS: dict[type[Node], Callable[[_Lowering, Node], None]] = {
    Conv: _conv,
    MaxPool: _max_pool,
    Upsample: _upsample,
    Concat: _concat,
    Add: _add,
    Mul: _mul,
    AveragePool: _average_pool,
    Slice: _slice,
    Activation: _activation,
    Operation: _operation,
}
