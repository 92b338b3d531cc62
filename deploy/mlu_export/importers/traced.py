"""From recorded values to an ImportedModel: what an ONNX file and a traced module have in common.

A network without detection heads gives plain tensors, or with ``--classify`` classes; with ``--decode`` its outputs are
heads that the agent decodes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mlu_agent.errors import DataError, UserError
from mlu_agent.model.output_spec import ANCHORED, TENSORS, PlainSpec

from ..recording.to_graph import graph_of
from ..values.graph import Graph, ImportedModel
from ..values.heads import Head
from .free_heads import free_heads, prepared
from .raw_heads import check_raw

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..recording.values import Value
    from ..values.heads import HeadRequest


def imported(
    source: Value, outputs: Sequence[tuple[str, Value]], heads: HeadRequest, warnings: tuple[str, ...] = ()
) -> ImportedModel:
    """The model of named outputs computed from one picture. Raises UnsupportedError, DataError, UserError."""
    if not outputs:
        raise DataError("the network has no outputs")
    heads.complete()
    free = heads.decode and heads.decode not in ANCHORED
    size = source.shape[2], source.shape[3]
    if heads.decode:
        check_raw(outputs, heads.decode)
    if free:
        outputs = prepared(outputs, heads.decode, heads.strides, size)
    graph, keys = graph_of(source, [value for _, value in outputs], [name for name, _ in outputs])
    if free:
        found, layout, count = free_heads(graph.outputs, outputs, heads, size)
        return ImportedModel(graph, heads.decode, found, count, None, warnings, layout, keys=keys)
    if not heads.decode:
        tensors = tuple(PlainSpec(name, value.shape) for name, (_, value) in zip(graph.outputs, outputs))
        classes = _classes(tensors) if heads.classify else 0
        return ImportedModel(
            graph, TENSORS, (), classes, None, warnings, tensors=tensors, keys=keys, classify=heads.classify
        )
    made, classes = _anchored(graph, outputs, heads)
    return ImportedModel(graph, heads.decode, made, classes, None, warnings, keys=keys)


def _classes(tensors: Sequence[PlainSpec]) -> int:
    """The numbers of a classifier's output."""
    if len(tensors) != 1:
        names = ", ".join(one.name for one in tensors)
        raise UserError(
            f"--classify is for a network with one output, not {len(tensors)}: name it with --outputs ({names})"
        )
    shape = tensors[0].shape
    if sum(side > 1 for side in shape) > 1:
        raise UserError(
            f"--classify: the output {tensors[0].name} is {list(shape)}, which is no classifier's: that has one number "
            "for each class, [1, classes]; leave --classify out, or name another with --outputs"
        )
    return math.prod(shape)


def _anchored(graph: Graph, outputs: Sequence[tuple[str, Value]], heads: HeadRequest) -> tuple[tuple[Head, ...], int]:
    if len(heads.anchors) != len(outputs):
        raise UserError(
            f"--decode {heads.decode} with {len(outputs)} heads needs --anchors with as many groups, in the same order:"
            f" they are {', '.join(name for name, _ in outputs)}"
        )
    made, classes = [], set()
    for (name, value), anchors in zip(outputs, heads.anchors):
        if len(value.shape) != 4 or value.shape[1] % len(anchors) or value.shape[1] // len(anchors) < 6:
            raise UserError(
                f"--decode {heads.decode}: output {name} is {list(value.shape)}; a head is [1, anchors * (5 + "
                f"classes), height, width] with {len(anchors)} anchors: end the network at its head convolutions with "
                "--outputs"
            )
        classes.add(value.shape[1] // len(anchors) - 5)
        made.append(Head(name, stride_of(graph, name, value), anchors))
    if len(classes) != 1:
        raise UserError(f"--decode {heads.decode}: the heads have different numbers of classes: {sorted(classes)}")
    return tuple(Head(tensor, head.stride, head.anchors) for tensor, head in zip(graph.outputs, made)), classes.pop()


def stride_of(graph: Graph, name: str, value: Value) -> int:
    """Pixels of the input per cell of a head. Raises UserError where it is no whole number, alike in both axes."""
    strides = {graph.input_shape[axis] / value.shape[2 + axis] for axis in (0, 1)}
    stride = strides.pop()
    if strides or stride != math.floor(stride):
        raise UserError(
            f"output {name} is {value.shape[2]}x{value.shape[3]} for an input of {graph.input_shape[0]}x"
            f"{graph.input_shape[1]}, which has no whole stride: choose another --size"
        )
    return int(stride)
