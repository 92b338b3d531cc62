"""The sink that subscribers connect to: a ZeroMQ socket.

An XPUB socket: to subscribers it is a PUB, but it hears of each subscription, so that a late joiner gets the last
states at once. Every option that matters for years of running is set here, not left to a default.
"""

from __future__ import annotations

import errno
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import zmq

from ..config import PublishConfig, endpoint_problem, is_local_endpoint
from ..errors import UserError
from .endpoint import EndpointInUse, clear_stale_socket, endpoint_note, is_socket_file
from .sink import SinkNote

if TYPE_CHECKING:
    from ..ledger import SinkAccount

PING_MS = 5_000  # a peer that vanished without a word is noticed and its queue freed
PING_TIMEOUT_MS = 15_000
HANDSHAKE_MS = 5_000
MAX_INBOUND = 1024  # subscribers send subscriptions and nothing else
MAX_SUBSCRIPTIONS_PER_LOOK = 1000
BACKLOG = 100


class Publisher:
    """Sends messages to any number of subscribers; a slow one loses its own messages and holds nobody up.

    A ``Sink``; ``send`` may be called by any thread. ``wake()`` is called when a subscriber was heard of meanwhile, in
    the thread that sent. Raises UserError when the endpoint cannot or must not be bound.
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
        # a lock is the full memory barrier that a ZeroMQ socket needs to be used by several threads in turn
        self._lock = threading.Lock()
        self._account = account
        self._wake = wake
        self._subscriptions = 0
        self._unseen = False  # whether somebody subscribed since the last look
        self.endpoint = config.endpoint
        self.linger_s = config.linger_ms / 1000
        self._path: Path | None = None
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.XPUB)
        self._descriptor = int(self._socket.getsockopt(zmq.FD))  # asked now: later other threads use the socket
        self._open = True
        try:
            self._set_options()
            self._bind()
        except BaseException:
            self.close()
            raise

    @staticmethod
    def note(config: PublishConfig) -> SinkNote:
        """What can be said of the endpoint without binding it. Raises UserError if nobody could bind it."""
        note = endpoint_note(config.endpoint)
        line = config.endpoint + (" (insecure = true)" if config.insecure else "")
        fields = {"endpoint": config.endpoint, "insecure": config.insecure, "endpoint_note": note}
        return SinkNote((line, f"note: {note}") if note else (line,), fields)

    @property
    def subscriptions(self) -> int:
        """Subscriptions heard of, less those taken back."""
        return self._subscriptions

    def send(self, data: bytes) -> None:
        """Sends one message; never waits. After ``close`` it does nothing."""
        with self._lock:
            if not self._open:
                return
            self._socket.send(data, zmq.NOBLOCK)
            # sending takes in what has arrived, and `fileno` tells nobody of it any more
            new = bool(int(self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN) and self._read_subscriptions()
            self._unseen |= new
        self._account.count_sent(len(data))
        if new:
            self._wake()

    def look_for_subscribers(self) -> bool:
        """Whether somebody subscribed since the last look: then the last states are due again."""
        with self._lock:
            new = self._open and self._read_subscriptions()
            seen, self._unseen = new or self._unseen, False
        return seen

    def fileno(self) -> int:
        """ZeroMQ's descriptor for this socket; -1 once it is closed."""
        return self._descriptor if self._open else -1

    def _read_subscriptions(self) -> bool:
        """Whether somebody subscribed among those that were waiting to be read."""
        new = False
        for _ in range(MAX_SUBSCRIPTIONS_PER_LOOK):
            try:
                word = self._socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                break
            if word[:1] == b"\1":
                self._subscriptions += 1
                new = True
            elif word[:1] == b"\0":
                self._subscriptions -= 1
        return new

    def close(self) -> None:
        """Gives what is queued the configured time to leave, then closes; a second call does nothing."""
        with self._lock:
            if not self._open:
                return
            self._open = False
            self._socket.close(self._config.linger_ms)
        self._context.term()
        if self._path is not None:  # ZeroMQ leaves it behind
            self._path.unlink(missing_ok=True)

    def _set_options(self) -> None:
        self._socket.setsockopt(zmq.SNDHWM, self._config.high_water_mark)
        self._socket.setsockopt(zmq.LINGER, self._config.linger_ms)
        self._socket.setsockopt(zmq.HEARTBEAT_IVL, PING_MS)
        self._socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, PING_TIMEOUT_MS)
        self._socket.setsockopt(zmq.HEARTBEAT_TTL, PING_TIMEOUT_MS)
        self._socket.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
        self._socket.setsockopt(zmq.MAXMSGSIZE, MAX_INBOUND)
        self._socket.setsockopt(zmq.BACKLOG, BACKLOG)
        self._socket.setsockopt(zmq.XPUB_VERBOSER, 1)
        self._socket.setsockopt(zmq.IPV6, 1 if "[" in self._config.endpoint else 0)

    def _bind(self) -> None:
        endpoint = self._config.endpoint
        if is_socket_file(endpoint):
            clear_stale_socket(Path(endpoint[6:]), self._log)
        try:
            self._socket.bind(endpoint)
        except zmq.ZMQError as error:
            raise _unbound(endpoint, error) from None
        self.endpoint = self._socket.getsockopt_string(zmq.LAST_ENDPOINT).rstrip("\0")
        if is_socket_file(endpoint):
            self._path = Path(endpoint[6:]).absolute()
        if not is_local_endpoint(endpoint):
            self._log.warning(
                "publishing without encryption and authentication beyond this machine",
                endpoint=self.endpoint,
                remedy="insecure = true was written; use ipc or a loopback address unless the whole network is trusted",
            )


def _unbound(endpoint: str, error: zmq.ZMQError) -> UserError:
    """Why an endpoint cannot be bound; what else has it may end, and an address may come with its network."""
    kind = EndpointInUse if error.errno == zmq.EADDRINUSE else UserError
    failure = kind(
        f"publish.endpoint: {endpoint} cannot be bound ({error.strerror}): choose another or end what uses it"
    )
    failure.passes = error.errno in (zmq.EADDRINUSE, zmq.EADDRNOTAVAIL, errno.ENODEV)
    return failure
