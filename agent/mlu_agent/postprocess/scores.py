"""Which classes of the gathered cells become candidates: confidence = objectness x class score."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .logits import MARGIN, sigmoid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Picked = tuple[NDArray[np.intp], NDArray[Any], Floats]


def pick_classes(
    objectness: Floats, classes: Floats, confidence: float, *, multi_label: bool, activated: bool = False
) -> Picked:
    """(row, class, confidence) of what reaches ``confidence``: of each row the best class, or all of them.

    ``objectness``  (N,) probabilities; ``classes`` (N, C) logits, or probabilities if ``activated``.
    """
    if not len(objectness):
        return np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0, np.float32)
    if multi_label:
        row, class_id = _may_reach(objectness, classes, confidence, activated)
    else:
        row, class_id = np.arange(len(classes)), classes.argmax(axis=1)
    values = classes[row, class_id]
    score = objectness[row] * (values if activated else sigmoid(values))
    passed = score >= np.float32(confidence)
    return row[passed], class_id[passed], score[passed]


def _may_reach(
    objectness: Floats, classes: Floats, confidence: float, activated: bool
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(row, class) of every pair that may pass; again logits are compared first."""
    needed = np.minimum(confidence / np.maximum(objectness, 1e-30), 1.0).astype(np.float64)
    if activated:
        limit = (needed * (1 - MARGIN)).astype(np.float32)
    else:
        with np.errstate(divide="ignore"):
            limit = (np.log(needed) - np.log1p(-needed) - MARGIN).astype(np.float32)
        # needed = 1 asks for an infinite logit; sigmoid rounds to 1 from 17 on
        limit = np.minimum(limit, np.float32(16))
    row, class_id = np.nonzero(classes >= limit[:, None])
    return row, class_id
