"""Darknet networks of the v3 and v4 families: sections and weights -> ImportedModel.

Layers, their sizes and their order are those of Darknet itself: what a route or a shortcut names are sections, counted
from the first one behind ``[net]``.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Callable

from mlu_agent.errors import DataError

from ...formats.state_dict import state_dict_of
from ...formats.torch_file import looks_like_torch, read_torch
from ...values.graph import (
    INPUT,
    Activation,
    Add,
    AveragePool,
    Concat,
    Conv,
    Graph,
    ImportedModel,
    MaxPool,
    Mul,
    Node,
    Shape,
    Slice,
    Upsample,
    check_shape,
)
from .cfg import CfgError
from .heads import Heads, check_masks
from .values import StateValues, StreamValues, Values, conv_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .cfg import Section

LEAKY_SLOPE = 0.1
MAX_FILTERS = 65536
MAX_KERNEL = 255
MAX_INPUT = 8192

ACTIVATIONS = {
    "leaky": ("leaky_relu", LEAKY_SLOPE),
    "relu": ("relu", 0.0),
    "logistic": ("sigmoid", 0.0),
    "swish": ("silu", 0.0),
    "mish": ("mish", 0.0),
    "relu6": ("relu6", 0.0),
    "tanh": ("tanh", 0.0),
    "elu": ("elu", 1.0),
}
# Options that change what a layer computes, and that are refused unless they are off.
UNSUPPORTED = {
    "convolutional": ("xnor", "binary", "bin_output", "antialiasing", "coordconv", "flipped", "dot", "sway", "rotate",
                      "stretch", "stretch_sway", "reverse"),
    "maxpool": ("maxpool_depth", "antialiasing", "maxpool_zero_nonmax"),
    "scale_channels": ("scale_wh",),
    "route": (),
    "reorg3d": ("reverse",),
}  # fmt: skip
# Sections of other families of detectors, which a user may well try.
OTHER_FAMILIES = {
    "region": "the head of YOLOv2",
    "detection": "the head of YOLOv1",
    "gaussian_yolo": "the head of Gaussian YOLOv3",
    "crnn": "a recurrent layer",
    "conv_lstm": "a recurrent layer",
    "contrastive": "a head that tracks",
}


def import_darknet(
    sections: Sequence[Section], weights: bytes, weights_sha256: str, labels: tuple[str, ...] | None = None
) -> ImportedModel:
    """Builds the network of ``sections`` with the values of a ``.weights`` file, or of a port's state dict.

    Raises CfgError: unknown sections, sizes that do not fit; other DataErrors: weights that are truncated, of another
    network or not finite.
    """
    values = _values(weights)
    try:
        builder = _Builder(sections[0], values)
        for index, section in enumerate(sections[1:]):
            builder.add(index, section)
        return check_masks(builder.finish(labels), weights_sha256)
    except _WeightsError:
        raise
    except DataError as error:
        raise CfgError(str(error)) from error


class _WeightsError(DataError):
    """What is wrong is the weights, or that they are not of this network."""


@contextlib.contextmanager
def _blaming_weights() -> Iterator[None]:
    try:
        yield
    except DataError as error:
        raise _WeightsError(str(error)) from error


def _values(weights: bytes) -> Values:
    if not looks_like_torch(weights):
        return StreamValues(weights)
    state = state_dict_of(read_torch(weights))
    if state is None:
        raise DataError(
            "it is a file of torch without a state dict, and not Darknet weights: a whole pickled model is read for "
            "YOLOv5 alone (--arch yolov5s, for example); of another network save model.state_dict() as .pth"
        )
    return StateValues(state)


class _Builder:
    """Walks the sections once; ``made`` holds the output tensor of every section, as routes count them."""

    def __init__(self, net: Section, values: Values) -> None:
        height = net.integer("height", 416, 32, MAX_INPUT)
        width = net.integer("width", 416, 32, MAX_INPUT)
        if net.integer("channels", 3, 1, 64) != 3:
            raise DataError(
                f"{net.where()}: channels = {net.options['channels']}; only networks of 3 colour channels are supported"
            )
        self.values = values
        self.nodes: list[Node] = []
        self.shapes: dict[str, Shape] = {INPUT: (height, width, 3)}
        self.made: list[str] = []
        self.last = INPUT
        self.keys: dict[str, str] = {}
        self.heads = Heads(self.shapes[INPUT])
        self._kinds: dict[str, Callable[[int, Section], None]] = {
            "convolutional": self._convolution,
            "conv": self._convolution,
            "maxpool": self._max_pool,
            "max": self._max_pool,
            "upsample": self._upsample,
            "route": self._route,
            "shortcut": self._shortcut,
            "yolo": self._yolo,
            "reorg3d": self._reorg,
            "sam": self._multiply,
            "scale_channels": self._multiply,
            "avgpool": self._average_pool,
            "avg": self._average_pool,
            "local_avgpool": self._average_pool,
            "local_avg": self._average_pool,
            "dropout": self._nothing,
            "empty": self._nothing,
            "silence": self._nothing,
        }

    def add(self, index: int, section: Section) -> None:
        handler = self._kinds.get(section.kind)
        if handler is None:
            what = OTHER_FAMILIES.get(section.kind, "this layer kind")
            raise DataError(f"{section.where()}: {what} is not supported; known are {', '.join(sorted(self._kinds))}")
        for option in UNSUPPORTED.get(section.kind, ()):
            if section.options.get(option, "0").strip() not in ("0", "0.0", ""):
                raise DataError(
                    f"{section.where()}: {option} = {section.options[option][:20]} is not supported; "
                    "a network trained without it is needed"
                )
        handler(index, section)
        self.made.append(self.last)

    def finish(self, labels: tuple[str, ...] | None) -> ImportedModel:
        with _blaming_weights():
            warnings = tuple(self.values.finish())
        heads = self.heads.finish()
        nodes = tuple(node for node in self.nodes if not self._is_folded(node))
        graph = Graph(self.shapes[INPUT], nodes, tuple(head.tensor for head in heads))
        return ImportedModel(
            graph,
            self.heads.decode,
            heads,
            self.heads.classes,
            labels,
            warnings,
            quantized=self.values.quantized(),
            keys=self.keys,
        )

    def _is_folded(self, node: Node) -> bool:
        """Whether it is the sigmoid of a head, which the decoding does, and nobody else reads it."""
        return node.name in self.heads.folded and not any(node.name in other.inputs for other in self.nodes)

    def _emit(self, node: Node) -> None:
        shape = node.output_shape([self.shapes[name] for name in node.inputs])
        check_shape(node.name, shape)
        self.nodes.append(node)
        self.shapes[node.name] = shape
        self.last = node.name

    def _convolution(self, index: int, section: Section) -> None:
        name = f"{index}_conv"
        channels = self.shapes[self.last][2]
        filters = section.integer("filters", 1, 1, MAX_FILTERS)
        size = section.integer("size", 1, 1, MAX_KERNEL)
        groups = section.integer("groups", 1, 1, MAX_FILTERS)
        if channels % groups or filters % groups:
            raise DataError(
                f"{section.where()}: groups = {groups} must divide {channels} input channels and {filters} filters"
            )
        if "share_index" in section.options:
            raise DataError(f"{section.where()}: share_index: layers that share weights are not supported")
        strides = _strides(section)
        dilation = section.integer("dilation", 1, 1, MAX_KERNEL)
        half = size // 2 if section.integer("pad", 0, 0, 1) else section.integer("padding", 0, 0, MAX_KERNEL)
        pad = (half * dilation,) * 4
        normalize = bool(section.integer("batch_normalize", 0, 0, 1))
        with _blaming_weights():
            got = self.values.convolution(index, name, (filters, channels // groups, size, size), normalize)
        self._emit(Conv(name, (self.last,), got.weight, got.bias, got.norm, strides, pad, (dilation,) * 2, groups))
        self.keys[name] = conv_key(index)
        self._activation(index, section, "logistic")

    def _activation(self, index: int, section: Section, default: str) -> None:
        kind = section.options.get("activation", default).lower()
        if kind == "linear":
            return
        if kind not in ACTIVATIONS:
            raise DataError(
                f"{section.where()}: activation = {kind[:40]!r} is not supported; known are linear, "
                f"{', '.join(sorted(ACTIVATIONS))}"
            )
        function, slope = ACTIVATIONS[kind]
        self._emit(Activation(f"{index}_{function}", (self.last,), function, slope))

    def _max_pool(self, index: int, section: Section) -> None:
        kernel, stride, pad = _window(section)
        self._emit(MaxPool(f"{index}_maxpool", (self.last,), kernel, stride, pad))

    def _average_pool(self, index: int, section: Section) -> None:
        """``avgpool`` is the mean of the whole picture, ``local_avgpool`` that of windows."""
        kernel, stride, pad = _window(section)
        if section.kind in ("avgpool", "avg"):
            kernel, stride, pad = self.shapes[self.last][:2], (1, 1), (0, 0, 0, 0)
        self._emit(AveragePool(f"{index}_avgpool", (self.last,), kernel, stride, pad))

    def _upsample(self, index: int, section: Section) -> None:
        if section.number("scale", 1.0, -65536.0, 65536.0) != 1.0:
            raise DataError(f"{section.where()}: scale = {section.options['scale']}; only 1 is supported")
        self._emit(Upsample(f"{index}_upsample", (self.last,), section.integer("stride", 2, 1, 64)))

    def _route(self, index: int, section: Section) -> None:
        sources = [
            self._source(layer, index, section) for layer in section.integers("layers", -index, max(index - 1, 0))
        ]
        if not sources:
            raise DataError(f"{section.where()}: layers is missing")
        groups = section.integer("groups", 1, 1, MAX_FILTERS)
        group = section.integer("group_id", 0, 0, groups - 1)
        if groups > 1:
            sources = [
                self._channel_group(f"{index}_group{number}", source, groups, group, section)
                for number, source in enumerate(sources)
            ]
        if len(sources) > 1:
            self._emit(Concat(f"{index}_route", tuple(sources)))
        else:
            self.last = sources[0]

    def _channel_group(self, name: str, source: str, groups: int, group: int, section: Section) -> str:
        height, width, channels = self.shapes[source]
        if channels % groups:
            raise DataError(f"{section.where()}: groups = {groups} does not divide {channels} channels")
        count = channels // groups
        self._emit(Slice(name, (source,), (0, 0, group * count), (1, 1, 1), (height, width, count)))
        return name

    def _shortcut(self, index: int, section: Section) -> None:
        layers = section.integers("from", -index, max(index - 1, 0))
        if not layers:
            raise DataError(f"{section.where()}: from is missing")
        if section.options.get("weights_type", "none") != "none":
            raise DataError(
                f"{section.where()}: weights_type = {section.options['weights_type'][:20]}: weighted shortcuts are not "
                "supported; a network trained without them is needed"
            )
        for number, layer in enumerate(layers):
            name = f"{index}_shortcut" + (f"{number}" if number < len(layers) - 1 else "")
            self._add(name, self._source(layer, index, section))
        self._activation(index, section, "linear")

    def _add(self, name: str, source: str) -> None:
        """Adds a tensor to the last one; where they differ in channels, to as many as both have."""
        own, (height, width, channels) = self.last, self.shapes[self.last]
        common = min(channels, self.shapes[source][2])
        if common < self.shapes[source][2]:
            self._emit(Slice(f"{name}_from", (source,), (0, 0, 0), (1, 1, 1), (*self.shapes[source][:2], common)))
            source = self.last
        if common == channels:
            self._emit(Add(name, (own, source)))
            return
        self._emit(Slice(f"{name}_part", (own,), (0, 0, 0), (1, 1, 1), (height, width, common)))
        self._emit(Add(f"{name}_sum", (self.last, source)))
        total = self.last
        self._emit(Slice(f"{name}_rest", (own,), (0, 0, common), (1, 1, 1), (height, width, channels - common)))
        self._emit(Concat(name, (total, self.last)))

    def _multiply(self, index: int, section: Section) -> None:
        """``sam`` multiplies two tensors; ``scale_channels`` a tensor with the value per channel before it."""
        layers = section.integers("from", -index, max(index - 1, 0))
        if len(layers) != 1:
            raise DataError(f"{section.where()}: from must name one layer; {len(layers)} are given")
        self._emit(Mul(f"{index}_{section.kind}", (self._source(layers[0], index, section), self.last)))
        self._activation(index, section, "linear")

    def _reorg(self, index: int, section: Section) -> None:
        """Squares of stride x stride pixels become channels, row by row."""
        height, width, channels = self.shapes[self.last]
        stride = section.integer("stride", 1, 1, 64)
        if height % stride or width % stride:
            raise DataError(f"{section.where()}: stride = {stride} does not divide a tensor of {width}x{height}")
        source, count, parts = self.last, (height // stride, width // stride, channels), []
        for place in range(stride * stride):
            begin = (place // stride, place % stride, 0)
            self._emit(Slice(f"{index}_reorg{place}", (source,), begin, (stride, stride, 1), count))
            parts.append(self.last)
        self._emit(Concat(f"{index}_reorg", tuple(parts)))

    def _source(self, layer: int, index: int, section: Section) -> str:
        position = layer if layer >= 0 else index + layer
        if not 0 <= position < len(self.made):
            raise DataError(f"{section.where()}: layer {layer} does not exist before this one")
        return self.made[position]

    def _nothing(self, _index: int, _section: Section) -> None:
        """Nothing at inference; it keeps its place in the count of layers."""

    def _yolo(self, _index: int, section: Section) -> None:
        node = self.nodes[-1] if self.nodes and self.nodes[-1].name == self.last else None
        self.heads.add(section, self.last, self.shapes[self.last], node)


def _strides(section: Section) -> tuple[int, int]:
    """Rows and columns."""
    stride = section.integer("stride", 1, 1, MAX_KERNEL)
    return section.integer("stride_y", stride, 1, MAX_KERNEL), section.integer("stride_x", stride, 1, MAX_KERNEL)


def _window(section: Section) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int, int, int]]:
    """Kernel, stride and padding of a pool; Darknet pads ``size - 1`` in all, the odd one below and to the right."""
    size = section.integer("size", section.integer("stride", 1, 1, MAX_KERNEL), 1, MAX_KERNEL)
    total = section.integer("padding", size - 1, 0, MAX_KERNEL)
    before, after = total // 2, total - total // 2
    return (size, size), _strides(section), (before, before, after, after)
