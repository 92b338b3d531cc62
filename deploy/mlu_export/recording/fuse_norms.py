"""Layer normalisation that is written out as arithmetic, recognised, and the factors and summands behind it."""

from __future__ import annotations

from typing import Any

import numpy as np

from .values import Constant, Value, new_identity


def layer_norm(centred: Value, root: Value) -> Value | None:
    """``(x - mean) / sqrt(mean of squares + eps)`` over the last axes."""
    root = _whole(root)
    line = root.inputs[0] if _is(root, "activation", function="sqrt") else None
    if line is None or line.operation != "affine" or not _is(centred, "binary", kind="sub"):
        return None
    alpha, beta = (line.attributes[key].array for key in ("alpha", "beta"))
    x, mean = centred.inputs[0], _whole(centred.inputs[1])
    variance = line.inputs[0]
    rank = len(x.shape)
    if not _is(mean, "reduce", kind="mean") or mean.inputs != (x,) or not _is(variance, "reduce", kind="mean"):
        return None
    axes = mean.attributes["axes"]
    squares = variance.inputs[0]
    fits = variance.attributes["axes"] == axes == tuple(range(axes[0], rank)) and axes[0] > 0
    if not fits or not _is(squares, "binary", kind="mul") or squares.inputs != (centred, centred):
        return None
    eps = float(beta.flat[0])
    if (alpha != 1).any() or (beta != beta.flat[0]).any() or eps <= 0:
        return None
    attributes = {"first": axes[0], "eps": eps, "gamma": None, "beta": None}
    return Value(x.shape, x.half, "layer_norm", (x,), attributes)


def with_line(value: Value) -> Value | None:
    """A factor, then a summand, for each place of the axes of a layer normalisation become its own."""
    norm = value.inputs[0]
    if norm.operation != "layer_norm" or norm.attributes["beta"] is not None:
        return None
    alpha, beta = (value.attributes[key].array for key in ("alpha", "beta"))
    if alpha.ndim == 1:
        return None
    first = norm.attributes["first"] - 1  # the numbers have no axis of pictures
    own = [_of_last(one, first) for one in (alpha, beta)]
    if any(one is None for one in own):
        return None
    attributes = dict(norm.attributes)
    if (beta == 0).all() and attributes["gamma"] is None:
        attributes["gamma"] = own[0]
    elif (alpha == 1).all():
        attributes["beta"] = own[1]
    else:
        return None
    return Value(norm.shape, norm.half, "layer_norm", norm.inputs, attributes)


def _of_last(array: Any, first: int) -> Constant | None:
    """The numbers of the axes from ``first`` on, if they are the same everywhere else."""
    rows = array.reshape(-1, *array.shape[first:])
    same = (rows == rows[0]).all()
    return Constant(np.ascontiguousarray(rows[0], np.float32), new_identity()) if same else None


def _whole(value: Value) -> Value:
    return value.inputs[0] if value.operation == "expand" else value


def _is(value: Value, operation: str, **attributes: Any) -> bool:
    return value.operation == operation and all(value.attributes.get(key) == one for key, one in attributes.items())
