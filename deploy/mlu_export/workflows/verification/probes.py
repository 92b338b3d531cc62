"""Networks that let one look inside a model in the simulator: every layer's output, and of quantized convolutions also
the integers at their input and their sums.

A probe for the integers is a convolution of its own beside the layer, each channel times one, with a scale of one; the
sums are the layer itself with a scale of one and nothing behind it. Both come out as float32: exact integers up to
2^24, rounded once beyond.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...values import network as net
from ...values.network import Network, Operator, Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...values.network import Array

MOST_ENDS = 64  # inputs and outputs of a model file
PROBES = 3


@dataclass(frozen=True)
class Part:
    """A network whose outputs show the operators from ``first`` to before ``last``; its outputs are ``shown``.

    ``shown`` names them: the operator's number, and "output", "codes" or "sums".
    """

    network: Network
    first: int
    last: int
    shown: tuple[tuple[int, str], ...]


def is_quantized(network: Network, operator: Operator) -> bool:
    """Whether it is a convolution with integer weights."""
    return operator.opcode in (net.CONV, net.DECONV) and network.constants[operator.constants[0]].dtype != np.float32


def parts(network: Network) -> Iterator[Part]:
    """The whole network in as many parts as its outputs need; each part computes from the network's inputs on."""
    first = 0
    while first < len(network.operators):
        last, ends = first, len(network.inputs)
        while last < len(network.operators):
            need = PROBES if is_quantized(network, network.operators[last]) else 1
            if ends + need > MOST_ENDS:
                break
            ends, last = ends + need, last + 1
        yield _part(network, first, last)
        first = last


def _part(network: Network, first: int, last: int) -> Part:
    made = _Probed(network, last)
    shown: list[tuple[int, str]] = []
    for index in range(first, last):
        operator = network.operators[index]
        made.show(operator.output)
        shown.append((index, "output"))
        if is_quantized(network, operator):
            made.probe_codes(operator)
            made.probe_sums(operator)
            shown += [(index, "codes"), (index, "sums")]
    return Part(made.network(), first, last, tuple(shown))


class _Probed:
    def __init__(self, network: Network, last: int) -> None:
        self._source = network
        self._tensors = list(network.tensors)
        self._constants: list[Array] = list(network.constants)
        self._operators = list(network.operators[:last])
        self._outputs: list[int] = []

    def show(self, tensor: int) -> None:
        self._outputs.append(tensor)

    def probe_codes(self, operator: Operator) -> None:
        dims = self._tensors[operator.inputs[0]].dims
        kind = self._constants[operator.constants[0]].dtype
        weight = self._constant(np.ones((dims[3], 1, 1, 1), kind))
        attributes = (1, 1, 1, 1, 0, 0, 1, 1, dims[3], operator.attributes[9])
        self._add(net.CONV, operator, weight, attributes, dims, "codes")

    def probe_sums(self, operator: Operator) -> None:
        dims = self._tensors[operator.output].dims
        self._add(operator.opcode, operator, operator.constants[0], operator.attributes, dims, "sums")

    def network(self) -> Network:
        """Without the tensors that nothing writes any more."""
        source = self._source
        written = {*source.inputs, *(operator.output for operator in self._operators)}
        numbers = {old: new for new, old in enumerate(sorted(written))}
        moved = [
            Operator(
                operator.opcode, tuple(numbers[number] for number in operator.inputs), operator.constants,
                operator.attributes, numbers[operator.output], operator.name,
            )
            for operator in self._operators
        ]  # fmt: skip
        return Network(
            tuple(self._tensors[number] for number in sorted(written)),
            tuple(self._constants),
            tuple(moved),
            tuple(numbers[number] for number in source.inputs),
            tuple(numbers[number] for number in self._outputs),
            source.input_names,
            tuple(f"shown{number}" for number in range(len(self._outputs))),
        )

    def _constant(self, values: Array) -> int:
        self._constants.append(values)
        return len(self._constants) - 1

    def _add(
        self, opcode: int, source: Operator, weight: int, attributes: tuple[int, ...], dims: net.Dims, what: str
    ) -> None:
        self._tensors.append(Tensor(dims, net.FLOAT32))
        output = len(self._tensors) - 1
        constants = (weight, self._constant(np.ones(dims[3], np.float32)), net.ABSENT, net.ABSENT, net.ABSENT)
        self._operators.append(
            Operator(opcode, source.inputs, constants, attributes, output, f"{source.name}.{what}"[:100])
        )
        self._outputs.append(output)
