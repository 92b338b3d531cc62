"""Progress bars on stderr, only where a person watches: the one door of tqdm."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from tqdm import tqdm  # type: ignore[import-untyped,unused-ignore]

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Item = TypeVar("Item")


def show_progress(items: Sequence[Item], description: str, unit: str = "picture") -> Iterator[Item]:
    """The items one by one; a bar moves on a terminal, and nothing is written elsewhere."""
    yield from tqdm(items, desc=description, unit=unit, disable=None)


@contextmanager
def count_progress(total: int, description: str, unit: str = "picture") -> Iterator[Callable[[object], bool]]:
    """The same for work that others do: a function to call with each result; it returns False, for "go on"."""
    with tqdm(total=total, desc=description, unit=unit, disable=None) as bar:
        yield lambda _: bar.update() is None and False
