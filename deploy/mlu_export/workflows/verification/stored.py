"""What a model file holds against what its checkpoint says it should hold, operator by operator."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...values import network as net

if TYPE_CHECKING:
    from ...values.network import Array, Network, Operator

_CONV = ("weights", "scale", "bias", "alpha", "beta")
CONSTANTS = {
    net.CONV: _CONV, net.DECONV: _CONV, net.NORMALIZE: ("mean", "std"), net.AFFINE: ("alpha", "beta"),
    net.ACTIVATION: ("slope",), net.L2_NORMALIZE: ("scale",), net.DETECTION_OUTPUT: ("anchors",),
}  # fmt: skip
QUANT_SCALE = 9  # the attribute of convolutions that quantizes their input


def stored_differences(expected: Network, found: Network) -> dict[str, str]:
    """What differs by operator name, in the order of execution; under "" what belongs to no operator."""
    odd: dict[str, str] = {}
    if len(expected.operators) != len(found.operators):
        odd[""] = f"the file has {len(found.operators)} operators, the checkpoint's network {len(expected.operators)}"
    for wanted, held in zip(expected.operators, found.operators):
        told = _operator(expected, found, wanted, held)
        if told:
            odd[wanted.name] = told
            if wanted.opcode != held.opcode or wanted.inputs != held.inputs:
                break  # what follows is another network
    if not odd and _ends(expected) != _ends(found):
        odd[""] = f"the file's inputs and outputs are {_ends(found)}, the checkpoint's network has {_ends(expected)}"
    return odd


def _ends(network: Network) -> tuple[tuple[int, tuple[int, ...], int], ...]:
    numbers = (*network.inputs, *network.outputs)
    return tuple((number, network.tensors[number].dims, network.tensors[number].dtype) for number in numbers)


def _operator(expected: Network, found: Network, wanted: Operator, held: Operator) -> str:
    """One sentence's end, empty if nothing differs."""
    if (wanted.opcode, wanted.name) != (held.opcode, held.name):
        return f"the file has the {net.OPCODES.get(held.opcode, 'operator')} {held.name!r:.60} in its place"
    if (wanted.inputs, wanted.output) != (held.inputs, held.output):
        return "the file connects it to other tensors"
    tensors = [network.tensors[operator.output] for network, operator in ((expected, wanted), (found, held))]
    if tensors[0] != tensors[1]:
        return (
            f"its output is {tensors[1].dims} in the file and {tensors[0].dims} by the checkpoint, or of another type"
        )
    names = CONSTANTS.get(wanted.opcode, ())
    if len(wanted.constants) != len(held.constants) or len(wanted.attributes) != len(held.attributes):
        return "it has another number of constants or attributes in the file"
    told = []
    for position, (first, second) in enumerate(zip(wanted.constants, held.constants)):
        difference = _constant(_values(expected, first), _values(found, second))
        if difference:
            told.append(f"{names[position] if position < len(names) else 'constant'}: {difference}")
    told += [
        _attribute(wanted.opcode, position, first, second)
        for position, (first, second) in enumerate(zip(wanted.attributes, held.attributes))
        if (first ^ second) & 0xFFFFFFFF
    ]
    return "; ".join(told)


def _values(network: Network, number: int) -> Array | None:
    return None if number == net.ABSENT else np.asarray(network.constants[number]).ravel()


def _constant(wanted: Array | None, held: Array | None) -> str:
    if wanted is None or held is None:
        return "" if wanted is held else f"{'missing' if held is None else 'present'} in the file"
    if wanted.dtype != held.dtype or wanted.size != held.size:
        return f"{held.size} values of {held.dtype} in the file, {wanted.size} of {wanted.dtype} by the checkpoint"
    places = np.flatnonzero(wanted != held)
    if not places.size:
        return ""
    first = places[0]
    return (
        f"{places.size} of {wanted.size} values differ, the first at {first}: {held[first]!s} in the file, "
        f"{wanted[first]!s} by the checkpoint"
    )


def _attribute(opcode: int, position: int, wanted: int, held: int) -> str:
    if opcode in (net.CONV, net.DECONV) and position == QUANT_SCALE:
        scales = net.word_float(held & 0xFFFFFFFF), net.word_float(wanted & 0xFFFFFFFF)
        return f"the scale of its input is {scales[0]:.9g} in the file and {scales[1]:.9g} by the checkpoint"
    return f"attribute {position} is {held} in the file and {wanted} by the checkpoint"
