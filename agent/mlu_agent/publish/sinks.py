"""The sinks of a configuration: whoever adds one enters it here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

from .publisher import Publisher

if TYPE_CHECKING:
    import contextlib

    from ..config import PublishConfig
    from ..ledger import Ledger
    from .sink import Sink


def open_sinks(
    config: PublishConfig, ledger: Ledger, log: Any, wake: Callable[[], None], exits: contextlib.ExitStack
) -> list[Sink]:
    """Every sink that the configuration names, until ``exits`` closes them; people are told of the first.

    ``wake()`` is called, in any thread, when somebody came to a sink while no one was looking. Raises UserError.
    """
    sinks: list[Sink] = []
    for sink in (Publisher,):
        sinks.append(sink(config, ledger.sink(sink.name), log, wake))
        exits.callback(sinks[-1].close)
    return sinks
