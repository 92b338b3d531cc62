"""The networks that are raced: real weights where the user gives them, else seeded ones of the right shapes.

Random weights are scaled layer by layer on a picture, as batch-norm would leave them, so that activations are sane and
no engine meets denormals, infinities or layers that are dead.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mlu_export.formats.state_dict import state_dict_of
from mlu_export.importers.darknet.archs import find_arch
from mlu_export.importers.darknet.importer import import_darknet
from mlu_export.importers.source import import_model, read_source
from mlu_export.importers.yolov5.importer import from_state
from mlu_export.runners.float_graph import FloatRunner
from mlu_export.values.graph import INPUT, Activation, Conv, Graph, ImportedModel, Node

if TYPE_CHECKING:
    from pathlib import Path

SEED = 9
DARKNET_VALUES = {"yolov3": 62_001_757, "yolov3-tiny": 8_858_734, "yolo-fastest": 346_062}
WIDTHS = {"n": (0.25, 1), "s": (0.5, 1)}  # of YOLOv5: channels, and blocks as a third of 3, 6, 9, 3
HEAD_BIAS = -4.0  # few cells are sure of anything, as in a trained network


@dataclass(frozen=True)
class Network:
    """One that is raced: its arch of mlu-export, the files that hold published weights, and what replaces SiLU."""

    name: str
    arch: str
    weights: tuple[str, ...] = ()
    activation: str | None = None

    def real(self, folder: Path | None) -> Path | None:
        """The file with its published weights, None where there is none."""
        files = [folder / name for name in self.weights] if folder else []
        return next((file for file in files if file.is_file()), None)


NETWORKS = {
    network.name: network
    for network in (
        Network("yolov5n", "yolov5n", ("yolov5n.pt",)),
        Network("yolov5s", "yolov5s", ("yolov5s.pt",)),
        Network("yolov5s-relu", "yolov5s", activation="relu"),
        Network("yolov3-tiny", "yolov3-tiny", ("yolov3-tiny.weights",)),
        Network("yolov3", "yolov3", ("yolov3.weights",)),
        Network("yolo-fastest", "yolo-fastest", ("yolo-fastest-1.1.weights", "yolo-fastest.weights")),
    )
}


def load(network: Network, weights: Path | None) -> ImportedModel:
    """The network with batch-norm folded into its convolutions."""
    arch = find_arch(network.arch)
    if weights is not None:
        model = import_model(arch, read_source(arch, weights, None), None)
        return replace(model, graph=_folded(model.graph))
    if arch.family == "yolov5":
        state = state_dict_of(dict(_yolov5_shapes(*WIDTHS[network.arch[-1]])))
        assert state is not None
        model = from_state(state, (640, 640, 3), "silu")
    else:
        assert arch.sections is not None
        header = bytes([0, 0, 0, 0, 2, 0, 0, 0]) + bytes(12)
        model = import_darknet(arch.sections(), header + bytes(4 * DARKNET_VALUES[network.arch]), "")
    return replace(model, graph=_filled(_activated(model.graph, network.activation)))


def picture(height: int, width: int, seed: int = SEED) -> np.ndarray:
    """A picture of smooth shapes with some noise, uint8 [height, width, 3]."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, (height // 32, width // 32, 3))
    smooth = np.kron(coarse, np.ones((32, 32, 1)))
    smooth = sum(np.roll(smooth, shift, axis) for axis in (0, 1) for shift in (-8, 0, 8)) / 6
    return np.clip(smooth + rng.normal(0, 8, smooth.shape), 0, 255).astype(np.uint8)


def _folded(graph: Graph) -> Graph:
    nodes = []
    for node in graph.nodes:
        if isinstance(node, Conv) and node.norm is not None:
            alpha, beta = node.norm.affine()
            bias = beta if node.bias is None else beta + alpha * node.bias
            weight = (node.weight * alpha[:, None, None, None]).astype(np.float32)
            nodes.append(replace(node, weight=weight, bias=bias, norm=None))
        else:
            nodes.append(node)
    return replace(graph, nodes=tuple(nodes))


def _activated(graph: Graph, function: str | None) -> Graph:
    """The graph with another function where SiLU was."""
    if function is None:
        return graph
    nodes = (
        replace(node, function=function) if isinstance(node, Activation) and node.function == "silu" else node
        for node in graph.nodes
    )
    return replace(graph, nodes=tuple(nodes))


def _filled(graph: Graph) -> Graph:
    """Every convolution with random weights, such that each of its output channels has mean near 0 and deviation 1."""
    rng = np.random.default_rng(SEED)
    height, width, _ = graph.input_shape
    runner = FloatRunner(graph)
    torch = runner.torch
    pixels = picture(height, width).transpose(2, 0, 1)[None].astype(np.float32) / 255
    values: dict[str, Any] = {INPUT: torch.from_numpy(np.ascontiguousarray(pixels))}
    nodes: list[Node] = []
    for node in graph.nodes:
        filled = node
        if isinstance(node, Conv):
            filled = _scaled(torch, node, values[node.inputs[0]], rng, node.name in graph.outputs)
        single = FloatRunner(replace(graph, nodes=(filled,)))
        with torch.inference_mode():
            values[node.name] = single._apply(filled, [values[name] for name in node.inputs])  # noqa: SLF001
        nodes.append(filled)
    return replace(graph, nodes=tuple(nodes))


def _scaled(torch: Any, node: Conv, value: Any, rng: np.random.Generator, is_head: bool) -> Conv:
    weight = rng.standard_normal(node.weight.shape, np.float32)
    top, left, bottom, right = node.pad
    padded = torch.nn.functional.pad(value, (left, right, top, bottom))
    with torch.inference_mode():
        raw = torch.nn.functional.conv2d(
            padded, torch.from_numpy(weight), None, node.stride, 0, node.dilation, node.groups
        )
    deviation = np.maximum(raw.std((0, 2, 3)).numpy(), 1e-3)
    wanted = HEAD_BIAS if is_head else rng.normal(0, 0.5, len(weight))
    bias = wanted - raw.mean((0, 2, 3)).numpy() / deviation
    return replace(node, weight=weight / deviation[:, None, None, None], bias=np.asarray(bias, np.float32), norm=None)


def _yolov5_shapes(width: float, depth: int) -> OrderedDict[str, np.ndarray]:
    """A state dict of release 6 and later with zeros in it: ``width`` times 64..1024 channels, ``depth`` times 1, 2, 3,
    1 blocks."""
    state: OrderedDict[str, np.ndarray] = OrderedDict()

    def conv(key: str, inputs: int, outputs: int, kernel: int) -> None:
        state[f"model.{key}.conv.weight"] = np.zeros((outputs, inputs, kernel, kernel), np.float32)
        state[f"model.{key}.conv.bias"] = np.zeros(outputs, np.float32)

    def c3(key: str, inputs: int, outputs: int, blocks: int) -> None:
        half = outputs // 2
        conv(f"{key}.cv1", inputs, half, 1)
        conv(f"{key}.cv2", inputs, half, 1)
        conv(f"{key}.cv3", 2 * half, outputs, 1)
        for block in range(blocks * depth):
            conv(f"{key}.m.{block}.cv1", half, half, 1)
            conv(f"{key}.m.{block}.cv2", half, half, 3)

    c1, c2, c3_, c4, c5 = (int(channels * width) for channels in (64, 128, 256, 512, 1024))
    conv("0", 3, c1, 6)
    for layer, (inputs, outputs, blocks) in zip((1, 3, 5, 7), ((c1, c2, 1), (c2, c3_, 2), (c3_, c4, 3), (c4, c5, 1))):
        conv(str(layer), inputs, outputs, 3)
        c3(str(layer + 1), outputs, outputs, blocks)
    conv("9.cv1", c5, c5 // 2, 1)
    conv("9.cv2", 2 * c5, c5, 1)
    conv("10", c5, c4, 1)
    c3("13", 2 * c4, c4, 1)
    conv("14", c4, c3_, 1)
    c3("17", 2 * c3_, c3_, 1)
    conv("18", c3_, c3_, 3)
    c3("20", c4, c4, 1)
    conv("21", c4, c4, 3)
    c3("23", c5, c5, 1)
    for level, channels in enumerate((c3_, c4, c5)):
        state[f"model.24.m.{level}.weight"] = np.zeros((255, channels, 1, 1), np.float32)
        state[f"model.24.m.{level}.bias"] = np.zeros(255, np.float32)
    return state
