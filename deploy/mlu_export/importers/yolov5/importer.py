"""YOLOv5 checkpoints of releases 3 to 7: the pickled modules are walked and become a graph.

Architecture facts: Conv is convolution, batch-norm (eps 1e-3) and an activation; C3 is cv3(concat(m(cv1 x), cv2 x));
BottleneckCSP is cv4(act(bn(concat(cv3(m(cv1 x)), cv2 x)))) with plain convolutions cv2 and cv3; SPPF is three chained
5x5 pools; Focus takes every second pixel, four ways; Detect is a 1x1 convolution per level. Layer numbers and sources
come from the file itself, or where it has none, from the releases (``state``).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Callable

from mlu_agent.errors import DataError

from ...formats.labels import fitting_names
from ...formats.pickle_reader import Record, children, class_name, is_same, shown, tensors
from ...formats.state_dict import StateDict, state_dict_of
from ...formats.torch_file import read_torch
from ...values.graph import (
    INPUT,
    Activation,
    Add,
    Concat,
    Conv,
    Graph,
    ImportedModel,
    MaxPool,
    Node,
    Shape,
    Slice,
    Upsample,
    infer_shapes,
)
from ...values.heads import Head
from .detect import MASKS, anchor_count, anchors_of, mask_channels, without_masks
from .state import modules_of
from .values import at_least_one, batch_norm, floats, halves, pair, vector

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_DEPTH = 100
MAX_BLOCKS = 20_000
# Activation modules without parameters, by class name: torch's, and those of the releases' own for torch without them.
ACTIVATIONS = {
    "SiLU": "silu", "Swish": "silu", "MemoryEfficientSwish": "silu", "Hardswish": "hardswish", "HardSwish": "hardswish",
    "Mish": "mish", "MemoryEfficientMish": "mish", "ReLU": "relu", "Sigmoid": "sigmoid", "ReLU6": "relu6",
}  # fmt: skip


def import_yolov5(data: bytes, size: tuple[int, int], activation: str | None = None) -> ImportedModel:
    """Reads a ``.pt`` (the pickled model) or ``.pth`` (a state dict) for an input of ``size``, multiples of 32.

    ``activation`` (silu, hardswish, leaky_relu) is for state dicts alone, which do not tell it; None leaves it to the
    blocks' release, with a warning. Raises DataError.
    """
    content = read_torch(data)
    shape = (size[0], size[1], 3)
    model = model_of(content)
    if model is not None:
        return _Builder(shape).build(model)
    state = state_dict_of(content)
    if state is None:
        raise DataError(
            "the file holds no pickled YOLOv5 model and no state dict of one; a checkpoint of release 3 to 7 is needed"
        )
    return from_state(state, shape, activation)


def from_state(state: StateDict, shape: Shape, activation: str | None) -> ImportedModel:
    """The network of a state dict, float or quantized, for an input of ``shape``. Raises DataError."""
    found = modules_of(state, activation)
    built = _Builder(shape).build(found.model)
    keys = {node: found.prefix + key[len("model.") :] for node, key in (built.keys or {}).items()}
    parameters = {
        conv.name: state.quantization(keys[conv.name], conv.name, conv.weight.shape[0])
        for conv in built.graph.convolutions()
    }
    quantized = {name: given for name, given in parameters.items() if given is not None}
    warnings = (*found.warnings, *state.leftovers(state.unread()))
    return replace(built, quantized=quantized or None, keys=keys, warnings=warnings)


def model_of(content: Any) -> Record | None:
    """The pickled model in what a ``.pt`` held: the averaged one (``ema``) if there is one. None if there is none."""
    candidates = [dict.get(content, name) for name in ("ema", "model")] if isinstance(content, dict) else [content]
    for candidate in candidates:
        found = candidate[0] if isinstance(candidate, (tuple, list)) and candidate else candidate
        if isinstance(found, Record) and "module" in children(found):
            found = children(found)["module"]  # DataParallel
        if isinstance(found, Record) and children(found):
            return found
    return None


class _Builder:
    def __init__(self, input_shape: Shape) -> None:
        self.input_shape = input_shape
        self.nodes: list[Node] = []
        self.channels: dict[str, int] = {INPUT: input_shape[2]}
        self.keys: dict[str, str] = {}
        self._count = 0
        self._blocks: dict[str, Callable[[Record, str, str], str]] = {
            "Conv": self._conv,
            "DWConv": self._conv,
            "BottleneckCSP": self._csp,
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
            if class_name(layer) in ("Detect", "Segment"):
                if index != len(entries) - 1:
                    raise DataError(f"layer {index}: {class_name(layer)} must be the last layer")
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
                raise DataError(f"layer {index} reads layer {shown(number)}, which does not exist before it")
            sources.append(last if number == -1 else made[number])
        return sources

    def _layer(self, layer: Record, name: str, sources: list[str]) -> str:
        if class_name(layer) == "Concat":
            if not is_same(layer.get("d", 1), 1):
                raise DataError(f"layer {name}: only concatenation of channels is supported")
            return self._concat(f"{name}_concat", sources)
        return self._block(layer, name, sources[0])

    def _block(self, module: Any, name: str, source: str) -> str:
        self._count += 1  # a pickle may hold one module in many places, many times over
        handler = self._blocks.get(class_name(module))
        if handler is None or self._count > MAX_BLOCKS or name.count(".") > MAX_DEPTH:
            raise DataError(
                f"layer {name} is a {class_name(module)[:40] or 'thing'}, which is not supported; "
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
        output = self._convolve(parts.get("conv"), parts.get("bn"), name, source, ".conv")
        return self._activate(parts.get("act"), name, output)

    def _activate(self, module: Any, name: str, source: str) -> str:
        kind = class_name(module)
        if kind in ("Identity", ""):
            return source
        slope = 0.0
        if kind == "LeakyReLU":
            function, slope = "leaky_relu", module.get("negative_slope", 0.01)
            if not isinstance(slope, float) or not -1 < slope < 1:
                raise DataError(f"layer {name}: a LeakyReLU of slope {shown(slope)} cannot be")
        elif kind in ACTIVATIONS:
            function = ACTIVATIONS[kind]
        else:
            known = ", ".join(["LeakyReLU", *ACTIVATIONS])
            raise DataError(f"layer {name}: activation {kind[:40]} is not supported; known are {known}")
        return self._emit(Activation(f"{name}.{function}", (source,), function, slope), self.channels[source])

    def _convolve(self, conv: Any, norm: Any, name: str, source: str, inner: str = "") -> str:
        """A convolution and its batch-norm; ``inner`` is what leads from the block to it in a state dict."""
        if class_name(conv) != "Conv2d":
            raise DataError(f"layer {name}: holds no Conv2d")
        held = tensors(conv)
        weight = floats(held.get("weight"), f"{name} weights")
        if weight.ndim != 4:
            raise DataError(f"layer {name}: weights of rank {weight.ndim}; 4 is needed")
        bias = vector(held["bias"], weight.shape[0], f"{name} bias") if "bias" in held else None
        stride, padding, dilation = (pair(conv.get(key), name, key) for key in ("stride", "padding", "dilation"))
        groups = conv.get("groups", 1)
        if not isinstance(groups, int) or not 1 <= groups <= 65536:
            raise DataError(f"layer {name}: groups = {shown(groups)} cannot be")
        node = Conv(
            f"{name}.conv",
            (source,),
            weight,
            bias,
            batch_norm(norm, weight.shape[0], name),
            at_least_one(stride, name),
            (padding[0], padding[1], padding[0], padding[1]),
            at_least_one(dilation, name),
            groups,
        )
        self.keys[node.name] = f"model.{name}{inner}"
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

    def _csp(self, module: Record, name: str, source: str) -> str:
        """The batch-norm behind the concatenation is split by channels, which changes no value."""
        parts = children(module)
        deep = self._child(module, name, "m", self._child(module, name, "cv1", source))
        cv3 = parts.get("cv3")
        weight = tensors(cv3).get("weight") if isinstance(cv3, Record) else None
        held = tensors(parts["bn"]).get("weight") if isinstance(parts.get("bn"), Record) else None
        if weight is None or held is None or not weight.ndim or held.ndim != 1:
            raise DataError(f"layer {name}: a BottleneckCSP has a convolution cv3 and a batch-norm bn")
        norm = batch_norm(parts["bn"], held.size, name)
        assert norm is not None
        first, second = halves(norm, weight.shape[0], name)
        left = self._convolve(cv3, first, f"{name}.cv3", deep)
        right = self._convolve(parts.get("cv2"), second, f"{name}.cv2", source)
        joined = self._activate(parts.get("act"), name, self._concat(f"{name}.concat", [left, right]))
        return self._child(module, name, "cv4", joined)

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
        if class_name(pool) != "MaxPool2d" or not (pool.get("ceil_mode") is None or pool.get("ceil_mode") is False):
            raise DataError(f"layer {name}: a MaxPool2d without ceil_mode is needed")
        kernel, stride, pad = (pair(pool.get(key), name, key) for key in ("kernel_size", "stride", "padding"))
        node = MaxPool(
            name, (source,), at_least_one(kernel, name), at_least_one(stride, name), (pad[0], pad[1], pad[0], pad[1])
        )
        return self._emit(node, self.channels[source])

    def _focus(self, module: Record, name: str, source: str) -> str:
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
        whole = isinstance(factor, (int, float)) and factor in (1, 2, 3, 4)
        if not whole or not is_same(module.get("mode"), "nearest") or module.get("size") is not None:
            raise DataError(f"layer {name}: only nearest upsampling by a whole scale_factor is supported")
        return self._emit(Upsample(f"{name}_upsample", (source,), int(factor)), self.channels[source])

    def _concat(self, name: str, sources: list[str]) -> str:
        return self._emit(Concat(name, tuple(sources)), sum(self.channels[source] for source in sources))

    def _detect(self, layer: Record, name: str, sources: list[str], model: Record) -> ImportedModel:
        convolutions = children(layer).get("m")
        levels = list(children(convolutions).values()) if isinstance(convolutions, Record) else []
        if not levels or len(levels) != len(sources):
            raise DataError(f"layer {name}: Detect has {len(levels)} levels for {len(sources)} inputs")
        mask = mask_channels(layer, name)
        own = [without_masks(level, anchor_count(layer, name), mask, name) for level in levels]
        outputs = [
            self._convolve(level, None, f"{name}.m.{number}", source)
            for number, (level, source) in enumerate(zip(own, sources))
        ]
        graph = Graph(self.input_shape, tuple(self.nodes), tuple(outputs))
        shapes = self._shapes(graph, len(levels))
        strides = [self.input_shape[0] // shapes[output][0] for output in outputs]
        anchors = anchors_of(layer, strides, name)
        classes = self.channels[outputs[0]] // len(anchors[0]) - 5
        if (
            any(
                shapes[output]
                != (self.input_shape[0] // stride, self.input_shape[1] // stride, len(pairs) * (classes + 5))
                for output, stride, pairs in zip(outputs, strides, anchors)
            )
            or classes < 1
        ):
            raise DataError(f"layer {name}: the heads do not fit the input of {_size(self.input_shape)}")
        heads = tuple(Head(output, stride, pairs) for output, stride, pairs in zip(outputs, strides, anchors))
        warnings = (MASKS,) if mask else ()
        labels, problem = fitting_names(model.get("names"), classes, "the pickled model")
        return ImportedModel(graph, "yolov5", heads, classes, labels, warnings, keys=self.keys, names_problem=problem)

    def _shapes(self, graph: Graph, levels: int) -> dict[str, Shape]:
        """The shapes of all tensors; a size that the deepest of so many levels does not divide is refused by that."""
        deepest = 4 << levels
        try:
            shapes = infer_shapes(graph)
        except DataError:
            shapes = {}
        sides = self.input_shape[:2]
        heads = [shapes[output][:2] for output in graph.outputs if shapes]
        whole = shapes and not any(sides[0] % rows or sides[0] * columns != sides[1] * rows for rows, columns in heads)
        if not whole and any(side % deepest for side in sides):
            near = "x".join(str(max(deepest, round(side / deepest) * deepest)) for side in self.input_shape[1::-1])
            raise DataError(
                f"its {levels} levels halve the picture down to 1/{deepest}, which does not divide "
                f"{_size(self.input_shape)}: give --size {near}"
            )
        return shapes or infer_shapes(graph)


def _size(shape: Shape) -> str:
    return f"{shape[1]}x{shape[0]}"
