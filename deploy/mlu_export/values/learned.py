"""Learned weights as values: integers for the weights' codes, numbers for batch norms and biases, entered into a graph.

The weights in the graph stay float ones that round to these integers under the vendor's formula: the largest code of
each output channel (of the layer, with one scale for all) is qmax, and so the scale stays the weights' own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mlu_agent.errors import DataError

from .graph import Conv, Graph
from .ranges import qmax_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .arrays import FloatArray


@dataclass(frozen=True)
class LearnedLayer:
    """Of one convolution; None: as it was. All but ``codes`` are float32.

    ``codes``: integers in the shape of the weights; ``tops``: the magnitude that qmax stands for, one or one for each
    output channel; ``gain``: of its batch norm; ``offset``: of that norm, or the bias of a layer without one.
    """

    codes: npt.NDArray[Any] | None = None
    tops: FloatArray | None = None
    gain: FloatArray | None = None
    offset: FloatArray | None = None


PARTS = ("codes", "tops", "gain", "offset")


def weight_tops(weight: FloatArray, qmax: int, per_channel: bool) -> FloatArray:
    """The largest magnitude of each output channel, or of all; qmax where there are zeros alone."""
    tops: FloatArray = np.abs(weight).reshape(weight.shape[0], -1).max(axis=1)
    tops = tops if per_channel else tops.max(keepdims=True)
    return np.where(tops > 0, tops, np.float32(qmax)).astype(np.float32)


def with_learned(graph: Graph, layers: Mapping[str, LearnedLayer], bits: int, per_channel: bool) -> Graph:
    """The graph with what was learned. Raises DataError where that is of another network or precision."""
    foreign = sorted(set(layers) - {conv.name for conv in graph.convolutions()})
    if foreign:
        raise DataError(f"the learned weights are of another network: there is no layer {foreign[0]!r:.60}")
    nodes = tuple(
        _entered(node, layers[node.name], node.bits or bits, per_channel)
        if isinstance(node, Conv) and node.name in layers
        else node
        for node in graph.nodes
    )
    return replace(graph, nodes=nodes)


def _entered(conv: Conv, layer: LearnedLayer, bits: int, per_channel: bool) -> Conv:
    changes: dict[str, Any] = {}
    if (layer.codes is None) != (layer.tops is None):
        raise _wrong(conv, "codes and the magnitudes that they stand for belong together")
    if layer.codes is not None and layer.tops is not None:
        changes["weight"] = _weight(conv, layer.codes, layer.tops, bits, per_channel)
    if conv.norm is not None:
        told = {"gamma": layer.gain, "beta": layer.offset}
        numbers: dict[str, Any] = {
            name: _like(conv, given, conv.norm.beta) for name, given in told.items() if given is not None
        }
        changes["norm"] = replace(conv.norm, **numbers)
    elif layer.gain is not None or (layer.offset is not None and conv.bias is None):
        raise _wrong(conv, "the layer has no batch norm or no bias that they could be")
    elif layer.offset is not None and conv.bias is not None:
        changes["bias"] = _like(conv, layer.offset, conv.bias)
    return replace(conv, **changes)


def _wrong(conv: Conv, what: str) -> DataError:
    return DataError(f"the learned weights of layer {conv.name} do not fit it: {what}; give the file made with it")


def _like(conv: Conv, values: FloatArray, before: FloatArray) -> FloatArray:
    if values.shape != before.shape or values.dtype != np.float32 or not np.isfinite(values).all():
        raise _wrong(conv, f"{before.size} finite numbers of float32 belong there")
    return values


def _weight(conv: Conv, codes: npt.NDArray[Any], tops: FloatArray, bits: int, per_channel: bool) -> FloatArray:
    """Float weights that round to the codes, and whose largest magnitudes are ``tops``."""
    qmax = qmax_of(bits)
    if conv.is_float:
        raise _wrong(conv, "its weights stay in float, keep its precision as it was learned")
    if codes.dtype != (np.int8 if bits == 8 else np.int16) or codes.shape != conv.weight.shape:
        raise _wrong(conv, f"codes of {codes.dtype} and shape {codes.shape} for {bits} bits and {conv.weight.shape}")
    count = conv.weight.shape[0] if per_channel else 1
    if tops.shape != (count,) or tops.dtype != np.float32 or not (np.isfinite(tops).all() and (tops > 0).all()):
        raise _wrong(conv, f"{count} magnitudes above 0 belong there, of weights quantized as it was learned")
    wide = np.abs(codes.astype(np.int64)).reshape(count, -1).max(axis=1)
    if (wide > qmax).any() or ((wide != qmax) & (wide != 0)).any():
        raise _wrong(conv, f"the largest code of a scale must be {qmax}")
    if (wide == 0).any() and (tops[wide == 0] != qmax).any():
        raise _wrong(conv, f"of zeros alone the magnitude is {qmax}")
    steps = np.resize(tops.astype(np.float64) / qmax, conv.weight.shape[0])
    weight: FloatArray = (codes.astype(np.float64) * steps[:, None, None, None]).astype(np.float32)
    if not np.isfinite(weight).all() or ((weight == 0) != (codes == 0)).any():
        raise _wrong(conv, "their magnitudes leave float32")
    return weight
