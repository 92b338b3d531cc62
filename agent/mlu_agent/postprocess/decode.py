"""Heads of one picture -> candidate boxes in network pixels, by the decode rule of the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import anchor_free, anchored
from .candidates import Candidates, join

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ..model.bundle import InputSpec, OutputSpec


def decode_heads(
    outputs: Sequence[NDArray[Any]],
    spec: OutputSpec,
    size: InputSpec,
    classes: int,
    confidence: float,
    *,
    multi_label: bool = False,
) -> Candidates:
    """All boxes of one picture with a confidence of at least ``confidence``.

    ``outputs``  float16 or float32 (H, W, C), in the order and of the shapes that ``spec.shapes`` gives.
    Raises ValueError if they are not that.
    """
    # Logits of +-100 and more overflow exp on purpose: 1 / (1 + inf) is the right 0, and a box of inf is dropped.
    with np.errstate(over="ignore", invalid="ignore"):
        if not spec.anchored:
            levels = anchor_free.split_levels(outputs, spec, size, classes)
            return join([anchor_free.decode_level(level, spec, confidence, multi_label) for level in levels])
        if len(outputs) != len(spec.heads):
            raise ValueError(f"{len(outputs)} outputs for {len(spec.heads)} heads; give one per head")
        return join(
            [
                anchored.decode_level(output, head, spec.decode, classes, confidence, multi_label)
                for output, head in zip(outputs, spec.heads)
            ]
        )
