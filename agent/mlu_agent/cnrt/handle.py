"""What all handles of the runtime have in common: explicit, idempotent close; a leak warns."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from .library import Library

Self = TypeVar("Self", bound="Handle")


class Handle:
    """An object of the runtime library that must be closed.

    Subclasses release their object in ``_release``, which runs at most once.
    """

    def __init__(self, library: Library) -> None:
        self.library = library
        self._open = True

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called (or the constructor failed)."""
        return not self._open

    def close(self) -> None:
        """Releases the object; a second call does nothing."""
        if self._open:
            self._open = False
            self._release()

    def _release(self) -> None:
        raise NotImplementedError

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_open", False):
            # Not released here: destroying out of order could free what a running invocation uses.
            warnings.warn(f"{type(self).__name__} was never closed", ResourceWarning, source=self, stacklevel=2)
