"""Numbers of pickled YOLOv5 modules, each checked before it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlu_agent.errors import DataError

from ...formats.pickle_reader import class_name, shown, tensors
from ...values.graph import BatchNorm

if TYPE_CHECKING:
    import numpy.typing as npt

    from ...values.arrays import FloatArray


def batch_norm(norm: Any, channels: int, name: str) -> BatchNorm | None:
    """The batch-norm that a pickled module is, None if there is none; raises DataError if it is something else."""
    if norm is None or isinstance(norm, BatchNorm):
        return norm
    if class_name(norm) != "BatchNorm2d":
        raise DataError(f"layer {name}: normalisation {shown(class_name(norm))} is not supported; only BatchNorm2d is")
    held = tensors(norm)
    gamma, beta, mean, variance = (
        vector(held.get(key), channels, f"{name} batch-norm {key}")
        for key in ("weight", "bias", "running_mean", "running_var")
    )
    eps = norm.get("eps", 1e-3)
    if not isinstance(eps, float) or not 0 < eps < 1 or (variance < 0).any():
        raise DataError(f"layer {name}: batch-norm eps {shown(eps)} or a negative variance cannot be")
    return BatchNorm(gamma, beta, mean, variance, eps)


def halves(norm: BatchNorm, channels: int, name: str) -> tuple[BatchNorm, BatchNorm]:
    """A batch-norm behind a concatenation as two, one for the first ``channels`` and one for the rest."""
    if not 0 < channels < norm.gamma.size:
        raise DataError(
            f"layer {name}: a batch-norm of {norm.gamma.size} channels does not fit {channels} and some more"
        )
    first, rest = slice(channels), slice(channels, None)
    return _part(norm, first), _part(norm, rest)


def _part(norm: BatchNorm, part: slice) -> BatchNorm:
    return BatchNorm(norm.gamma[part], norm.beta[part], norm.mean[part], norm.variance[part], norm.eps)


def floats(values: npt.NDArray[Any] | None, what: str) -> FloatArray:
    """Values of a file as float32; raises DataError where they are missing, other numbers or not finite."""
    if values is None or values.dtype.kind != "f":
        raise DataError(f"{what} are missing or not floating-point numbers")
    with np.errstate(over="ignore"):
        result = values.astype(np.float32)
    if not np.isfinite(result).all():
        raise DataError(f"{what} hold NaN or infinite values; the file is damaged or training diverged")
    return result


def vector(values: npt.NDArray[Any] | None, count: int, what: str) -> FloatArray:
    """``count`` values in one row; raises DataError."""
    result = floats(values, what)
    if result.shape != (count,):
        raise DataError(f"{what}: {count} values are needed, the shape is {result.shape}")
    return result


def pair(value: Any, name: str, key: str) -> tuple[int, int]:
    """A number or two of a pickled layer: kernel, stride, padding or dilation, 0 to 255. Raises DataError."""
    both = value if isinstance(value, (tuple, list)) else (value, value)
    if len(both) != 2 or not all(isinstance(number, int) and 0 <= number <= 255 for number in both):
        raise DataError(f"layer {name}: {key} = {shown(value)} cannot be")
    return int(both[0]), int(both[1])


def at_least_one(both: tuple[int, int], name: str) -> tuple[int, int]:
    """The same two numbers; raises DataError if one of them is 0."""
    if min(both) < 1:
        raise DataError(f"layer {name}: a stride, kernel or dilation of zero cannot be")
    return both
