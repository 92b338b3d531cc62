"""Which of a model's candidates a source wants: some of the classes, each sure enough.

A class whose confidence lies below the model's threshold works too: heads are decoded with the least that any wanted
class asks for. What is not wanted goes before suppression, so that ``max_detections`` counts only what is; as
suppression is per class and by confidence, nothing that stays is another than it would be afterwards.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ..model.bundle import Thresholds
    from ..model.info import ModelInfo
    from .candidates import Candidates


@dataclass(frozen=True, eq=False)
class Choice:
    """``thresholds``: what to decode and suppress with. ``least`` float32 (classes,): of each class the confidence that
    it needs, infinite where it is not wanted; None where all are, at that of the thresholds. ``info``: what is told of
    the model to whoever reads what was chosen."""

    thresholds: Thresholds
    least: NDArray[np.float32] | None
    info: ModelInfo


def choose(classes: Sequence[tuple[str, float]], confidence: float, thresholds: Thresholds, info: ModelInfo) -> Choice:
    """What a source wants that names these labels, each with its own confidence or 0, and has this ``confidence`` for
    the others or 0; no label at all: all of them. ``thresholds``: the model's."""
    usual = confidence or thresholds.confidence
    told = dataclasses.replace(info, confidence=usual, classes=tuple((label, own or usual) for label, own in classes))
    if not classes:
        return Choice(dataclasses.replace(thresholds, confidence=usual), None, told)
    wanted = dict(told.classes)
    least = np.array([wanted.get(label, np.inf) for label in info.labels], np.float32)
    return Choice(dataclasses.replace(thresholds, confidence=min(wanted.values())), least, told)


def keep_wanted(found: Candidates, least: NDArray[np.float32] | None) -> tuple[Candidates, int]:
    """The candidates that are sure enough for their class, and how many are not."""
    if least is None or not len(found.confidence):
        return found, 0
    wanted = (found.confidence >= least.take(found.class_id)).nonzero()[0]
    left_out = len(found.confidence) - len(wanted)
    if not left_out:
        return found, 0
    return found.at(wanted), left_out
