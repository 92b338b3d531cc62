"""Pictures from disk, and as the float network wants them: what calibration, evaluation and benchmarks share.

They go through the agent's own reader and preprocessing, so that all of these see the pixels that the box will see.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from mlu_agent.config.fields import show
from mlu_agent.errors import UserError
from mlu_agent.model.bundle import InputSpec
from mlu_agent.preprocess import preprocess
from mlu_agent.sources.decode import SUFFIXES, has_picture_name, read_picture

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from mlu_agent.geometry import Letterbox

    from ..values.arrays import FloatArray
    from ..values.graph import Graph
    from ..values.pixels import Preprocessing
__all__ = ["SUFFIXES", "float_input", "float_picture", "list_pictures", "other_kinds", "read_picture"]

MOST_KINDS = 5  # that a sentence names


def list_pictures(directory: Path) -> list[Path]:
    """Picture files directly in a folder, by name; raises UserError if there are none."""
    if not directory.is_dir():
        raise UserError(f"{directory} is not a folder; give a folder of pictures")
    found = sorted(path for path in directory.iterdir() if has_picture_name(path.name) and path.is_file())
    if not found:
        raise UserError(f"{directory} holds no pictures ({', '.join(SUFFIXES)}); give the folder that holds them")
    return found


def other_kinds(directory: Path) -> str:
    """How many files of a folder of pictures are none by their names, and their kinds; "" if there are none."""
    files = [path for path in directory.iterdir() if not path.name.startswith(".") and path.is_file()]
    others = Counter(path.suffix.lower() for path in files if not has_picture_name(path.name))
    if not others:
        return ""
    kinds = [show(kind)[1:-1] or "without any" for kind, _ in others.most_common(MOST_KINDS)]
    more = f" and {len(others) - MOST_KINDS} more" if len(others) > MOST_KINDS else ""
    return f"{sum(others.values())} files of other kinds in {directory} are left out: {', '.join(kinds)}{more}"


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
