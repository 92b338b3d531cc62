"""What others are told of a model in service; it travels with each frame that the model looks at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .bundle import ModelSpec, Thresholds


LAST_GOOD = "last_good"  # the flag of a model that serves because the one it was to be is refused


@dataclass(frozen=True)
class ModelInfo:
    """The model behind detections. ``version`` is free text of the manifest's provenance, or "". ``labels``: of each
    class_id. ``runtime``: "device" or "simulator". ``flags``: what is to be known of that runtime's answers.
    ``classes``: the labels that are looked for, each with its confidence; empty: all of them."""

    name: str
    version: str
    sha256: str
    confidence: float
    iou: float
    max_detections: int
    labels: tuple[str, ...]
    runtime: str
    flags: tuple[str, ...] = ()
    classes: tuple[tuple[str, float], ...] = ()

    @staticmethod
    def of(spec: ModelSpec, thresholds: Thresholds, runtime: str, flags: tuple[str, ...] = ()) -> ModelInfo:
        """A model as it runs: with the thresholds in force, on one runtime."""
        return ModelInfo(
            spec.name,
            spec.provenance.get("version", ""),
            spec.sha256,
            thresholds.confidence,
            thresholds.iou,
            thresholds.max_detections,
            spec.labels,
            runtime,
            (*flags, *([LAST_GOOD] if spec.packed is not None and spec.packed.refused else [])),
        )
