"""Calibration: the float network runs over pictures, and each quantized layer's input range is recorded.

Pictures go through the agent's own preprocessing, so that the ranges are those of the pixels that the box will see.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from mlu_agent.bundle import InputSpec
from mlu_agent.errors import DataError, UserError
from mlu_agent.preprocess import preprocess

from .float_runner import FloatRunner
from .observe import USUAL_PERCENTILE, LayerObserver
from .progress import count_progress
from .refine import choose_pictures, refine
from .shards import Team

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from mlu_agent.geometry import Letterbox

    from .graph import FloatArray, Graph, ImportedModel
    from .manifest import Preprocessing
    from .quantize import Range

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm"}


def list_pictures(directory: Path) -> list[Path]:
    """Picture files directly in a folder, by name; raises UserError if there are none."""
    if not directory.is_dir():
        raise UserError(f"{directory} is not a folder; give a folder of pictures")
    found = sorted(path for path in directory.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    if not found:
        raise UserError(
            f"{directory} holds no pictures ({', '.join(sorted(SUFFIXES))}); give the folder that holds them"
        )
    return found


def read_picture(path: Path) -> npt.NDArray[np.uint8]:
    """BGR pixels (H, W, 3); raises DataError for what is no picture."""
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise DataError(f"cannot read the picture {path}: {error.strerror}") from error
    pixels: Any = None
    if data.size:
        try:
            pixels = cv2.imdecode(data, cv2.IMREAD_COLOR)
        except cv2.error:
            pixels = None
    if pixels is None:
        raise DataError(f"{path} is not a readable picture; remove or replace it")
    return np.asarray(pixels, dtype=np.uint8)


def float_input(graph: Graph, preprocessing: Preprocessing) -> InputSpec:
    """The float input of a graph: (x - mean) / std of the same pixels that a uint8 input holds."""
    height, width, _ = graph.input_shape
    return InputSpec(
        width=width,
        height=height,
        resize=preprocessing.resize,
        pad_value=preprocessing.pad_value,
        channels=preprocessing.colours,
        dtype="float32",
        mean=preprocessing.mean,
        std=preprocessing.std,
    )


def float_picture(pixels: npt.NDArray[np.uint8], spec: InputSpec) -> tuple[FloatArray, Letterbox]:
    """One picture as a normalised tensor (1, H, W, 3), and its letterbox."""
    tensor = np.empty((1, spec.height, spec.width, 3), np.float32)
    return tensor, preprocess(pixels, spec, tensor[0])


def calibrate(
    model: ImportedModel, preprocessing: Preprocessing, paths: list[Path], observer: str, bits: int, per_channel: bool,
    percentile: float = USUAL_PERCENTILE, team: Team | None = None,
) -> dict[str, Range]:  # fmt: skip
    """The input range of every quantized layer over all pictures; ``observer`` is one of ``observe.OBSERVERS``.

    ``percentile`` is for the observer of that name. The ranges do not depend on the ``team`` (this process alone if
    None). Raises DataError for an unreadable picture and for values that are not finite.
    """
    team = team or Team(1)
    graph = model.graph
    if not graph.quantized():
        return {}
    spec = float_input(graph, preprocessing)
    layers = observe_layers(graph, spec, paths, team)
    own = {conv.name: conv.bits or bits for conv in graph.quantized()}
    ranges = {name: layer.finish(observer, own[name], percentile) for name, layer in layers.items()}
    if observer != "heads" or set(own.values()) <= {16}:
        return ranges
    some = choose_pictures(paths, spec.height, spec.width)
    pictures = np.concatenate([float_picture(read_picture(path), spec)[0] for path in some])
    everything = {name: layer.finish("minmax", bits) for name, layer in layers.items()}
    return refine(model, ranges, everything, pictures, bits, per_channel, team)


def observe_layers(graph: Graph, spec: InputSpec, paths: Sequence[Path], team: Team) -> dict[str, LayerObserver]:
    """What every quantized layer saw at its input, in execution order. Raises DataError."""
    shards = team.spread(partial(_Observing, graph, spec), paths)
    with count_progress(len(paths), "calibrating", "picture") as count:
        shards.call("watch", on_result=count)
    layers = {conv.name: LayerObserver() for conv in graph.quantized()}
    for (found,) in shards.call("found"):
        for name, layer in layers.items():
            layer.merge(found[name])
    for name, layer in layers.items():
        if not np.isfinite([layer.low, layer.high]).all():
            raise DataError(
                f"layer {name}: its input became NaN or infinite during calibration; the weights are damaged"
            )
    return layers


class _Observing:
    """A shard of the pictures, and what the layers saw of them."""

    def __init__(self, graph: Graph, spec: InputSpec, paths: Sequence[Path]) -> None:
        self._runner = FloatRunner(graph)
        self._layers = {conv.name: LayerObserver() for conv in graph.quantized()}
        self._spec = spec
        self._paths = paths

    def watch(self) -> Iterator[None]:
        """Runs the network, picture by picture."""
        for path in self._paths:
            picture, _ = float_picture(read_picture(path), self._spec)
            self._runner.run(picture, lambda name, values: self._layers[name].see(values))
            yield

    def found(self) -> list[dict[str, LayerObserver]]:
        return [self._layers]
