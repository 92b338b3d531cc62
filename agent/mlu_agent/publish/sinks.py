"""The sinks of a configuration: whoever adds one enters it here."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any, Callable

from .publisher import Publisher

if TYPE_CHECKING:
    from ..config import PublishConfig
    from ..ledger import Ledger
    from .sink import Sink, SinkNote

SINKS = (Publisher,)


def notes(config: PublishConfig) -> list[SinkNote]:
    """What can be said of every sink that the configuration names, none of them opened. Raises UserError."""
    return [sink.note(config) for sink in SINKS]


def open_sinks(
    config: PublishConfig, ledger: Ledger, log: Any, wake: Callable[[], None], exits: contextlib.ExitStack
) -> list[Sink]:
    """Every sink that the configuration names, until ``exits`` closes them; people are told of the first.

    ``wake()`` is called, in any thread, when somebody came to a sink while no one was looking. Raises UserError.
    """
    sinks: list[Sink] = []
    with contextlib.ExitStack() as opened:
        opened.callback(_close_all, sinks)
        for sink in SINKS:
            sinks.append(sink(config, ledger.sink(sink.name), log, wake))  # noqa: PERF401 - those opened are closed
        exits.push(opened.pop_all())
    return sinks


def _close_all(sinks: list[Sink]) -> None:
    """At the same time: what the listeners of one take to get their last messages is not taken from the others'."""
    threads = [threading.Thread(target=sink.close, daemon=True) for sink in sinks[1:]]
    for thread in threads:
        thread.start()
    for sink in sinks[:1]:
        sink.close()
    for thread in threads:
        thread.join()
