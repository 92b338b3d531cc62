"""A recorded computation -> the float graph that calibration, precision rules and lowering work on.

``lower_recorded`` has settled the layout of every tensor by then. Convolutions become graph nodes of their own, as they
are what quantization is about; every other operator stays as it is, a generic node.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlu_agent.errors import DataError

from ..values import network as net
from ..values.graph import INPUT, BatchNorm, Conv, Graph, Node, Operation
from .lowering import lower_recorded
from .simplify import simplify

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..values.network import Array, Network, Operator
    from .values import Value

MAX_NAME = 96  # bytes: the file has room for 127


def graph_of(source: Value, outputs: Sequence[Value], names: Sequence[str]) -> tuple[Graph, dict[str, str]]:
    """The graph of ``outputs``, called ``names``, as computed from one picture ``source`` (1, C, H, W); and where each
    of its convolutions came from (outputs have names of their own).

    Raises UnsupportedError, DataError.
    """
    simplify(outputs)
    maker = _Maker(lower_recorded([source], outputs), names)
    return maker.run(), maker.origins


class _Maker:
    def __init__(self, network: Network, names: Sequence[str]) -> None:
        self.network = network
        self.wanted = dict(zip(network.outputs, names))
        self.taken = {INPUT}
        self.counts: dict[str, int] = {}
        self.named = {network.inputs[0]: INPUT}
        self.origins: dict[str, str] = {}

    def run(self) -> Graph:
        final = {number: self._unique(name) for number, name in self.wanted.items()}
        nodes: list[Node] = []
        for operator in self.network.operators:
            name = final.get(operator.output) or self._unique(operator.name)
            inputs = tuple(self.named[number] for number in operator.inputs)
            self.named[operator.output] = name
            nodes.append(self._node(operator, name, inputs))
        _, height, width, channels = self.network.tensors[self.network.inputs[0]].dims
        return Graph((height, width, channels), tuple(nodes), tuple(final[number] for number in self.network.outputs))

    def _unique(self, wanted: str) -> str:
        """A name that is in no other use, short enough for the file."""
        base = wanted.encode("utf-8", "replace")[:MAX_NAME].decode("utf-8", "ignore") or "layer"
        base = "".join(letter if letter.isprintable() else "_" for letter in base)
        name = base
        while name in self.taken:
            self.counts[base] = self.counts.get(base, 1) + 1
            name = f"{base}_{self.counts[base]}"
        self.taken.add(name)
        return name

    def _node(self, operator: Operator, name: str, inputs: tuple[str, ...]) -> Node:
        constants = tuple(self._constant(number) for number in operator.constants)
        if operator.opcode == net.CONV:
            self.origins[name] = operator.name
            return self._conv(operator, name, inputs, constants)
        dims = self.network.tensors[operator.output].dims
        return Operation(name, inputs, operator.opcode, dims, constants, operator.attributes)

    def _constant(self, number: int) -> Array | None:
        return None if number == net.ABSENT else self.network.constants[number]

    def _conv(
        self, operator: Operator, name: str, inputs: tuple[str, ...], constants: tuple[Array | None, ...]
    ) -> Conv:
        weight, scale, bias, alpha, beta = constants
        if weight is None or scale is not None:
            raise DataError(f"layer {name}: it is quantized already; give the float network")
        kernel_h, kernel_w, stride_h, stride_w, top, left, dilation_h, dilation_w, groups = operator.attributes[:9]
        _, rows, cols, _ = self.network.tensors[operator.output].dims
        _, height, width, _ = self.network.tensors[operator.inputs[0]].dims
        bottom = max(0, (rows - 1) * stride_h + (kernel_h - 1) * dilation_h + 1 - top - height)
        right = max(0, (cols - 1) * stride_w + (kernel_w - 1) * dilation_w + 1 - left - width)
        return Conv(
            name,
            inputs,
            np.ascontiguousarray(weight.transpose(0, 3, 1, 2)),
            bias,
            _norm(alpha, beta),
            (stride_h, stride_w),
            (top, left, bottom, right),
            (dilation_h, dilation_w),
            groups,
        )


def _norm(alpha: Array | None, beta: Array | None) -> BatchNorm | None:
    """A batch-norm whose factor and summand are exactly these."""
    if alpha is None or beta is None:
        return None
    zeros, ones = np.zeros_like(alpha), np.ones_like(alpha)
    return BatchNorm(alpha, beta, zeros, ones, 0.0)
