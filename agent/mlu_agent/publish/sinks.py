"""The sinks of a configuration: whoever adds one enters it here."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Callable

from .publisher import Publisher
from .sink import Outlet

if TYPE_CHECKING:
    from ..config import PublishConfig
    from ..ledger import Ledger
    from .sink import Sink, SinkNote

SINKS = (Publisher,)


def notes(config: PublishConfig) -> list[SinkNote]:
    """What can be said of every sink that the configuration names, none of them opened. Raises UserError."""
    return [sink.note(config) for sink in SINKS]


def open_outlet(
    config: PublishConfig, ledger: Ledger, log: Any, wake: Callable[[], None], exits: contextlib.ExitStack
) -> Outlet:
    """Every sink that the configuration names, until ``exits`` closes them; people are told of the first.

    ``wake()`` is called, in any thread, when somebody came to a sink while no one was looking. Raises UserError.
    """
    with contextlib.ExitStack() as opened:
        sinks: list[Sink] = []
        for sink in SINKS:
            sinks.append(sink(config, ledger.sink(sink.name), log, wake))
            opened.callback(sinks[-1].close)
        outlet = Outlet(sinks, ledger, log)
        opened.pop_all()
    exits.callback(outlet.close)
    return outlet
