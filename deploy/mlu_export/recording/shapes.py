"""Operators that only move elements, written with slices, reshapes and permutations; constants as parts of a result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

from .values import Constant, UnsupportedError, Value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def shuffles(table: Mapping[str, Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    """The recorders of pixel and channel shuffles; ``table`` has those that they are made of."""
    reshape, permute = table["aten.reshape.default"], table["aten.permute.default"]

    def pixel_shuffle(x: Value, factor: int) -> Any:
        """Blocks of ``factor * factor`` channels become squares of pixels."""
        n, channels, height, width = x.shape
        parts = reshape(x, (n, channels // factor**2, factor, factor, height, width))
        return reshape(permute(parts, (0, 1, 4, 2, 5, 3)), (n, -1, height * factor, width * factor))

    def pixel_unshuffle(x: Value, factor: int) -> Any:
        n, channels, height, width = x.shape
        parts = reshape(x, (n, channels, height // factor, factor, width // factor, factor))
        return reshape(permute(parts, (0, 1, 3, 5, 2, 4)), (n, -1, height // factor, width // factor))

    def channel_shuffle(x: Value, groups: int) -> Any:
        n, channels, *rest = x.shape
        parts = reshape(x, (n, groups, channels // groups, *rest))
        return reshape(permute(parts, (0, 2, 1, *range(3, len(parts.shape)))), x.shape)

    return {
        "aten.pixel_shuffle.default": pixel_shuffle,
        "aten.pixel_unshuffle.default": pixel_unshuffle,
        "aten.channel_shuffle.default": channel_shuffle,
        "aten.native_channel_shuffle.default": channel_shuffle,
        "aten.repeat.default": lambda x, counts: _repeat(table, x, counts),
        "aten.flip.default": lambda x, dims: _flip(table, x, dims),
        "aten.index.Tensor": lambda x, indices: _index(table, x, indices),
        "aten.replication_pad2d.default": lambda x, pads: _replicate(table, x, pads),
        "aten.adaptive_max_pool2d.default": lambda x, size: _largest(table, x, size),
        "aten.max.dim": lambda x, dim, keep=False: (table["aten.amax.default"](x, (dim,), keep), None),
    }


def _joined(table: Mapping[str, Callable[..., Any]], x: Value, dim: int, runs: Sequence[tuple[int, int]]) -> Any:
    """Slices of one axis, each from the first number to before the second, one behind the other."""
    return table["aten.cat.default"]([table["aten.slice.Tensor"](x, dim, *run) for run in runs], dim)


def _repeat(table: Mapping[str, Callable[..., Any]], x: Value, counts: Sequence[int]) -> Any:
    made: Any = table["aten.reshape.default"](x, (*[1] * (len(counts) - len(x.shape)), *x.shape))
    for dim, count in enumerate(counts):
        made = made if count == 1 else table["aten.cat.default"]([made] * int(count), dim)
    return made


def _flip(table: Mapping[str, Callable[..., Any]], x: Value, dims: Sequence[int]) -> Any:
    made = x
    for dim in dims:
        axis = dim % len(x.shape)
        made = _joined(table, made, axis, [(place, place + 1) for place in reversed(range(x.shape[axis]))])
    return made


def _index(table: Mapping[str, Callable[..., Any]], x: Value, indices: Sequence[Any]) -> Any:
    """Places of one axis, known beforehand: neighbours are taken together."""
    given = [(axis, one) for axis, one in enumerate(indices) if one is not None]
    known = len(given) == 1 and isinstance(given[0][1], Constant) and given[0][1].array.dtype.kind in "iu"
    if not known or given[0][1].array.ndim != 1:
        raise UnsupportedError("indexing by more than a list of places of one axis has no operator; use slices")
    axis, places = given[0][0], [int(place) % x.shape[given[0][0]] for place in given[0][1].array]
    runs: list[tuple[int, int]] = []
    for place in places:
        if runs and runs[-1][1] == place:
            runs[-1] = (runs[-1][0], place + 1)
        else:
            runs.append((place, place + 1))
    return _joined(table, x, axis, runs)


def _replicate(table: Mapping[str, Callable[..., Any]], x: Value, pads: Sequence[int]) -> Any:
    left, right, top, bottom = (int(pad) for pad in pads)
    made = x
    for axis, before, behind in ((3, left, right), (2, top, bottom)):
        last = x.shape[axis]
        made = _joined(table, made, axis, [*[(0, 1)] * before, (0, last), *[(last - 1, last)] * behind])
    return made


def _largest(table: Mapping[str, Callable[..., Any]], x: Value, size: Any) -> Any:
    if [int(one) for one in ([size] if isinstance(size, int) else size)] not in ([1], [1, 1]):
        raise UnsupportedError(f"adaptive max-pooling to {size} has no operator; to 1 has, or a pool with a window")
    return table["aten.amax.default"](x, (2, 3), True), None


def as_values(table: Mapping[str, Callable[..., Any]], tensors: Sequence[Any]) -> list[Value]:
    """Results of the network as they are, constants as results: added to zeros made of a number of each picture."""
    source = next((one for one in tensors if isinstance(one, Value)), None)
    if source is None:
        raise UnsupportedError("putting constant tensors alone together has no operator; do it once, on the host")
    return [one if isinstance(one, Value) else _as_value(table, one, source) for one in tensors]


def _as_value(table: Mapping[str, Callable[..., Any]], constant: Constant, source: Value) -> Value:
    array, pictures = constant.array, source.shape[0]
    if array.ndim < 1 or array.shape[0] not in (1, pictures) or (array != array[:1]).any():
        raise UnsupportedError(
            f"a concatenation with a constant {array.shape} that differs from picture to picture has no operator; add "
            "it on the host"
        )
    zeros = source
    for axis in range(1, len(source.shape)):
        zeros = table["aten.slice.Tensor"](zeros, axis, 0, 1)
    zeros = table["aten.clamp.default"](zeros, 0.0, 0.0)
    zeros = table["aten.reshape.default"](zeros, (pictures, *[1] * (array.ndim - 1)))
    made: Value = table["aten.add.Tensor"](zeros, Constant(array[:1], constant.identity))
    return made
