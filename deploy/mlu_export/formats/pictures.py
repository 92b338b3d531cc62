"""Pictures from disk, and as the float network wants them: what calibration, evaluation and benchmarks share.

They go through the agent's own preprocessing, so that all of these see the pixels that the box will see.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from mlu_agent.errors import DataError, UserError
from mlu_agent.model.bundle import InputSpec
from mlu_agent.preprocess import preprocess

if TYPE_CHECKING:
    from pathlib import Path

    from mlu_agent.geometry import Letterbox

    from ..values.arrays import FloatArray
    from ..values.graph import Graph
    from ..values.pixels import Preprocessing

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
