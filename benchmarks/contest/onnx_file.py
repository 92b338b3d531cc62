"""A float graph of mlu-export as an ONNX file, NCHW: what ONNX Runtime, OpenVINO and OpenCV run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mlu_export.values.graph import (
    INPUT,
    Activation,
    Add,
    Concat,
    Conv,
    Graph,
    MaxPool,
    Node,
    Upsample,
    infer_shapes,
)

if TYPE_CHECKING:
    from pathlib import Path

OPSET = 17


def write(graph: Graph, path: Path) -> None:
    """The input is float32 [1, 3, H, W] of pixels 0..1, the outputs are the head convolutions."""
    shapes = infer_shapes(graph)
    constants: list[Any] = []
    nodes: list[Any] = []

    def constant(name: str, values: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    for node in graph.nodes:
        nodes += _nodes_of(node, constant)

    def value(name: str) -> Any:
        height, width, channels = shapes[name]
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, height, width])

    made = helper.make_graph(nodes, "network", [value(INPUT)], [value(name) for name in graph.outputs], constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _nodes_of(node: Node, constant: Any) -> list[Any]:
    def make(kind: str, inputs: list[str], output: str = node.name, **attributes: Any) -> Any:
        return helper.make_node(kind, inputs, [output], name=f"{output}.{kind}", **attributes)

    inputs = list(node.inputs)
    if isinstance(node, Conv):
        assert node.norm is None
        inputs.append(constant(f"{node.name}.weight", node.weight))
        if node.bias is not None:
            inputs.append(constant(f"{node.name}.bias", node.bias))
        window = {"kernel_shape": node.weight.shape[2:], "strides": node.stride, "pads": node.pad}
        return [make("Conv", inputs, dilations=node.dilation, group=node.groups, **window)]
    if isinstance(node, MaxPool):
        return [make("MaxPool", inputs, kernel_shape=node.kernel, strides=node.stride, pads=node.pad)]
    if isinstance(node, Upsample):
        scales = constant(f"{node.name}.scales", np.array([1, 1, node.scale, node.scale], np.float32))
        way = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return [make("Resize", [*inputs, "", scales], **way)]
    if isinstance(node, Concat):
        return [make("Concat", inputs, axis=1)]
    if isinstance(node, Add):
        return [make("Add", inputs)]
    assert isinstance(node, Activation), f"{node.name} is not in any network that is raced"
    if node.function == "silu":
        inner = f"{node.name}.sigmoid"
        return [make("Sigmoid", inputs, inner), make("Mul", [*inputs, inner])]
    if node.function == "leaky_relu":
        return [make("LeakyRelu", inputs, alpha=node.a)]
    return [make({"relu": "Relu", "sigmoid": "Sigmoid"}[node.function], inputs)]
