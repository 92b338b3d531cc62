"""Whether a float network is the one in a model file, though its weights lie in another file than it was made from.

A model file holds the biases and batch-norms of its convolutions unquantized, and their weights in steps that it tells.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np

from mlu_agent.errors import DataError

from ..formats.container_reader import load_network
from ..values import network as net

if TYPE_CHECKING:
    import numpy.typing as npt

    from mlu_agent.model.bundle import ModelSpec

    from ..values.arrays import FloatArray
    from ..values.graph import Conv, Graph
    from ..values.network import Array, Network, Operator

QUANT_SCALE = 9  # the attribute of convolutions that quantizes their input
TOLERANCE = 1e-3  # of what a port may have rounded otherwise; a training changes more


def check_same_weights(spec: ModelSpec, graph: Graph, name: str) -> None:
    """Notes on stderr that the file ``name`` is another one than the model was made from, with the same float network.

    Raises DataError where it holds another. Where nothing can be compared, as with device code, the note says that too.
    """
    made_from = spec.provenance.get("weights") or "other weights"
    said = f"mlu-export: note: {spec.path.name} was made from {made_from}"
    if spec.offline.kind == "device":
        print(f"{said}; that {name} holds the same float network is taken for granted", file=sys.stderr)
        return
    network = load_network(spec.path)
    held = {one.name: one for one in network.operators if one.opcode == net.CONV}
    layers = [conv for conv in graph.convolutions() if conv.name in held]
    for conv in layers:
        differs = _difference(conv, network, held[conv.name])
        if differs:
            raise DataError(
                f"{name} holds another float network than {spec.path.name}, which was made from {made_from}: layer "
                f"{conv.name} has other {differs}. Give {made_from}, or any file with the same weights, such as what "
                "`mlu-export convert` made of it"
            )
    end = (
        f"{len(layers)} layers have the same weights" if layers else "that it is the same network is taken for granted"
    )
    print(f"{said}; {name} is another file, and {end}", file=sys.stderr)


def _difference(conv: Conv, network: Network, operator: Operator) -> str:
    """What of a layer is not the model file's; empty if all is."""
    weight, scale, *others = (
        None if number == net.ABSENT else np.asarray(network.constants[number]) for number in operator.constants
    )
    if weight is not None and not _are_close(
        conv.weight, weight, scale, net.word_float(operator.attributes[QUANT_SCALE])
    ):
        return "weights"
    alpha, beta = (None, None) if conv.norm is None else conv.norm.affine()
    wanted, found = _joined(conv.bias, alpha, beta), _joined(*others)
    if wanted.size != found.size:
        return "biases"
    slack = TOLERANCE * max(1e-3, float(np.abs(wanted).max()))
    return "" if np.allclose(wanted, found, TOLERANCE, slack) else "biases"


def _are_close(wanted: FloatArray, held: Array, scale: Array | None, quant_scale: float) -> bool:
    """Whether float weights give the stored ones, to one step: ``scale = absmax_x * absmax_w / qmax^2`` tells what they
    were quantized by, with ``quant_scale = qmax / absmax_x``."""
    values = wanted.transpose(0, 2, 3, 1).astype(np.float64)
    if values.size != held.size:
        return False
    held = held.reshape(values.shape)  # the file does not tell the shape
    if held.dtype.kind != "i" or scale is None:
        return bool(np.allclose(values, held, TOLERANCE, TOLERANCE * float(np.abs(values).max())))
    qmax = np.iinfo(held.dtype).max
    step = (scale.astype(np.float64) * quant_scale).reshape(-1, 1, 1, 1)
    return bool(np.abs(np.clip(values / step, -qmax, qmax) - held).max() < 1.5)


def _joined(bias: Array | None, alpha: Array | None, beta: Array | None) -> npt.NDArray[np.float64]:
    """What the layer adds to its sums, bias and batch-norm together."""
    first, second = (np.asarray(0.0 if one is None else one, np.float64).ravel() for one in (bias, beta))
    factor = np.asarray(1.0 if alpha is None else alpha, np.float64).ravel()
    return np.asarray(first * factor + second)
