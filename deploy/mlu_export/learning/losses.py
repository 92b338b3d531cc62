"""How far head outputs are from the float network's: what is learned by, whose gradient exists, per picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..calibration.distance import BOX_WEIGHT, WHOLE
from ..calibration.head_parts import head_parts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..values.graph import ImportedModel

LEAST = 1e-6


def distance(model: ImportedModel, torch: Any, outputs: Sequence[Any], exact: Sequence[Any]) -> Any:
    """A scalar. Confidences are compared by cross-entropy (less that of the exact ones with themselves), which minds
    the small ones too; boxes by squares, as far as there is an object; plain tensors, and all those of
    heads that tell more than boxes, by squares against their energy.
    """
    if model.decode in WHOLE:
        terms = [
            ((one - other) ** 2).sum() / other.square().sum().clamp(min=LEAST) for one, other in zip(outputs, exact)
        ]
        return torch.stack(terms).sum()
    total = torch.zeros(())
    for found, wanted in zip(head_parts(model, torch, outputs), head_parts(model, torch, exact)):
        total = total + _entropy(found[1], wanted[1]) + _entropy(found[2], wanted[2])
        total = total + BOX_WEIGHT * (wanted[1] * (found[0] - wanted[0]) ** 2).sum()
    return total


def _entropy(found: Any, wanted: Any) -> Any:
    found, wanted = found.clamp(LEAST, 1 - LEAST), wanted.clamp(LEAST, 1 - LEAST)
    gained = wanted * (wanted.log() - found.log()) + (1 - wanted) * ((1 - wanted).log() - (1 - found).log())
    return gained.sum()
