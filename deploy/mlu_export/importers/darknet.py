"""Darknet networks of the v3 family: sections and a weight stream -> ImportedModel.

Values per convolution, in the file's order: batch-norm beta, gamma, mean, variance (or the bias alone), then the
weights as [out, in / groups, kernel, kernel]. Batch-norm eps is 1e-5, as in the ports that the reference figures were
taken with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable

from mlu_agent.errors import DataError

from ..graph import (
    INPUT,
    Activation,
    Add,
    BatchNorm,
    Concat,
    Conv,
    FloatArray,
    Graph,
    Head,
    ImportedModel,
    MaxPool,
    Node,
    Shape,
    Slice,
    Upsample,
)
from .darknet_weights import WeightStream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .darknet_cfg import Section

BN_EPS = 1e-5
LEAKY_SLOPE = 0.1
MAX_FILTERS = 65536
MAX_KERNEL = 255
MAX_INPUT = 8192

# The published YOLOv3-tiny was trained with mask 1,2,3 on its fine head, but the cfg that travels with it says 0,1,2.
TINY_SHA256 = "dccea06f59b781ec1234ddf8d1e94b9519a97f4245748a7d4db75d5b7080a42c"
TINY_ANCHORS = ((10.0, 14.0), (23.0, 27.0), (37.0, 58.0), (81.0, 82.0), (135.0, 169.0), (344.0, 319.0))

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


def import_darknet(
    sections: Sequence[Section], weights: bytes, weights_sha256: str, labels: tuple[str, ...] | None = None
) -> ImportedModel:
    """Builds the network of ``sections`` with the values of a ``.weights`` file.

    Raises DataError: unknown sections, sizes that do not fit, weights that are truncated, too long or not finite.
    """
    builder = _Builder(sections[0], WeightStream(weights))
    for index, section in enumerate(sections[1:]):
        builder.add(index, section)
    builder.weights.finish()
    model = builder.finish(labels)
    return _check_masks(model, weights_sha256)


class _Builder:
    """Walks the sections once; ``made`` holds the output tensor of every section, as routes count them."""

    def __init__(self, net: Section, weights: WeightStream) -> None:
        height = net.integer("height", 416, 32, MAX_INPUT)
        width = net.integer("width", 416, 32, MAX_INPUT)
        if net.integer("channels", 3, 1, 64) != 3:
            raise DataError(
                f"{net.where()}: channels = {net.options['channels']}; only networks of 3 colour channels are supported"
            )
        self.weights = weights
        self.nodes: list[Node] = []
        self.shapes: dict[str, Shape] = {INPUT: (height, width, 3)}
        self.made: list[str] = []
        self.last = INPUT
        self.heads: list[Head] = []
        self.classes = 0
        self._kinds: dict[str, Callable[[int, Section], None]] = {
            "convolutional": self._convolution,
            "conv": self._convolution,
            "maxpool": self._max_pool,
            "max": self._max_pool,
            "upsample": self._upsample,
            "route": self._route,
            "shortcut": self._shortcut,
            "yolo": self._yolo,
            "dropout": self._dropout,
        }

    def add(self, index: int, section: Section) -> None:
        handler = self._kinds.get(section.kind)
        if handler is None:
            raise DataError(
                f"{section.where()}: this layer kind is not supported; known are {', '.join(sorted(self._kinds))}"
            )
        handler(index, section)
        self.made.append(self.last)

    def finish(self, labels: tuple[str, ...] | None) -> ImportedModel:
        if not self.heads:
            raise DataError("the cfg has no [yolo] section: only detectors of the v3 family are supported")
        graph = Graph(self.shapes[INPUT], tuple(self.nodes), tuple(head.tensor for head in self.heads))
        return ImportedModel(graph, "yolov3", tuple(self.heads), self.classes, labels)

    def _emit(self, node: Node) -> None:
        shape = node.output_shape([self.shapes[name] for name in node.inputs])
        if not all(0 < size <= 65536 for size in shape):
            raise DataError(f"layer {node.name}: impossible output shape {shape}")
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
        stride = section.integer("stride", 1, 1, MAX_KERNEL)
        strides = (
            section.integer("stride_y", stride, 1, MAX_KERNEL),
            section.integer("stride_x", stride, 1, MAX_KERNEL),
        )
        dilation = section.integer("dilation", 1, 1, MAX_KERNEL)
        pad = size // 2 * dilation if section.integer("pad", 0, 0, 1) else section.integer("padding", 0, 0, MAX_KERNEL)
        bias, norm = self._bias_or_norm(name, filters, bool(section.integer("batch_normalize", 0, 0, 1)))
        shape = (filters, channels // groups, size, size)
        weight = self.weights.take(shape[0] * shape[1] * size * size, shape, name, "weights")
        self._emit(Conv(name, (self.last,), weight, bias, norm, strides, (pad,) * 4, (dilation,) * 2, groups))
        self._activation(index, section, "logistic")

    def _bias_or_norm(self, name: str, filters: int, normalize: bool) -> tuple[FloatArray | None, BatchNorm | None]:
        if not normalize:
            return self.weights.take(filters, (filters,), name, "bias"), None
        beta, gamma, mean, variance = (
            self.weights.take(filters, (filters,), name, what)
            for what in ("batch-norm beta", "batch-norm gamma", "batch-norm mean", "batch-norm variance")
        )
        if (variance < 0).any():
            raise DataError(f"layer {name}: a batch-norm variance is negative; the weights do not belong to this cfg")
        return None, BatchNorm(gamma, beta, mean, variance, BN_EPS)

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
        stride = section.integer("stride", 1, 1, MAX_KERNEL)
        size = section.integer("size", stride, 1, MAX_KERNEL)
        total = section.integer("padding", size - 1, 0, MAX_KERNEL)
        before, after = total // 2, total - total // 2
        self._emit(
            MaxPool(f"{index}_maxpool", (self.last,), (size, size), (stride, stride), (before, before, after, after))
        )

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
        if len(layers) != 1:
            raise DataError(f"{section.where()}: from must name one layer; {len(layers)} are given")
        self._emit(Add(f"{index}_shortcut", (self.last, self._source(layers[0], index, section))))
        self._activation(index, section, "linear")

    def _source(self, layer: int, index: int, section: Section) -> str:
        position = layer if layer >= 0 else index + layer
        if not 0 <= position < len(self.made):
            raise DataError(f"{section.where()}: layer {layer} does not exist before this one")
        return self.made[position]

    def _dropout(self, _index: int, _section: Section) -> None:
        """Nothing at inference; it keeps its place in the count of layers."""

    def _yolo(self, _index: int, section: Section) -> None:
        values = section.numbers("anchors")
        anchors = tuple(zip(values[0::2], values[1::2]))
        mask = section.integers("mask", 0, max(len(anchors) - 1, 0)) or tuple(range(len(anchors)))
        classes = section.integer("classes", 20, 1, 65536)
        height, width, channels = self.shapes[self.last]
        if not mask or channels != len(mask) * (classes + 5):
            raise DataError(
                f"{section.where()}: {len(mask)} masks of {classes} classes need {len(mask) * (classes + 5)} channels, "
                f"the layer before has {channels}"
            )
        if self.classes not in (0, classes):
            raise DataError(f"{section.where()}: classes = {classes}, an earlier head has {self.classes}")
        rows, cols, _ = self.shapes[INPUT]
        if rows % height or cols % width or rows // height != cols // width:
            raise DataError(
                f"{section.where()}: a head of {width}x{height} does not divide the input of {cols}x{rows}; "
                "choose an input size that is a multiple of 32"
            )
        self.classes = classes
        self.heads.append(
            Head(
                self.last,
                rows // height,
                tuple(anchors[number] for number in mask),
                section.number("scale_x_y", 1.0, 1.0, 4.0),
            )
        )


def _check_masks(model: ImportedModel, weights_sha256: str) -> ImportedModel:
    """Refuses the published YOLOv3-tiny weights under the published cfg's wrong mask; warns where it looks the same."""
    if not any(head.stride == 16 and head.anchors == TINY_ANCHORS[:3] for head in model.heads):
        return model
    remedy = "use `--arch yolov3-tiny` without --cfg, or set mask = 1,2,3 in the last [yolo] section"
    if weights_sha256 == TINY_SHA256:
        raise DataError(
            "the cfg gives the 26x26 head mask = 0,1,2, but these weights were trained with 1,2,3 "
            f"(a known mistake of the published cfg; it costs a third of the accuracy): {remedy}"
        )
    warning = (
        "the stride-16 head has mask = 0,1,2, as in the published yolov3-tiny.cfg, whose own weights need 1,2,3; "
        f"if accuracy is poor: {remedy}"
    )
    return ImportedModel(
        model.graph, model.decode, model.heads, model.classes, model.labels, (*model.warnings, warning)
    )
