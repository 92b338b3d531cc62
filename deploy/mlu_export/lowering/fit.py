"""A lowered network with the inputs and outputs of a device file: their order, layout, types and names.

Nothing is computed otherwise than before: outputs change places, axes of size 1 move, and float16 becomes float32 or
the other way. What would need more is no network of that file.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mlu_agent.errors import DataError

from ..values import network as net
from ..values.network import Network, Operator, Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlu_agent.model.offline_model import OfflineModel, TensorInfo

CODES = {"float16": net.FLOAT16, "float32": net.FLOAT32, "uint8": net.UINT8}
WORDS = {code: word for word, code in CODES.items()}


def fit(network: Network, device: OfflineModel) -> tuple[Network, list[str]]:
    """The network as the file describes itself, and what had to change, in words. DataError where it is another's."""
    _check_described(device)
    _check_inputs(network, device.inputs)
    places = _places(network, device.outputs)
    notes = _order_notes(network, places)
    for number, tensor in enumerate(device.outputs):
        network, changes = _shape_output(network, places[number], tensor)
        notes += [f"output {number}: {change}" for change in changes]
    outputs = tuple(network.outputs[place] for place in places)
    names = tuple(one.name or network.output_names[place] for place, one in zip(places, device.outputs))
    inputs = tuple(one.name or name for name, one in zip(network.input_names, device.inputs))
    flat = any(len(one.shape) == 2 for one in device.outputs)
    return replace(network, outputs=outputs, output_names=names, input_names=inputs, flat=flat), notes


def _check_described(device: OfflineModel) -> None:
    """DataError for tensors that no model file of ours describes: four axes in NHWC, and outputs of two, all or none of
    those that have one row of numbers a picture."""
    for tensors, ranks in ((device.inputs, (4,)), (device.outputs, (2, 4))):
        for tensor in tensors:
            if len(tensor.shape) not in ranks or tensor.order != "NHWC":
                raise DataError(
                    f"the device file has a tensor {_told(tensor)} in {tensor.order}; models of mlu-export have NHWC, "
                    "and rows of numbers: there can be no stand-in"
                )
    rows = {len(one.shape) for one in device.outputs if _four(one)[1:3] == (1, 1)}
    if len(rows) > 1:
        raise DataError("the device file describes some rows with two axes and some with four: no model does")


def _four(tensor: TensorInfo) -> net.Dims:
    """Two axes are N, 1, 1, C."""
    shape = tensor.shape
    return (shape[0], 1, 1, shape[1]) if len(shape) == 2 else (shape[0], shape[1], shape[2], shape[3])


def _check_inputs(network: Network, wanted: Sequence[TensorInfo]) -> None:
    found = [network.tensors[number] for number in network.inputs]
    if [(one.dims, one.dtype) for one in found] != [(one.shape, CODES.get(one.dtype)) for one in wanted]:
        raise DataError(
            f"the network's inputs are {_all(found)}, the device file's {', '.join(map(_told, wanted))}: "
            "it is another network's file, or was compiled for another size, type or batch"
        )


def _places(network: Network, wanted: Sequence[TensorInfo]) -> list[int]:
    """Which output of the network each of the file's is: of the same dims, else of the same but for axes of size 1; of
    several the one of the same name, else the first that is left when those of names are taken."""
    found = [network.tensors[number].dims for number in network.outputs]
    places: dict[int, int] = {}
    if len(found) == len(wanted):
        for like in (_exactly, _but_for_ones):
            for by_name in (True, False):
                for number, tensor in enumerate(wanted):
                    fitting = [
                        place for place, dims in enumerate(found)
                        if place not in places.values() and like(dims) == like(_four(tensor))
                        and (not by_name or (tensor.name and network.output_names[place] == tensor.name))
                    ]  # fmt: skip
                    if number not in places and fitting:
                        places[number] = fitting[0]
    if len(places) != len(wanted):
        outputs = [network.tensors[number] for number in network.outputs]
        raise DataError(
            f"the network's outputs are {_all(outputs)}, the device file's {', '.join(map(_told, wanted))}: "
            "it is another network's file, or ends elsewhere (--detection-output, --outputs, --decode)"
        )
    return [places[number] for number in range(len(wanted))]


def _exactly(dims: Sequence[int]) -> tuple[int, ...]:
    return tuple(dims)


def _but_for_ones(dims: Sequence[int]) -> tuple[int, ...]:
    return (dims[0], *(size for size in dims[1:] if size != 1))


def _order_notes(network: Network, places: Sequence[int]) -> list[str]:
    notes = []
    if list(places) != sorted(places):
        notes.append(f"the outputs are in the device file's order, the network's {', '.join(map(str, places))}")
    dims = [network.tensors[number].dims for number in network.outputs]
    if len(set(dims)) != len(dims):
        notes.append("outputs of one shape are taken in the network's order: nothing but names tells them apart")
    return notes


def _shape_output(network: Network, place: int, wanted: TensorInfo) -> tuple[Network, list[str]]:
    """The network with its output of that place as it is wanted, and what changed."""
    changes = []
    tensor = network.tensors[network.outputs[place]]
    dims = _four(wanted)
    if tensor.dims != dims:
        changes.append(f"{_dims(tensor.dims)} of the network is laid out as {_dims(dims)}")
        network = _behind(network, place, net.RESHAPE, Tensor(dims, tensor.dtype))
    dtype = CODES.get(wanted.dtype)
    if tensor.dtype != dtype:
        if net.UINT8 in (dtype, tensor.dtype) or dtype is None:
            raise DataError(f"the device file hands out {wanted.dtype}, which no model of mlu-export does")
        changes.append(f"computed in {WORDS[tensor.dtype]}, handed out in {wanted.dtype}")
        network = _behind(network, place, net.CAST, Tensor(dims, dtype))
    return network, changes


def _behind(network: Network, place: int, opcode: int, tensor: Tensor) -> Network:
    """One more operator behind an output, whose place its result takes."""
    number = len(network.tensors)
    before = network.outputs[place]
    operator = Operator(opcode, (before,), (), (), number, network.output_names[place])
    outputs = tuple(number if index == place else one for index, one in enumerate(network.outputs))
    return replace(
        network,
        tensors=(*network.tensors, tensor),
        operators=(*network.operators, operator),
        outputs=outputs,
    )


def _dims(dims: Sequence[int]) -> str:
    return "x".join(map(str, dims))


def _told(tensor: TensorInfo) -> str:
    return f"{_dims(tensor.shape)} {tensor.dtype}"


def _all(tensors: Sequence[Tensor]) -> str:
    return ", ".join(f"{_dims(one.dims)} {WORDS.get(one.dtype, hex(one.dtype))}" for one in tensors)
