"""The float network: importers make it, passes are functions over it, lowering reads it.

Shapes are ``(height, width, channels)`` without the batch. A tensor is known by the name of the node that makes it; the
network's only input is called ``INPUT`` and holds normalised float pictures. Nodes stand in execution order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from mlu_agent.errors import DataError

from .heads import HeadLayout

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlu_agent.model.output_spec import PlainSpec

    from .arrays import FloatArray
    from .heads import Head, HeadRequest
    from .quantizer_parameters import QuantParameters

Shape = tuple[int, int, int]
Dims = tuple[int, int, int, int]

INPUT = "input"
MAX_DIMENSION = 1 << 24
MAX_ELEMENTS = 1 << 28  # of one tensor and picture: a gigabyte in float32


@dataclass(frozen=True)
class BatchNorm:
    """Trained batch-norm statistics, float32 arrays of one value per channel."""

    gamma: FloatArray
    beta: FloatArray
    mean: FloatArray
    variance: FloatArray
    eps: float

    def affine(self) -> tuple[FloatArray, FloatArray]:
        """``alpha = gamma / sqrt(variance + eps)`` and ``beta - mean * alpha``, computed in float64, rounded once.

        Damaged statistics give infinite values; the lowering refuses those by the layer's name.
        """
        alpha = self.gamma.astype(np.float64) / np.sqrt(self.variance.astype(np.float64) + self.eps)
        beta = self.beta.astype(np.float64) - self.mean.astype(np.float64) * alpha
        with np.errstate(over="ignore"):
            return alpha.astype(np.float32), beta.astype(np.float32)


@dataclass(frozen=True)
class Node:
    """One operator: its name is the name of its output tensor."""

    name: str
    inputs: tuple[str, ...]

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Shape of the output for the given input shapes; raises DataError where they do not fit."""
        raise NotImplementedError


@dataclass(frozen=True)
class Conv(Node):
    """A convolution, weights ``[out, in / groups, kernel_h, kernel_w]``; pad is top, left, bottom, right.

    ``bits`` is the layer's own precision: 8, 16, 0 for float weights, None for that of the network (mixed.py).
    """

    weight: FloatArray
    bias: FloatArray | None
    norm: BatchNorm | None
    stride: tuple[int, int] = (1, 1)
    pad: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    bits: int | None = None

    @property
    def is_float(self) -> bool:
        """Depthwise, or kept in float by rule: its weights are not quantized, nor is its input."""
        return self.is_depthwise or self.bits == 0

    @property
    def is_depthwise(self) -> bool:
        """One input channel per group: the vendor keeps such weights in float."""
        return self.groups > 1 and self.weight.shape[1] == 1

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        height, width, channels = shapes[0]
        out, per_group, kernel_h, kernel_w = self.weight.shape
        if per_group * self.groups != channels or out % self.groups:
            raise DataError(
                f"layer {self.name}: weights of {per_group * self.groups} input channels in {self.groups} groups "
                f"meet a tensor of {channels}; the weights do not belong to this network"
            )
        rows = _windows(
            height + self.pad[0] + self.pad[2], (kernel_h - 1) * self.dilation[0] + 1, self.stride[0], self.name
        )
        cols = _windows(
            width + self.pad[1] + self.pad[3], (kernel_w - 1) * self.dilation[1] + 1, self.stride[1], self.name
        )
        return rows, cols, out


@dataclass(frozen=True)
class Pool(Node):
    """One value of each window and channel. Pad is top, left, bottom, right."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    pad: tuple[int, int, int, int] = (0, 0, 0, 0)

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        height, width, channels = shapes[0]
        rows = _windows(height + self.pad[0] + self.pad[2], self.kernel[0], self.stride[0], self.name)
        cols = _windows(width + self.pad[1] + self.pad[3], self.kernel[1], self.stride[1], self.name)
        return rows, cols, channels


@dataclass(frozen=True)
class MaxPool(Pool):
    """Maximum over windows; the padding never wins."""


@dataclass(frozen=True)
class Upsample(Node):
    """Nearest-neighbour enlargement by a whole factor."""

    scale: int

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        height, width, channels = shapes[0]
        return height * self.scale, width * self.scale, channels


@dataclass(frozen=True)
class Concat(Node):
    """Channels of several tensors one behind the other."""

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        if any(shape[:2] != shapes[0][:2] for shape in shapes):
            raise DataError(
                f"layer {self.name}: tensors of sizes {', '.join(map(_size, shapes))} cannot be concatenated"
            )
        return shapes[0][0], shapes[0][1], sum(shape[2] for shape in shapes)


@dataclass(frozen=True)
class Add(Node):
    """The sum of two tensors of one shape."""

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        if shapes[0] != shapes[1]:
            raise DataError(
                f"layer {self.name}: shapes {shapes[0]} and {shapes[1]} cannot be added; they must be equal"
            )
        return shapes[0]


@dataclass(frozen=True)
class Mul(Node):
    """The product of two tensors of one shape, or of a tensor and one value per channel (1, 1, C)."""

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        one, other = shapes
        if one != other and (1, 1, one[2]) not in (one, other):
            raise DataError(
                f"layer {self.name}: shapes {one} and {other} cannot be multiplied; they must be equal, "
                "or one of them a value per channel"
            )
        return max(one, other)


@dataclass(frozen=True)
class AveragePool(Pool):
    """Mean over windows, of the places inside the picture alone."""


@dataclass(frozen=True)
class Slice(Node):
    """``count`` elements of each axis (height, width, channels) from ``begin`` on, every ``step``-th."""

    begin: Shape
    step: Shape
    count: Shape

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        for axis in range(3):
            if self.begin[axis] + (self.count[axis] - 1) * self.step[axis] >= shapes[0][axis]:
                raise DataError(f"layer {self.name}: the slice reaches beyond the input's shape {shapes[0]}")
        return self.count


@dataclass(frozen=True)
class Activation(Node):
    """A function of every element: ``relu``, ``leaky_relu`` (slope ``a``), ``elu`` (``a``), ``silu``…

    Names are those of ``network.FUNCTIONS`` that need no more than ``a``.
    """

    function: str
    a: float = 0.0

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        return shapes[0]


@dataclass(frozen=True)
class Operation(Node):
    """Any other operator, in the model file's own words (FORMAT.md section 2): opcode, constants, attribute words.

    ``dims`` are those of the output for one picture, N, H, W, C. Their first one may be more than 1, where a tensor of
    another rank was laid out so; a batch multiplies it. Such a tensor's shape is told with that axis in its height.
    """

    opcode: int
    dims: Dims
    constants: tuple[FloatArray | None, ...] = ()
    attributes: tuple[int, ...] = ()

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:  # noqa: ARG002 - it was settled when the node was made
        return self.dims[0] * self.dims[1], self.dims[2], self.dims[3]


@dataclass(frozen=True)
class Graph:
    """A network: shape of its input, nodes in execution order, names of the output tensors in order."""

    input_shape: Shape
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]

    def convolutions(self) -> tuple[Conv, ...]:
        return tuple(node for node in self.nodes if isinstance(node, Conv))

    def quantized(self) -> tuple[Conv, ...]:
        """The convolutions with integer weights, whose inputs calibration observes."""
        return tuple(node for node in self.convolutions() if not node.is_float)


@dataclass(frozen=True)
class ImportedModel:
    """A network as read from a weight file: the graph, its heads (in output order) and what they detect.

    ``decode`` is one of ``mlu_agent.model.output_spec.DECODES``; ``layout`` counts for those without anchors. It is
    TENSORS for a network without detection heads, whose outputs ``tensors`` describes; ``classify`` is what is still to
    be applied to the numbers of its one output if that has one for each of ``classes``, else "".
    ``quantized`` is None for float weights; of a quantized checkpoint it has the parameters of every layer with scales
    by the name of its node (the weights in the graph are the unquantized ones, as in the checkpoint). ``keys`` tells
    what a state dict calls the module of each convolution, by the name of its node. ``request`` is what the outputs
    were imported as, where the network showed it itself, and ``notes`` say so. ``names_problem`` is why names of
    classes that the file holds are no ``labels``, and ``names_of`` another file that ``labels`` are from, else "".
    """

    graph: Graph
    decode: str
    heads: tuple[Head, ...]
    classes: int
    labels: tuple[str, ...] | None
    warnings: tuple[str, ...] = ()
    layout: HeadLayout = field(default_factory=HeadLayout)
    quantized: Mapping[str, QuantParameters] | None = None
    keys: Mapping[str, str] | None = None
    tensors: tuple[PlainSpec, ...] = ()
    classify: str = ""
    request: HeadRequest | None = None
    notes: tuple[str, ...] = ()
    names_problem: str = ""
    names_of: str = ""


def infer_shapes(graph: Graph) -> dict[str, Shape]:
    """Shape of every tensor by name; raises DataError where nodes do not fit together."""
    shapes: dict[str, Shape] = {INPUT: graph.input_shape}
    for node in graph.nodes:
        missing = [name for name in node.inputs if name not in shapes]
        if missing or node.name in shapes:
            raise DataError(
                f"layer {node.name}: reads {missing[0]!r}, which no earlier layer writes"
                if missing
                else f"layer {node.name}: the name is used twice"
            )
        shape = node.output_shape([shapes[name] for name in node.inputs])
        check_shape(node.name, shape)
        shapes[node.name] = shape
    return shapes


def products(graph: Graph) -> dict[str, int]:
    """How many multiplications each convolution does for a picture."""
    shapes = infer_shapes(graph)
    return {conv.name: shapes[conv.name][0] * shapes[conv.name][1] * conv.weight.size for conv in graph.convolutions()}


def check_shape(name: str, shape: Shape) -> None:
    """Raises DataError for a tensor that is empty or larger than any network's."""
    if not all(0 < size <= MAX_DIMENSION for size in shape) or shape[0] * shape[1] * shape[2] > MAX_ELEMENTS:
        raise DataError(
            f"layer {name}: impossible output shape {shape}: 1 to {MAX_ELEMENTS} values are accepted; "
            "a smaller input size may do"
        )


def _windows(size: int, kernel: int, stride: int, name: str) -> int:
    if size < kernel:
        raise DataError(
            f"layer {name}: a window of {kernel} does not fit a padded input of {size}; choose a larger input size"
        )
    return (size - kernel) // stride + 1


def _size(shape: Shape) -> str:
    return f"{shape[0]}x{shape[1]}"
