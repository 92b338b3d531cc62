"""What a tail has to tell to be recognised; each kind of file has its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .rows import Array


class Tail(Protocol):
    """What is behind a network's last convolutions."""

    @property
    def size(self) -> tuple[int, int]:
        """Of the input, height and width."""

    @property
    def outputs(self) -> Sequence[str]:
        """The tensors of the first end, by name."""

    @property
    def cuts(self) -> Mapping[str, tuple[int, ...]]:
        """The last convolutions, by name, with their shapes."""

    def run(self, arrays: Mapping[str, Array], end: int | None = None) -> Sequence[Sequence[Array]]:
        """The tensors that the network ends with, computed from those of the cuts: one list for each place where its
        end may be, or for that one alone. Raises DataError where nothing of it can be computed."""
