"""Refining ranges by what counts: each layer's range is moved where the network's detections change least.

Errors at a layer's own input say little about detections: one layer with rare huge values (the second of YOLOv5 is one)
can cost more than all others. So the quantized network is run to its heads, and layer by layer, in execution order, a
few narrower and wider ranges are tried on some calibration pictures, with every other layer quantized as it is by then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .fake_quant import FakeQuantRunner
from .graph import TENSORS, Conv
from .head_parts import head_parts
from .progress import show_progress
from .quantize import Range

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from .float_runner import FloatRunner
    from .graph import FloatArray, ImportedModel

MAX_PICTURES = 32
MAX_PIXELS = 16 * 640 * 640  # of all pictures together: what time and memory depend on
FACTORS = (1.3, 0.8, 0.64, 0.5, 0.4)
GAIN = 0.01  # a smaller gain is chance
BOX_WEIGHT = 0.2


def refine(
    model: ImportedModel, runner: FloatRunner, ranges: Mapping[str, Range], seen: Mapping[str, Range],
    pictures: FloatArray, bits: int, per_channel: bool,
) -> dict[str, Range]:  # fmt: skip
    """Better ranges than ``ranges``, never wider than ``seen``, judged on ``pictures`` (N, H, W, 3), normalised."""
    graph = model.graph
    trial = _Trial(model, runner, FakeQuantRunner(graph, ranges, bits, per_channel), pictures)
    best = trial.error_below(float("inf"))
    layers = [index for index, node in enumerate(graph.nodes) if isinstance(node, Conv) and node.name in ranges]
    for index in show_progress(layers, "refining", "layer"):
        trial.advance_to(index)
        name = graph.nodes[index].name
        chosen = current = trial.quantized.ranges[name]
        for factor in FACTORS:
            candidate = clipped(seen[name], current.absmax * factor)
            if candidate == current:
                continue
            trial.quantized.ranges[name] = candidate
            result = trial.error_below(best * (1 - GAIN))
            if result < best * (1 - GAIN):
                best, chosen = result, candidate
        trial.quantized.ranges[name] = chosen
    return trial.quantized.ranges


class _Trial:
    """The quantized network held just before one node, picture by picture: small tensors that the allocator reuses."""

    def __init__(
        self, model: ImportedModel, runner: FloatRunner, quantized: FakeQuantRunner, pictures: FloatArray
    ) -> None:
        self.quantized = quantized
        singles = [pictures[number : number + 1] for number in range(len(pictures))]
        kind = TensorError if model.decode == TENSORS else DetectionError
        self._errors = [kind(model, runner.torch, runner.run(single)) for single in singles]
        self._before = [quantized.start(single) for single in singles]
        self._position = 0
        self._end = len(model.graph.nodes)

    def advance_to(self, index: int) -> None:
        """Runs on to node ``index`` with the ranges as they are now."""
        self._before = [self.quantized.advance(values, self._position, index) for values in self._before]
        self._position = index

    def error_below(self, limit: float) -> float:
        """Sum of the pictures' errors; it only grows, so counting ends where ``limit`` is reached."""
        total = 0.0
        for values, error in zip(self._before, self._errors):
            total += error.of(self.quantized.outputs(self.quantized.advance(values, self._position, self._end)))
            if total >= limit:
                break
        return total


def choose_pictures(paths: list[Path], height: int, width: int) -> list[Path]:
    """Evenly spread calibration pictures, as many as the limits allow for an input of that size."""
    count = max(1, min(MAX_PICTURES, MAX_PIXELS // (height * width)))
    return paths[:: -(-len(paths) // count)]


def clipped(seen: Range, absmax: float) -> Range:
    """What was seen, cut at a magnitude of four significant digits: noise of other machines' floats is rounded away."""
    limit = float(f"{absmax:.4g}")
    return Range(max(seen.low, -limit), min(seen.high, limit))


class DetectionError:
    """Distance of head outputs from the float network's: confidences, and boxes as far as there is an object."""

    def __init__(self, model: ImportedModel, torch: Any, outputs: list[FloatArray]) -> None:
        self._model = model
        self._torch = torch
        moved = [torch.from_numpy(np.ascontiguousarray(output.transpose(0, 3, 1, 2))) for output in outputs]
        self._exact = head_parts(model, torch, moved)

    def of(self, outputs: list[Any]) -> float:
        """Sum of squared differences over all heads of tensors (N, channels, H, W)."""
        total = 0.0
        with self._torch.inference_mode():
            found = head_parts(self._model, self._torch, outputs)
            for (box, score, scores), (boxes, objectness, confidence) in zip(found, self._exact):
                total += float(((score - objectness) ** 2).sum() + ((scores - confidence) ** 2).sum())
                total += BOX_WEIGHT * float((objectness * (box - boxes) ** 2).sum())
        return total


class TensorError:
    """Distance of plain outputs from the float network's: squared differences against each output's own energy."""

    def __init__(self, _: ImportedModel, torch: Any, outputs: list[FloatArray]) -> None:
        self._torch = torch
        self._exact = [torch.from_numpy(np.ascontiguousarray(output.transpose(0, 3, 1, 2))) for output in outputs]
        self._energy = [max(float((output**2).sum()), np.finfo(np.float32).tiny) for output in self._exact]

    def of(self, outputs: list[Any]) -> float:
        """Sum over all outputs, tensors (N, C, H, W)."""
        pairs = zip(outputs, self._exact, self._energy)
        with self._torch.inference_mode():
            return float(sum(float(((output - exact) ** 2).sum()) / energy for output, exact, energy in pairs))
