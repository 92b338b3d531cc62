"""The numbers of a classifier -> Classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..classes import Classes
from .logits import sigmoid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

ROUNDING = 2e-3  # beyond 0..1: a float16 rounds a sum of probabilities to so much; what is further is no confidence


def classify(
    numbers: NDArray[Any],
    labels: Sequence[str],
    activation: str,
    confidence: float,
    top: int,
    least: Floats | None = None,
) -> Classes:
    """The ``top`` classes of at least ``confidence``.

    ``numbers``     float16 or float32, one per label.
    ``activation``  what is still to be applied: "softmax", "sigmoid", or "none": the numbers are confidences.
    ``least``       the confidence that each class needs, see ``Choice``; None: none of its own.

    A number that is not finite takes no part and is counted; nor does one that after the activation is further than
    ROUNDING beyond 0..1. What is nearer is clipped to 0..1.
    """
    values = np.asarray(numbers, np.float32).reshape(-1)
    if len(values) != len(labels):
        raise ValueError(f"{len(values)} numbers for {len(labels)} labels: give one each")
    ids = np.isfinite(values).nonzero()[0]
    with np.errstate(over="ignore"):  # of exp: 1 / inf is the right 0
        scores = _ACTIVATIONS[activation](values[ids])
    ids, scores = _where((scores >= -ROUNDING) & (scores <= 1 + ROUNDING), ids, scores)
    scores = np.clip(scores, 0, 1)
    invalid = len(values) - len(ids)
    ids, scores = _where(scores >= np.float32(confidence), ids, scores)
    sure = len(ids)
    if least is not None:
        ids, scores = _where(scores >= least[ids], ids, scores)
    order = np.argsort(-scores, kind="stable")[:top]
    chosen = ids[order]
    named = tuple(labels[number] for number in chosen.tolist())
    return Classes(chosen.astype(np.int32), named, scores[order].astype(np.float32), invalid, sure - len(ids))


def _where(right: NDArray[np.bool_], ids: NDArray[Any], scores: Floats) -> tuple[NDArray[Any], Floats]:
    return ids[right], scores[right]


def _softmax(values: Floats) -> Floats:
    if not len(values):
        return values
    powers = np.exp(values - values.max())
    shares: Floats = powers / powers.sum(dtype=np.float32)
    return shares


_ACTIVATIONS = {"none": lambda values: values, "softmax": _softmax, "sigmoid": sigmoid}
