"""The sink that subscribers connect to: a ZeroMQ PUB socket, spoken by the agent itself.

libzmq's own would do but for one thing: it takes subscriptions without end, 50 bytes of memory for each byte of theirs,
in the thread that sends. None of its options bounds that (measured: docs/wire.md), and it does not tell which peer they
came from. So the connections are ours: ``server`` is their thread, ``peer`` one of them, ``zmtp`` its bytes.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

from ..config import PublishConfig, endpoint_problem, is_local_endpoint
from ..errors import UserError
from .endpoint import clear_stale_socket, endpoint_note, is_socket_file, listening_socket, told
from .server import Server
from .sink import SinkNote

if TYPE_CHECKING:
    import socket

    from ..ledger import SinkAccount


class Publisher:
    """Sends messages to any number of subscribers; a slow one loses its own messages and holds nobody up.

    A ``Sink``; ``send`` may be called by any thread. ``wake()`` is called in a thread of its own when somebody
    subscribed. Raises UserError when the endpoint cannot or must not be bound.
    """

    name = "zeromq"

    def __init__(
        self, config: PublishConfig, account: SinkAccount, log: Any, wake: Callable[[], None] = lambda: None
    ) -> None:
        problem = endpoint_problem(config.endpoint, config.insecure)
        if problem:
            raise UserError(f"publish.endpoint: {problem}")
        self._config = config
        self._log = log
        self._account = account
        self._wake = wake
        self._unseen = False  # whether somebody subscribed since the last look
        self._open = True
        self._path = Path(config.endpoint[6:]).absolute() if is_socket_file(config.endpoint) else None
        if self._path is not None:
            clear_stale_socket(Path(config.endpoint[6:]), log)
        listener = listening_socket(config.endpoint)
        self._inode = self._file()
        self.endpoint = told(listener, config.endpoint)
        self.linger_s = config.linger_ms / 1000
        self._server = Server(listener, config.high_water_mark, account, log, self._heard, self._renewed)
        if not is_local_endpoint(config.endpoint):
            log.warning(
                "publishing without encryption and authentication beyond this machine",
                endpoint=self.endpoint,
                remedy="insecure = true was written; use ipc or a loopback address unless the whole network is trusted",
            )

    @staticmethod
    def note(config: PublishConfig) -> SinkNote:
        """What can be said of the endpoint without binding it. Raises UserError if nobody could bind it."""
        note = endpoint_note(config.endpoint)
        line = config.endpoint + (" (insecure = true)" if config.insecure else "")
        fields = {"endpoint": config.endpoint, "insecure": config.insecure, "endpoint_note": note}
        return SinkNote((line, f"note: {note}") if note else (line,), fields)

    @property
    def subscriptions(self) -> int:
        """Subscriptions in force, of all subscribers."""
        return self._server.subscriptions

    def send(self, data: bytes) -> None:
        """Sends one message; never waits. After ``close`` it does nothing."""
        if not self._open:
            return
        if self._server.send(data):
            self._account.count_sent(len(data))
        else:
            raise RuntimeError("messages pile up before its thread")

    def look_for_subscribers(self) -> bool:
        """Whether somebody subscribed since the last look: then the last states are due again."""
        seen, self._unseen = self._unseen, False
        return seen

    def fileno(self) -> int:
        """None to wait for: ``wake`` is called."""
        return -1

    def _heard(self) -> None:
        self._unseen = True
        self._wake()

    def _file(self) -> int | None:
        """Which file the endpoint is now; None if it is none."""
        if self._path is not None:
            with contextlib.suppress(OSError):
                return self._path.lstat().st_ino
        return None

    def _renewed(self) -> socket.socket | None:
        """A new socket where the file was taken away; one that somebody else put there is left alone."""
        if not self._open or self._path is None or os.path.lexists(self._path):
            return None
        try:
            listener = listening_socket(self._config.endpoint)
        except UserError:  # the folder is gone too: perhaps it comes again
            return None
        self._inode = self._file()
        self._log.warning("the socket's file was gone: made again", path=str(self._path))
        return listener

    def close(self) -> None:
        """Gives what is queued the configured time to leave, then closes; a second call does nothing."""
        if not self._open:
            return
        self._open = False
        self._server.close(self.linger_s)
        if self._path is not None and self._inode == self._file():  # nobody else's
            self._path.unlink(missing_ok=True)
