"""A float graph of mlu-export as ncnn's two files, float32 or int8 (its tools do the same; the wheel has none).

Layouts are those of ncnn's reader: a blob of weights starts with a tag, the scales of an int8 layer follow its bias,
one per output channel for the weights, one for the input.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

from mlu_export.values.graph import INPUT, Activation, Add, Concat, Conv, Graph, MaxPool, Node, Upsample

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MAGIC = 7767517
INT8_TAG = 0x000D4B38
FUSED = {"relu": "9=1", "leaky_relu": "9=2 -23310=1,{:g}"}


def write(graph: Graph, parameters: Path, largest: Mapping[str, float] | None = None) -> None:
    """Writes ``parameters`` (.param) and the .bin beside it. ``largest``: what calibration saw at the input of each
    quantized convolution; without it everything is float32."""
    writer = _Writer(graph, largest or {})
    writer.write(parameters)


class _Writer:
    def __init__(self, graph: Graph, largest: Mapping[str, float]) -> None:
        self.graph = graph
        self.largest = largest
        self.lines: list[str] = []
        self.weights = bytearray()
        self.blobs = 0
        self.readers: dict[str, int] = {}
        for name in (*(name for node in graph.nodes for name in node.inputs), *graph.outputs):
            self.readers[name] = self.readers.get(name, 0) + 1
        self.copies: dict[str, list[str]] = {}

    def write(self, parameters: Path) -> None:
        self._layer("Input", INPUT, [], INPUT)
        nodes, skipped = self.graph.nodes, set()
        for index, node in enumerate(nodes):
            if node.name in skipped:
                continue
            follower = nodes[index + 1] if index + 1 < len(nodes) else None
            if isinstance(node, Conv):
                fused = follower if self._fuses(node, follower) else None
                skipped.add(fused.name if fused else "")
                self._convolution(node, fused)
            else:
                self._other(node)
        for output in self.graph.outputs:
            self._layer("Noop", f"{output}.out", [output], f"{output}.out")
        text = f"{MAGIC}\n{len(self.lines)} {self.blobs}\n" + "\n".join(self.lines) + "\n"
        parameters.write_text(text, encoding="ascii")
        parameters.with_suffix(".bin").write_bytes(bytes(self.weights))

    def _fuses(self, node: Conv, follower: Node | None) -> bool:
        fits = isinstance(follower, Activation) and follower.inputs == (node.name,) and follower.function in FUSED
        return fits and self.readers[node.name] == 1

    def _layer(self, kind: str, name: str, inputs: list[str], output: str, values: str = "") -> None:
        """One line; a tensor with several readers is split first, as ncnn wants it."""
        given = [self.copies[blob].pop() if blob in self.copies else blob for blob in inputs]
        self.lines.append(f"{kind} {name} {len(given)} 1 {' '.join([*given, output])} {values}".rstrip())
        self.blobs += 1
        readers = self.readers.get(output, 0)
        if readers > 1:
            self.copies[output] = [f"{output}_{number}" for number in range(readers)]
            copies = " ".join(self.copies[output])
            self.lines.append(f"Split {output}.split 1 {readers} {output} {copies}")
            self.blobs += readers

    def _convolution(self, node: Conv, fused: Node | None) -> None:
        outputs, _, height, width = node.weight.shape
        top, left, bottom, right = node.pad
        values = [
            f"0={outputs} 1={width} 11={height} 2={node.dilation[1]} 12={node.dilation[0]} 3={node.stride[1]}",
            f"13={node.stride[0]} 4={left} 14={top} 15={right} 16={bottom} 5=1 6={node.weight.size}",
        ]
        if node.groups > 1:
            values.append(f"7={node.groups}")
        if isinstance(fused, Activation):
            values.append(FUSED[fused.function].format(fused.a))
        quantized = node.name in self.largest
        if quantized:
            values.append("8=2")
        kind = "Convolution" if node.groups == 1 else "ConvolutionDepthWise"
        self._layer(kind, node.name, list(node.inputs), fused.name if fused else node.name, " ".join(values))
        bias = np.zeros(outputs, np.float32) if node.bias is None else node.bias
        if quantized:
            self._quantized(node, bias)
        else:
            self.weights += struct.pack("<I", 0) + node.weight.astype("<f4").tobytes() + bias.astype("<f4").tobytes()

    def _quantized(self, node: Conv, bias: np.ndarray) -> None:
        flat = node.weight.reshape(len(node.weight), -1)
        scales = 127 / np.maximum(np.abs(flat).max(1), 1e-10)
        values = np.clip(np.rint(flat * scales[:, None]), -127, 127).astype(np.int8).tobytes()
        self.weights += struct.pack("<I", INT8_TAG) + values + bytes(-len(values) % 4)
        self.weights += bias.astype("<f4").tobytes() + scales.astype("<f4").tobytes()
        self.weights += struct.pack("<f", 127 / self.largest[node.name])

    def _other(self, node: Node) -> None:
        inputs = list(node.inputs)
        if isinstance(node, MaxPool):
            (height, width), (down, along), (top, left, bottom, right) = node.kernel, node.stride, node.pad
            values = f"0=0 1={width} 11={height} 2={along} 12={down} 3={left} 13={top} 14={right} 15={bottom} 5=1"
            self._layer("Pooling", node.name, inputs, node.name, values)
        elif isinstance(node, Upsample):
            self._layer("Interp", node.name, inputs, node.name, f"0=1 1={node.scale:g} 2={node.scale:g}")
        elif isinstance(node, Concat):
            self._layer("Concat", node.name, inputs, node.name, "0=0")
        elif isinstance(node, Add):
            self._layer("BinaryOp", node.name, inputs, node.name, "0=0")
        else:
            assert isinstance(node, Activation), f"{node.name} is not in any network that is raced"
            kind = {"silu": "Swish", "relu": "ReLU", "leaky_relu": "ReLU", "sigmoid": "Sigmoid"}[node.function]
            self._layer(kind, node.name, inputs, node.name, f"0={node.a:g}" if kind == "ReLU" else "")
