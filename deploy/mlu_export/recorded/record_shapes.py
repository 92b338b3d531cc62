"""Operators that only move elements, written with reshapes and permutations; and constants as parts of a result."""

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
    }


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
