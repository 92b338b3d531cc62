"""YOLOv5 checkpoints of releases 6.x and 7.0: the pickled modules are walked and become a graph.

Architecture facts: Conv is convolution, batch-norm (eps 1e-3) and SiLU; C3 is cv3(concat(m(cv1 x), cv2 x)); SPPF is
three chained 5x5 pools; Detect is a 1x1 convolution per level. Layer numbers and sources come from the file itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

import numpy as np
import numpy.typing as npt

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
    infer_shapes,
)
from .pickle_reader import Record, children, class_name, read_pt, tensors

if TYPE_CHECKING:
    from collections.abc import Sequence

STRIDES = (8, 16, 32, 64)
MAX_DEPTH = 100
# Activation modules without parameters, by class name.
ACTIVATIONS = {
    "SiLU": "silu", "ReLU": "relu", "Sigmoid": "sigmoid", "Hardswish": "hardswish", "Mish": "mish", "ReLU6": "relu6",
}  # fmt: skip


def import_yolov5(data: bytes, size: tuple[int, int]) -> ImportedModel:
    """Reads the bytes of a ``.pt`` for an input of ``size`` (height, width), multiples of 32. Raises DataError."""
    return _Builder((size[0], size[1], 3)).build(_model_of(read_pt(data)))


def _model_of(content: Any) -> Record:
    if isinstance(content, dict):
        content = content.get("ema") or content.get("model")
    if not isinstance(content, Record) or not children(content):
        raise DataError(
            "the file holds no pickled YOLOv5 model; a checkpoint of release 6 or 7 is needed, as published or trained"
        )
    return content


class _Builder:
    def __init__(self, input_shape: Shape) -> None:
        self.input_shape = input_shape
        self.nodes: list[Node] = []
        self.channels: dict[str, int] = {INPUT: input_shape[2]}
        self._blocks: dict[str, Callable[[Record, str, str], str]] = {
            "Conv": self._conv,
            "C3": self._c3,
            "Bottleneck": self._bottleneck,
            "SPPF": self._sppf,
            "SPP": self._spp,
            "Sequential": self._sequential,
            "Focus": self._focus,
            "Upsample": self._upsample,
        }

    def build(self, model: Record) -> ImportedModel:
        layers = children(model).get("model")
        if not isinstance(layers, Record):
            raise DataError("the pickled model has no list of layers; only YOLOv5 detectors are read")
        made: list[str] = []
        last = INPUT
        entries = list(children(layers).items())
        for index, (_, layer) in enumerate(entries):
            sources = self._sources(layer, index, last, made)
            if class_name(layer) == "Detect":
                if index != len(entries) - 1:
                    raise DataError(f"layer {index}: Detect must be the last layer")
                return self._detect(layer, str(index), sources, model)
            last = self._layer(layer, str(index), sources)
            made.append(last)
        raise DataError("the pickled model has no Detect layer; only detectors are supported")

    def _sources(self, layer: Any, index: int, last: str, made: Sequence[str]) -> list[str]:
        if not isinstance(layer, Record):
            raise DataError(f"layer {index} is not a module")
        wanted = layer.get("f", -1)
        wanted = wanted if isinstance(wanted, list) else [wanted]
        sources = []
        for number in wanted:
            if not isinstance(number, int) or not (number == -1 or 0 <= number < len(made) or -len(made) <= number < 0):
                raise DataError(f"layer {index} reads layer {number!r:.20}, which does not exist before it")
            sources.append(last if number == -1 else made[number])
        return sources

    def _layer(self, layer: Record, name: str, sources: list[str]) -> str:
        if class_name(layer) == "Concat":
            if layer.get("d", 1) != 1:
                raise DataError(f"layer {name}: only concatenation of channels is supported")
            return self._concat(f"{name}_concat", sources)
        return self._block(layer, name, sources[0])

    def _block(self, module: Any, name: str, source: str) -> str:
        handler = self._blocks.get(class_name(module))
        if handler is None or name.count(".") > MAX_DEPTH:
            raise DataError(
                f"layer {name} is a {class_name(module) or 'thing'!r:.40}, which is not supported; "
                f"known are {', '.join(sorted([*self._blocks, 'Concat', 'Detect']))}"
            )
        return handler(module, name, source)

    def _emit(self, node: Node, channels: int) -> str:
        self.nodes.append(node)
        self.channels[node.name] = channels
        return node.name

    def _child(self, module: Record, name: str, child: str, source: str) -> str:
        return self._block(children(module).get(child), f"{name}.{child}", source)

    def _sequential(self, module: Record, name: str, source: str) -> str:
        for child, block in children(module).items():
            source = self._block(block, f"{name}.{child}", source)
        return source

    def _conv(self, module: Record, name: str, source: str) -> str:
        parts = children(module)
        output = self._convolve(parts.get("conv"), parts.get("bn"), name, source)
        kind = class_name(parts.get("act"))
        if kind in ("Identity", ""):
            return output
        if kind == "LeakyReLU":
            slope = parts["act"].get("negative_slope", 0.01)
            return self._emit(
                Activation(f"{name}.leaky_relu", (output,), "leaky_relu", float(slope)), self.channels[output]
            )
        if kind not in ACTIVATIONS:
            known = ", ".join(["LeakyReLU", *ACTIVATIONS])
            raise DataError(f"layer {name}: activation {kind!r:.40} is not supported; known are {known}")
        function = ACTIVATIONS[kind]
        return self._emit(Activation(f"{name}.{function}", (output,), function), self.channels[output])

    def _convolve(self, conv: Any, norm: Any, name: str, source: str) -> str:
        if class_name(conv) != "Conv2d":
            raise DataError(f"layer {name}: holds no Conv2d")
        held = tensors(conv)
        weight = _floats(held.get("weight"), f"{name} weights")
        if weight.ndim != 4:
            raise DataError(f"layer {name}: weights of rank {weight.ndim}; 4 is needed")
        bias = _vector(held["bias"], weight.shape[0], f"{name} bias") if "bias" in held else None
        stride, padding, dilation = (_pair(conv.get(key), name, key) for key in ("stride", "padding", "dilation"))
        groups = conv.get("groups", 1)
        if not isinstance(groups, int) or not 1 <= groups <= 65536:
            raise DataError(f"layer {name}: groups = {groups!r:.20} cannot be")
        node = Conv(
            f"{name}.conv",
            (source,),
            weight,
            bias,
            _batch_norm(norm, weight.shape[0], name),
            _at_least_one(stride, name),
            (padding[0], padding[1], padding[0], padding[1]),
            _at_least_one(dilation, name),
            groups,
        )
        return self._emit(node, weight.shape[0])

    def _bottleneck(self, module: Record, name: str, source: str) -> str:
        inner = self._child(module, name, "cv2", self._child(module, name, "cv1", source))
        if module.get("add") is True:
            return self._emit(Add(f"{name}.add", (source, inner)), self.channels[inner])
        return inner

    def _c3(self, module: Record, name: str, source: str) -> str:
        deep = self._child(module, name, "m", self._child(module, name, "cv1", source))
        side = self._child(module, name, "cv2", source)
        return self._child(module, name, "cv3", self._concat(f"{name}.concat", [deep, side]))

    def _sppf(self, module: Record, name: str, source: str) -> str:
        pool = children(module).get("m")
        parts = [self._child(module, name, "cv1", source)]
        for number in range(3):
            parts.append(self._pool(pool, f"{name}.m{number}", parts[-1]))
        return self._child(module, name, "cv2", self._concat(f"{name}.concat", parts))

    def _spp(self, module: Record, name: str, source: str) -> str:
        pools = children(module).get("m")
        first = self._child(module, name, "cv1", source)
        parts = [first]
        for child, pool in (children(pools) if isinstance(pools, Record) else {}).items():
            parts.append(self._pool(pool, f"{name}.m{child}", first))
        return self._child(module, name, "cv2", self._concat(f"{name}.concat", parts))

    def _pool(self, pool: Any, name: str, source: str) -> str:
        if class_name(pool) != "MaxPool2d" or pool.get("ceil_mode"):
            raise DataError(f"layer {name}: a MaxPool2d without ceil_mode is needed")
        kernel, stride, pad = (_pair(pool.get(key), name, key) for key in ("kernel_size", "stride", "padding"))
        node = MaxPool(
            name, (source,), _at_least_one(kernel, name), _at_least_one(stride, name), (pad[0], pad[1], pad[0], pad[1])
        )
        return self._emit(node, self.channels[source])

    def _focus(self, module: Record, name: str, source: str) -> str:
        """Every second pixel, four ways: release 5 and before."""
        height, width, channels = self.input_shape
        if source != INPUT:
            raise DataError(f"layer {name}: Focus must be the first layer")
        parts = [
            self._emit(
                Slice(
                    f"{name}.slice{number}", (source,), (top, left, 0), (2, 2, 1), (height // 2, width // 2, channels)
                ),
                channels,
            )
            for number, (top, left) in enumerate(((0, 0), (1, 0), (0, 1), (1, 1)))
        ]
        return self._child(module, name, "conv", self._concat(f"{name}.concat", parts))

    def _upsample(self, module: Record, name: str, source: str) -> str:
        factor = module.get("scale_factor")
        if module.get("mode") != "nearest" or factor not in (1, 2, 3, 4) or module.get("size") is not None:
            raise DataError(f"layer {name}: only nearest upsampling by a whole scale_factor is supported")
        return self._emit(Upsample(f"{name}_upsample", (source,), int(factor)), self.channels[source])

    def _concat(self, name: str, sources: list[str]) -> str:
        return self._emit(Concat(name, tuple(sources)), sum(self.channels[source] for source in sources))

    def _detect(self, layer: Record, name: str, sources: list[str], model: Record) -> ImportedModel:
        convolutions = children(layer).get("m")
        levels = list(children(convolutions).values()) if isinstance(convolutions, Record) else []
        if not levels or len(levels) != len(sources):
            raise DataError(f"layer {name}: Detect has {len(levels)} levels for {len(sources)} inputs")
        outputs = [
            self._convolve(level, None, f"{name}.m.{number}", source)
            for number, (level, source) in enumerate(zip(levels, sources))
        ]
        graph = Graph(self.input_shape, tuple(self.nodes), tuple(outputs))
        shapes = infer_shapes(graph)
        strides = [self.input_shape[0] // shapes[output][0] for output in outputs]
        anchors = _anchors(layer, strides, name)
        classes = self.channels[outputs[0]] // len(anchors[0]) - 5
        if (
            any(
                shapes[output]
                != (self.input_shape[0] // stride, self.input_shape[1] // stride, len(pairs) * (classes + 5))
                for output, stride, pairs in zip(outputs, strides, anchors)
            )
            or classes < 1
        ):
            raise DataError(
                f"layer {name}: the heads do not fit the input of {self.input_shape[1]}x{self.input_shape[0]}; "
                "choose a size that is a multiple of 32"
            )
        heads = tuple(Head(output, stride, pairs) for output, stride, pairs in zip(outputs, strides, anchors))
        return ImportedModel(graph, "yolov5", heads, classes, _labels(model, classes))


def _anchors(layer: Record, strides: Sequence[int], name: str) -> list[tuple[tuple[float, float], ...]]:
    """Anchors in pixels; the file keeps them divided by the stride."""
    stored = _floats(tensors(layer).get("anchors"), f"{name} anchors")
    if stored.ndim != 3 or stored.shape[0] != len(strides) or stored.shape[2] != 2 or not 1 <= stored.shape[1] <= 16:
        raise DataError(f"layer {name}: anchors of shape {stored.shape} do not fit {len(strides)} levels")
    if any(stride not in STRIDES for stride in strides) or (stored <= 0).any():
        raise DataError(f"layer {name}: strides {list(strides)} or anchors cannot be")
    # Checkpoints keep float16 anchors: pixels are rounded to what three decimals show.
    return [
        tuple((round(float(w) * stride, 3), round(float(h) * stride, 3)) for w, h in level)
        for level, stride in zip(stored, strides)
    ]


def _labels(model: Record, classes: int) -> tuple[str, ...] | None:
    names = model.get("names")
    if isinstance(names, dict):
        names = [names.get(number) for number in range(classes)]
    if isinstance(names, (list, tuple)) and len(names) == classes and all(isinstance(name, str) for name in names):
        return tuple(names)
    return None


def _batch_norm(norm: Any, channels: int, name: str) -> BatchNorm | None:
    if norm is None:
        return None
    if class_name(norm) != "BatchNorm2d":
        raise DataError(f"layer {name}: normalisation {class_name(norm)!r:.40} is not supported; only BatchNorm2d is")
    held = tensors(norm)
    gamma, beta, mean, variance = (
        _vector(held.get(key), channels, f"{name} batch-norm {key}")
        for key in ("weight", "bias", "running_mean", "running_var")
    )
    eps = norm.get("eps", 1e-3)
    if not isinstance(eps, float) or not 0 < eps < 1 or (variance < 0).any():
        raise DataError(f"layer {name}: batch-norm eps {eps!r:.20} or a negative variance cannot be")
    return BatchNorm(gamma, beta, mean, variance, eps)


def _floats(values: npt.NDArray[Any] | None, what: str) -> FloatArray:
    if values is None or values.dtype.kind != "f":
        raise DataError(f"{what} are missing or not floating-point numbers")
    result = values.astype(np.float32)
    if not np.isfinite(result).all():
        raise DataError(f"{what} hold NaN or infinite values; the file is damaged or training diverged")
    return result


def _vector(values: npt.NDArray[Any] | None, count: int, what: str) -> FloatArray:
    result = _floats(values, what)
    if result.shape != (count,):
        raise DataError(f"{what}: {count} values are needed, the shape is {result.shape}")
    return result


def _pair(value: Any, name: str, key: str) -> tuple[int, int]:
    pair = value if isinstance(value, (tuple, list)) else (value, value)
    if len(pair) != 2 or not all(isinstance(number, int) and 0 <= number <= 255 for number in pair):
        raise DataError(f"layer {name}: {key} = {value!r:.20} cannot be")
    return int(pair[0]), int(pair[1])


def _at_least_one(pair: tuple[int, int], name: str) -> tuple[int, int]:
    if min(pair) < 1:
        raise DataError(f"layer {name}: a stride, kernel or dilation of zero cannot be")
    return pair
