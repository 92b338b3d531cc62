"""Windows over pictures (N, H, W, C): what pools and other operators read tap by tap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def taps(
    values: Any, kernel: Sequence[int], stride: Sequence[int], before: Sequence[int], size: Sequence[int], fill: float
) -> Iterator[Any]:
    """Tap by tap in order, the values (N, rows, cols, C) under a kernel; ``fill`` outside the picture."""
    need = [(size[axis] - 1) * stride[axis] + kernel[axis] for axis in (0, 1)]
    after = [max(0, need[axis] - before[axis] - values.shape[1 + axis]) for axis in (0, 1)]
    wide = torch.nn.functional.pad(values, (0, 0, before[1], after[1], before[0], after[0]), value=fill)
    for y in range(kernel[0]):
        for x in range(kernel[1]):
            rows = slice(y, y + (size[0] - 1) * stride[0] + 1, stride[0])
            cols = slice(x, x + (size[1] - 1) * stride[1] + 1, stride[1])
            yield wide[:, rows, cols]


def counts(size: int, kernel: int, stride: int, before: int, out: int) -> Any:
    """How many taps of each window lie inside, along one axis, as float32."""
    starts = torch.arange(out) * stride - before
    inside = (starts + kernel).clamp(max=size) - starts.clamp(min=0)
    return inside.float()


def in_order(values: Any, start: float, step: Any) -> Any:
    """Folds the first axis with ``step(total, value)``, in ascending order, from ``start``."""
    total = torch.full(values.shape[1:], start)
    for value in values:
        total = step(total, value)
    return total


def larger(best: Any, value: Any) -> Any:
    """``value > best ? value : best``."""
    return torch.where(value > best, value, best)
