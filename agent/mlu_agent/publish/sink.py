"""Where messages go: any number of sinks, each handed the same bytes."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from mlu_client.codec import encode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..ledger import Ledger, SinkAccount


@dataclass(frozen=True)
class SinkNote:
    """What can be said of a configured sink without opening it: ``lines`` to people, ``fields`` to programs."""

    lines: tuple[str, ...]
    fields: Mapping[str, Any]


class Sink(Protocol):
    """Takes messages to somewhere outside of the process.

    ``name``      for people and for the ledger; one of a kind in a process.
    ``endpoint``  where its listeners find it, for the log.
    ``linger_s``  the longest that ``close`` takes, seconds.
    """

    name: str
    endpoint: str
    linger_s: float

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

    def __init__(self, sinks: Sequence[Sink], ledger: Ledger, log: Any) -> None:
        self.sinks = tuple(sinks)
        self._guarded = [_Guarded(sink, ledger.sink(sink.name), log) for sink in self.sinks]

    @property
    def endpoint(self) -> str:
        """The endpoint that people are told: that of the first sink."""
        return self.sinks[0].endpoint

    @property
    def linger_s(self) -> float:
        """The longest that any of the sinks takes to close, seconds."""
        return max(sink.linger_s for sink in self.sinks)

    def send(self, topic: str, message: Mapping[str, Any]) -> None:
        """Encodes one message and hands it to every sink; never waits. A sink that fails loses it alone."""
        data = encode(topic, message)
        for sink in self._guarded:
            sink.send(data)

    def look_for_subscribers(self) -> bool:
        """Whether somebody came to any of the sinks since the last look."""
        came = [sink.look_for_subscribers() for sink in self._guarded]  # each is asked, whatever the first says
        return any(came)

    def filenos(self) -> list[int]:
        """What becomes readable when somebody may have come to a sink."""
        return [descriptor for descriptor in (sink.fileno() for sink in self._guarded) if descriptor >= 0]

    def close(self) -> None:
        """Closes all sinks at a time, so that it takes as long as the slowest of them."""
        closing = [threading.Thread(target=sink.close, name=f"closing {sink.name}") for sink in self._guarded]
        for thread in closing:
            thread.start()
        for thread in closing:
            thread.join()


class _Guarded:
    """A sink whose failures are counted and told, each kind once until the sink works again, and go no further."""

    def __init__(self, sink: Sink, account: SinkAccount, log: Any) -> None:
        self.name = sink.name
        self._sink = sink
        self._account = account
        self._log = log
        self._lock = threading.Lock()
        self._told: set[tuple[str, type[Exception]]] = set()

    def send(self, data: bytes) -> None:
        try:
            self._sink.send(data)
        except Exception as error:  # whatever a sink meets must not stop the others, nor the thread that sends
            self._failed(error)
        else:
            self._worked()

    def look_for_subscribers(self) -> bool:
        try:
            return self._sink.look_for_subscribers()
        except Exception as error:
            self._tell("a sink fails to say who came", error)
            return False

    def fileno(self) -> int:
        try:
            return self._sink.fileno()
        except Exception as error:
            self._tell("a sink fails to say who came", error)
            return -1

    def close(self) -> None:
        try:
            self._sink.close()
        except Exception as error:
            self._tell("a sink fails to close", error)

    def _failed(self, error: Exception) -> None:
        self._account.count_lost()
        self._tell("a sink fails: its messages are lost", error)

    def _tell(self, event: str, error: Exception) -> None:
        kind = type(error)
        with self._lock:
            new = (event, kind) not in self._told
            self._told.add((event, kind))
        if new:
            self._log.error(event, sink=self.name, reason=f"{kind.__name__}: {error}")

    def _worked(self) -> None:
        with self._lock:
            again = bool(self._told)
            self._told.clear()
        if again:
            self._log.info("a sink works again", sink=self.name, lost=self._account.lost)
