"""The sinks of a configuration: whoever adds one enters it here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

from .publisher import Publisher

if TYPE_CHECKING:
    import contextlib

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
    for sink in SINKS:
        sinks.append(sink(config, ledger.sink(sink.name), log, wake))
        exits.callback(sinks[-1].close)
    return sinks
