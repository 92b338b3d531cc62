"""A network that is nobody's, for files whose weights are lost: it takes and gives tensors of the right shapes, and its
numbers depend on the input, the seed and nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlu_agent.errors import DataError

from ..values import network as net
from ..values.graph import INPUT, Activation, AveragePool, Conv, Graph, Node, Operation
from .lower import LowerOptions, lower

if TYPE_CHECKING:
    from mlu_agent.model.offline_model import OfflineModel

    from ..values.network import Network

FEATURES = 16
MOST_WEIGHTS = 1 << 24  # of one output that is finer than the input
U8_CHANNELS = {3: "rgb", 4: "rgba"}
INPUTS = {"uint8": "u8", "float16": "half", "float32": "float"}


def random_network(device: OfflineModel, seed: int) -> Network:
    """Of the file's shapes: a convolution, and for each output what is averaged to its sides, through another one.

    Raises DataError for a file that such a network cannot be made for.
    """
    if len(device.inputs) != 1:
        raise DataError(f"the device file has {len(device.inputs)} inputs: random weights are made for files of one")
    shape, dtype = device.inputs[0].shape, device.inputs[0].dtype
    channels = U8_CHANNELS.get(shape[-1], "") if dtype == "uint8" else "x" * shape[-1]
    if len(shape) != 4 or dtype not in INPUTS or not channels:
        told = "x".join(map(str, shape))
        raise DataError(f"the device file's input is {told} {dtype}: random weights are made for pictures, NHWC")
    seen = 3 if dtype == "uint8" else shape[-1]
    rng = np.random.default_rng(seed)
    nodes: list[Node] = [
        _conv("features", INPUT, (FEATURES, seen, 3, 3), rng, pad=1),
        Activation("relu", ("features",), "relu"),
    ]
    outputs = []
    for number, tensor in enumerate(device.outputs):
        if len(tensor.shape) not in (2, 4) or tensor.shape[0] != shape[0]:
            told = "x".join(map(str, tensor.shape))
            raise DataError(f"the device file's output {number} is {told}: random weights give batches of {shape[0]}")
        outputs.append(f"output{number}")
        nodes += _output(outputs[-1], (shape[1], shape[2]), (1, 1, *tensor.shape[1:])[-3:], rng)
    graph = Graph((shape[1], shape[2], seen), tuple(nodes), tuple(outputs))
    return lower(graph, {}, LowerOptions(INPUTS[dtype], channels, shape[0]))


def _output(name: str, sides: tuple[int, int], wanted: tuple[int, ...], rng: np.random.Generator) -> list[Node]:
    height, width, channels = wanted
    fits = height <= sides[0] and width <= sides[1]
    rows, cols = (height, width) if fits else (1, 1)
    numbers = channels if fits else height * width * channels
    if numbers * FEATURES > MOST_WEIGHTS:
        raise DataError(f"output {height}x{width}x{channels} is too large for random weights: give the network's")
    stride = (sides[0] // rows, sides[1] // cols)
    kernel = (sides[0] - (rows - 1) * stride[0], sides[1] - (cols - 1) * stride[1])
    pool = AveragePool(f"{name}/mean", ("relu",), kernel, stride)
    if fits:
        return [pool, _conv(name, pool.name, (numbers, FEATURES, 1, 1), rng)]
    dims = (1, height, width, channels)
    conv = _conv(f"{name}/row", pool.name, (numbers, FEATURES, 1, 1), rng)
    return [pool, conv, Operation(name, (conv.name,), net.RESHAPE, dims)]


def _conv(name: str, source: str, shape: tuple[int, int, int, int], rng: np.random.Generator, pad: int = 0) -> Conv:
    """With float weights: nothing is calibrated."""
    scale = 2.0 / np.sqrt(shape[1] * shape[2] * shape[3])
    weight = (rng.standard_normal(shape) * scale).astype(np.float32)
    bias = (rng.standard_normal(shape[0]) * 0.1).astype(np.float32)
    return Conv(name, (source,), weight, bias, None, pad=(pad, pad, pad, pad), bits=0)
