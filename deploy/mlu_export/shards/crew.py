"""What workers of every kind have in common: how they are asked, what they do at the far end, how they answer."""

from __future__ import annotations

import os
import traceback
from typing import TYPE_CHECKING, Any, Callable, Protocol

from mlu_agent.errors import MluAgentError, UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Make = Callable[[Any], Any]  # a shard's items -> its state; pickled, so a function or class of a module, or a partial
ITEMS_FOR_A_PROCESS = 16  # fewer are done before another process has started


class Member(Protocol):
    """One worker: answers come in the order of what was asked; what went wrong there is raised here."""

    def ask(self, verb: str, *arguments: Any) -> None: ...

    def answer(self) -> Any: ...

    def close(self) -> None: ...


class Crew(Protocol):
    """Workers of one kind."""

    @property
    def members(self) -> Sequence[Member]: ...

    def ready(self, waiting: Sequence[Member]) -> Sequence[Member]:
        """Blocks until some of those that were asked have an answer, and returns them."""
        ...

    def close(self) -> None: ...


class Host:
    """The far end: one shard's state, and the results of a call that were not taken yet."""

    def __init__(self) -> None:
        self._state: Any = None
        self._running: Iterator[Any] = iter(())

    def enter(self, folder: str) -> None:
        """Works in that folder, to which relative paths belong."""
        try:
            os.chdir(folder)
        except OSError as error:
            raise UserError(
                f"a worker's machine has no folder {folder} ({error.strerror}): all machines of the cluster must see "
                "the files at the same paths"
            ) from error

    def make(self, make: Make, shard: Sequence[Any]) -> None:
        self._state = None  # the old one's memory is free before the new one takes its own
        self._state = make(shard)

    def begin(self, name: str, arguments: tuple[Any, ...]) -> None:
        self._running = iter(getattr(self._state, name)(*arguments))

    def take(self) -> tuple[Any, ...]:
        """The next result in a tuple; an empty one at the end."""
        return next(((value,) for value in self._running), ())

    def reply(self, verb: str, arguments: tuple[Any, ...]) -> tuple[str, Any]:
        """``("value", result)`` or ``("error", (exception, its traceback))``, whatever happens."""
        try:
            return "value", getattr(self, verb)(*arguments)
        except Exception as error:
            return "error", (error, traceback.format_exc())


class WorkerTraceback(Exception):
    """The cause of an error that was raised in another process: the traceback there."""


def open_reply(reply: tuple[str, Any]) -> Any:
    """The value, or the worker's error raised: errors of the user with their sentence, others with their traceback."""
    kind, content = reply
    if kind == "value":
        return content
    error, text = content
    raise error from (None if isinstance(error, MluAgentError) else WorkerTraceback(text))


def usual_workers(items: int, passes: int = 1) -> int:
    """One for each processor that this process may use, and no more than the work is worth: so many items, that many
    times."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(processors, items, items * passes // ITEMS_FOR_A_PROCESS))
