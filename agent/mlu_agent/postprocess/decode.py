"""Heads of one picture -> candidate boxes in network pixels, by the decode rule of the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import anchor_free
from .anchored import AnchoredDecoder
from .candidates import Candidates, join
from .priors import PriorDecoder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ..model.bundle import InputSpec, OutputSpec


class HeadDecoder:
    """Decodes the heads of one model; for one thread, as it keeps its scratch memory."""

    def __init__(self, spec: OutputSpec, size: InputSpec, classes: int) -> None:
        self._spec = spec
        self._size = size
        self._classes = classes
        self._anchored = AnchoredDecoder(spec, classes)
        self._priors = None if spec.priors is None else PriorDecoder(spec.priors, size, classes)

    def __call__(self, outputs: Sequence[NDArray[Any]], confidence: float, *, multi_label: bool = False) -> Candidates:
        """All boxes of one picture with a confidence of at least ``confidence``.

        ``outputs``  float16 or float32 (H, W, C), in the order and of the shapes that ``spec.shapes`` gives.
        Raises ValueError if they are not that.
        """
        # Logits of +-100 and more overflow exp on purpose: 1 / (1 + inf) is the right 0, and a box of inf is dropped.
        with np.errstate(over="ignore", invalid="ignore"):
            if self._priors is not None:
                return self._priors(outputs, confidence, multi_label)
            if self._spec.anchored:
                return self._anchored(outputs, confidence, multi_label)
            levels = anchor_free.split_levels(outputs, self._spec, self._size, self._classes)
            return join([anchor_free.decode_level(level, self._spec, confidence, multi_label) for level in levels])
