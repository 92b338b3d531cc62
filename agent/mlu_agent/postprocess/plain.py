"""The outputs of a model without a meaning known here -> Tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..model.output_spec import stored_shape
from ..tensors import Tensors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ..model.output_spec import PlainSpec


def read_tensors(outputs: Sequence[NDArray[Any]], plain: Sequence[PlainSpec], batch: int, image: int) -> Tensors:
    """Those of the picture number ``image`` of a batch; ``outputs`` are whole ones, whose memory is used again."""
    arrays = [_array(output.reshape(batch, -1)[image], spec.shape) for output, spec in zip(outputs, plain)]
    return Tensors(tuple(spec.name for spec in plain), tuple(arrays))


def _array(numbers: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """In the network's order: its N, C, H, W lies in the file as N, H, W, C, its N, C, H as N, H, 1, C."""
    stored = numbers.reshape(stored_shape(shape))
    if len(shape) in (3, 4):
        stored = stored.transpose(0, 3, 1, 2)
    return np.array(stored, order="C").reshape(shape)
