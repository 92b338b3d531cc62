"""A network's outputs for one picture, as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Tensors:
    """The outputs of a network for one frame, in the container's order.

    ``names``    of each.
    ``arrays``   each with its own memory, in the axis order of the network that the model was made from.
    ``invalid``, ``filtered``  always 0: what the numbers mean is not known here.
    """

    names: tuple[str, ...]
    arrays: tuple[NDArray[Any], ...]
    invalid: int = 0
    filtered: int = 0

    def __post_init__(self) -> None:
        if len(self.names) != len(self.arrays):
            raise ValueError(f"{len(self.names)} names for {len(self.arrays)} arrays: give one each")

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Of each."""
        return tuple(array.shape for array in self.arrays)

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Of each, in numpy's words: "float16", "float32"."""
        return tuple(array.dtype.name for array in self.arrays)

    def __len__(self) -> int:
        return len(self.names)
