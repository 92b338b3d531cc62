"""Where messages go: any number of sinks, each handed the same bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from mlu_client.codec import encode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Sink(Protocol):
    """Takes messages to somewhere outside of the process.

    ``name``      for people and for the ledger; one of a kind in a process.
    ``endpoint``  where its listeners find it, for the log.
    """

    name: str
    endpoint: str

    def send(self, data: bytes) -> None:
        """Takes one message, as ``mlu_client.codec.encode`` makes it. Called by any thread; never waits, and raises
        nothing that a listener could be the cause of. After ``close`` it does nothing."""

    def look_for_subscribers(self) -> bool:
        """Whether somebody came since the last look: then the last states are due again."""

    def fileno(self) -> int:
        """A descriptor that becomes readable when somebody may have come; -1 where there is none, or none any more."""

    def close(self) -> None:
        """Gives what is on its way a bounded time to leave; a second call does nothing."""


class Outlet:
    """All sinks together: a message is made into bytes once, and these are handed to each."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self.sinks = tuple(sinks)

    def send(self, topic: str, message: Mapping[str, Any]) -> None:
        """Encodes one message and hands it to every sink; never waits."""
        data = encode(topic, message)
        for sink in self.sinks:
            sink.send(data)

    def look_for_subscribers(self) -> bool:
        """Whether somebody came to any of the sinks since the last look."""
        came = [sink.look_for_subscribers() for sink in self.sinks]  # each is asked, whatever the first says
        return any(came)
