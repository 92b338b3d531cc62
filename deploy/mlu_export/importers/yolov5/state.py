"""State dicts of YOLOv5: the modules that the keys and shapes belong to, made again as a pickled model would hold them.

A state dict has no wiring, no strides and no activations. Which block a layer is follows from its keys: ``conv.conv``
is Focus, ``cv4`` BottleneckCSP (release 3), ``cv3`` C3 (release 4 on); what has no keys are upsampling and
concatenation. The wiring is that of all releases since 2 for heads at strides 8, 16, 32 (25 layers), and since 5 for
those with a fourth at 64 (34 layers).
"""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlu_agent.errors import DataError

from ...formats.pickle_reader import Record

if TYPE_CHECKING:
    from ...formats.state_dict import StateDict

BN_EPS = 1e-3  # the releases set it when they build a model
_LAYER = re.compile(r"((?:model\.){0,2})(\d{1,3})\.(.+)")
# By number of layers: where the upsamplings are, what each concatenation joins, what Detect reads.
WIRINGS: dict[int, tuple[tuple[int, ...], dict[int, int], list[int]]] = {
    25: ((11, 15), {12: 6, 16: 4, 19: 14, 22: 10}, [17, 20, 23]),
    34: ((13, 17, 21), {14: 8, 18: 6, 22: 4, 25: 20, 28: 16, 31: 12}, [23, 26, 29, 32]),
}
# The published anchors in pixels by number of heads.
ANCHORS = {
    3: ((10, 13, 16, 30, 33, 23), (30, 61, 62, 45, 59, 119), (116, 90, 156, 198, 373, 326)),
    4: ((19, 27, 44, 40, 38, 94), (96, 68, 86, 152, 180, 137), (140, 301, 303, 264, 238, 542),
        (436, 615, 739, 380, 925, 792)),
}  # fmt: skip
MODULES = {"silu": "SiLU", "hardswish": "Hardswish", "leaky_relu": "LeakyReLU"}


@dataclass(frozen=True)
class Found:
    """The model, what stands before the layer numbers in the state dict's keys, and what had to be assumed."""

    model: Record
    prefix: str
    warnings: tuple[str, ...]


def modules_of(state: StateDict, activation: str | None) -> Found:
    """The modules that a state dict belongs to. Raises DataError naming the first layer that no release has."""
    return _Modules(state, activation).build()


def usual_activation(is_csp: bool) -> str:
    """What the best-known release has: 3.1 with BottleneckCSP, 4 and later with C3."""
    return "hardswish" if is_csp else "silu"


def _record(kind: str, modules: dict[str, Any] | None = None, **more: Any) -> Record:
    record: Record = type("Record", (Record,), {"kind": kind})()
    record.state = {"_modules": modules or {}, **more}
    return record


def _pool(size: int) -> Record:
    return _record("MaxPool2d", kernel_size=size, stride=1, padding=size // 2)


class _Modules:
    def __init__(self, state: StateDict, activation: str | None) -> None:
        self.state = state
        self.layers: dict[int, list[str]] = {}
        self.prefix = ""
        for key in state:
            match = _LAYER.fullmatch(key)
            if match is None or (self.layers and match.group(1) != self.prefix):
                raise DataError(
                    f"the key {key!r:.60} is none of YOLOv5's (such as model.0.conv.weight): it is of another network"
                )
            self.prefix = match.group(1)
            self.layers.setdefault(int(match.group(2)), []).append(match.group(3))
        self.warnings: list[str] = []
        self.is_csp = any(key.startswith("cv4.") for keys in self.layers.values() for key in keys)
        self.activation = activation or self._usual()

    def build(self) -> Found:
        count = max(self.layers) + 1
        if count not in WIRINGS:
            raise DataError(
                f"its layers end with model.{count - 1}; YOLOv5 has its heads in model.24, or in model.33 with four: "
                "a pickled .pt tells how other networks are wired"
            )
        upsamplings, joins, detect = WIRINGS[count]
        sequence = OrderedDict()
        for index in range(count):
            if index in upsamplings:
                layer = _record("Upsample", size=None, scale_factor=2, mode="nearest")
            elif index in joins:
                layer = _record("Concat", d=1, f=[-1, joins[index]])
            elif index == count - 1:
                layer = self._detect(index, detect)
            else:
                layer = self._block(index)
            sequence[str(index)] = layer
        model = _record("Model", {"model": _record("Sequential", sequence)})
        return Found(model, self.prefix, tuple(self.warnings))

    def _usual(self) -> str:
        usual = usual_activation(self.is_csp)
        block, release = ("BottleneckCSP", "3.1") if self.is_csp else ("C3", "4 and later")
        self.warnings.append(
            f"the state dict does not tell the activation: {usual} is taken, as release {release} has with {block}; "
            "name the release, as in --arch yolov5s@v3.0 (leaky_relu), if it was another"
        )
        return usual

    def _block(self, index: int) -> Record:
        keys = self.layers.get(index, [])
        first = {key.split(".")[0] for key in keys}
        name = f"{self.prefix}{index}"
        if first == {"conv"} and all(key.startswith(("conv.conv.", "conv.bn.")) for key in keys):
            return _record("Focus", {"conv": self._conv(f"{name}.conv", stride=1)})
        if first <= {"conv", "bn"} and "conv" in first:
            return self._conv(name, stride=None)
        if {"cv1", "cv2", "cv3", "cv4", "bn", "m"} == first:
            return self._csp(name, index)
        if {"cv1", "cv2", "cv3", "m"} == first:
            parts = {child: self._conv(f"{name}.{child}") for child in ("cv1", "cv2", "cv3")}
            return _record("C3", {**parts, "m": self._bottlenecks(name, index)})
        if {"cv1", "cv2"} == first:
            return self._pyramid(name)
        raise DataError(
            f"layer {name} has the keys {', '.join(sorted(first)[:6]) or '(none)'}, as no layer of YOLOv5 there: "
            "the checkpoint is of another network"
        )

    def _conv(self, name: str, stride: int | None = 1) -> Record:
        """Conv; ``stride`` None: what a layer between blocks has, 2 unless it is 1x1."""
        convolution = self._conv2d(f"{name}.conv", stride)
        parts = {"conv": convolution, "act": _record(MODULES[self.activation], negative_slope=0.1)}
        if f"{name}.bn.weight" in self.state:
            parts["bn"] = self._norm(f"{name}.bn")
        return _record("Conv", parts)

    def _conv2d(self, name: str, stride: int | None = 1) -> Record:
        weight = self.state.take(f"{name}.weight")
        parameters: dict[str, Any] = {"weight": weight}
        if f"{name}.bias" in self.state:
            parameters["bias"] = self.state.take(f"{name}.bias")
        kernel = weight.shape[-1] if weight.ndim == 4 else 1
        step = stride or (1 if kernel == 1 else 2)
        pad = 2 if kernel == 6 else kernel // 2
        return _record("Conv2d", _parameters=parameters, stride=step, padding=pad, dilation=1, groups=1)

    def _norm(self, name: str) -> Record:
        vectors = {key: self.state.take(f"{name}.{key}") for key in ("weight", "bias", "running_mean", "running_var")}
        return _record("BatchNorm2d", _parameters=vectors, eps=BN_EPS)

    def _csp(self, name: str, index: int) -> Record:
        plain = {child: self._conv2d(f"{name}.{child}") for child in ("cv2", "cv3")}
        parts = {
            "cv1": self._conv(f"{name}.cv1"),
            **plain,
            "cv4": self._conv(f"{name}.cv4"),
            "bn": self._norm(f"{name}.bn"),
            "act": _record("LeakyReLU", negative_slope=0.1),
            "m": self._bottlenecks(name, index),
        }
        return _record("BottleneckCSP", parts)

    def _bottlenecks(self, name: str, index: int) -> Record:
        numbers = {key.split(".")[1] for key in self.layers[index] if key.startswith("m.")}
        if numbers != {str(number) for number in range(len(numbers))}:
            raise DataError(f"layer {name}.m has blocks with the numbers {', '.join(sorted(numbers)[:5])}")
        blocks = {}
        for number in range(len(numbers)):
            parts = {child: self._conv(f"{name}.m.{number}.{child}") for child in ("cv1", "cv2")}
            blocks[str(number)] = _record("Bottleneck", parts, add=index < self._pyramid_index())
        return _record("Sequential", blocks)

    def _pyramid_index(self) -> int:
        """Blocks add their input in the backbone, which ends with the pyramid of pools (or one block behind it)."""
        for index, keys in sorted(self.layers.items()):
            if {key.split(".")[0] for key in keys} == {"cv1", "cv2"}:
                return index
        raise DataError("no layer of the state dict is an SPP or SPPF: the checkpoint is of another network")

    def _pyramid(self, name: str) -> Record:
        """SPPF with the 6x6 stem, SPP of 5, 9 and 13 with Focus, or of 3, 5 and 7 where there are four heads."""
        parts: dict[str, Any] = {"cv1": self._conv(f"{name}.cv1"), "cv2": self._conv(f"{name}.cv2")}
        if not any(key.startswith("conv.conv.") for key in self.layers.get(0, [])):
            return _record("SPPF", {**parts, "m": _pool(5)})
        sizes = (3, 5, 7) if max(self.layers) == 33 else (5, 9, 13)
        pools = {str(number): _pool(size) for number, size in enumerate(sizes)}
        return _record("SPP", {**parts, "m": _record("ModuleList", pools)})

    def _detect(self, index: int, sources: list[int]) -> Record:
        name = f"{self.prefix}{index}"
        levels = {str(level): self._conv2d(f"{name}.m.{level}") for level in range(len(sources))}
        buffers = {"anchors": self._anchors(name, len(sources))}
        return _record("Detect", {"m": _record("ModuleList", levels)}, _buffers=buffers, f=sources)

    def _anchors(self, name: str, levels: int) -> Any:
        """Anchors divided by the stride, as Detect keeps them."""
        pixels = f"{name}.anchor_grid"
        grid = self.state.take(pixels) if pixels in self.state else None
        if f"{name}.anchors" in self.state:
            return self.state.take(f"{name}.anchors")
        if grid is None:
            self.warnings.append("the state dict has no anchors: the published ones are taken")
            grid = np.array(ANCHORS[levels], np.float32)
        if grid.size % (2 * levels) or not grid.size:
            raise DataError(f"{pixels} of shape {grid.shape} does not fit {levels} heads")
        strides = np.array([8 << level for level in range(levels)], np.float32)
        return grid.reshape(levels, -1, 2) / strides[:, None, None]
