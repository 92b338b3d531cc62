"""How far outputs are from the float network's: ranges are refined, rules chosen and learning judged by it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlu_agent.model.output_spec import SHAPED, TENSORS

from .head_parts import head_parts

if TYPE_CHECKING:
    from ..values.arrays import FloatArray
    from ..values.graph import ImportedModel

BOX_WEIGHT = 0.2
# Every output has its say: there are no boxes, or masks, keypoints and angles beside them that would be left out.
WHOLE = (TENSORS, *SHAPED)


def error_of(model: ImportedModel) -> type[DetectionError] | type[TensorError]:
    """The distance that fits the network's outputs."""
    return TensorError if model.decode in WHOLE else DetectionError


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
