"""Overlap of boxes as it is defined, for tests that look whether two networks find the same."""

from __future__ import annotations

import numpy as np


def iou_matrix(a, b):
    """Intersection over union of each box of ``a`` (N, 4) with each of ``b`` (M, 4): (N, M), 0 for empty boxes."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    overlap = np.prod(np.maximum(high - low, 0), axis=-1)
    areas = [np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=-1) for boxes in (a, b)]
    union = areas[0][:, None] + areas[1][None, :] - overlap
    return np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)
