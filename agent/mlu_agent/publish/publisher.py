"""The sink that subscribers connect to: a ZeroMQ socket behind a gate.

An XPUB socket: to subscribers it is a PUB, but it hears of each subscription, so that a late joiner gets the last
states at once. Every option that matters for years of running is set here, not left to a default. It is bound to a
file in a folder that only this process's user can enter, where nobody but the gate comes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import zmq

from ..config import PublishConfig, endpoint_problem, is_local_endpoint
from ..config.files import reason
from ..errors import RuntimeFailure, UserError
from .endpoint import BACKLOG, clear_stale_socket, endpoint_note, is_socket_file, listening_socket, told
from .gate import Gate
from .sink import SinkNote

if TYPE_CHECKING:
    import socket

    from ..ledger import SinkAccount

PING_MS = 5_000  # a peer that vanished without a word is noticed and its queue freed
PING_TIMEOUT_MS = 15_000
HANDSHAKE_MS = 5_000
MAX_INBOUND = 1024  # subscribers send subscriptions and nothing else
MAX_SUBSCRIBED = 2 << 20  # bytes of all subscriptions together; libzmq takes 50 of memory for each
MAX_SUBSCRIPTIONS_PER_LOOK = 1000
MAX_BESIDE = 90  # bytes of the path: a socket's has 107 at most, "." "-" and 8 letters and "/xpub" come to it
NEWS_EVERY_S = 0.05  # between two times that newcomers are told of
BUFFER = 32 << 10  # of the system, between socket and gate: what lies there gets old


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
        self._account = account
        self._wake = wake
        # a lock is the full memory barrier that a ZeroMQ socket needs to be used by several threads in turn
        self._lock = threading.Lock()
        self._prefixes: set[bytes] = set()  # what is subscribed to, and
        self._subscribed = 0  # its bytes
        self._unseen = False  # whether somebody subscribed since the last look
        self._seen_at = 0.0
        self._open = True
        self.linger_s = config.linger_ms / 1000
        self._path = Path(config.endpoint[6:]).absolute() if is_socket_file(config.endpoint) else None
        if self._path is not None:
            clear_stale_socket(Path(config.endpoint[6:]), log)
        with contextlib.ExitStack() as exits:
            self._bind_inside(exits)
            listener = listening_socket(config.endpoint)
            exits.pop_all()
        self._inode = self._file()
        self.endpoint = told(listener, config.endpoint)
        self._gate = Gate(listener, f"{self._folder}/xpub", account, log, self._renewed, wake)
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
        """Different subscriptions in force."""
        return len(self._prefixes)

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
        """Whether somebody subscribed since the last look: then the last states are due again. At most once in
        NEWS_EVERY_S; who asks in between is told the next time."""
        with self._lock:
            self._unseen |= self._open and self._read_subscriptions()
            now = time.monotonic()
            if self._unseen and now < self._seen_at + NEWS_EVERY_S:
                self._gate.remind_at(self._seen_at + NEWS_EVERY_S)
                return False
            if not self._unseen:
                return False
            self._unseen, self._seen_at = False, now
            return True

    def fileno(self) -> int:
        """ZeroMQ's descriptor for this socket; -1 once it is closed."""
        return self._descriptor if self._open else -1

    def close(self) -> None:
        """Gives what is queued the configured time to leave, then closes; a second call does nothing."""
        with self._lock:
            if not self._open:
                return
            self._open = False
            self._gate.close_door(self.linger_s)
            self._socket.close(self._config.linger_ms)
        self._context.term()
        self._gate.join()
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._path is not None and self._inode == self._file():  # nobody else's
            self._path.unlink(missing_ok=True)

    def _read_subscriptions(self) -> bool:
        """Whether somebody subscribed among those that were waiting to be read."""
        new = False
        for _ in range(MAX_SUBSCRIPTIONS_PER_LOOK):
            try:
                word = self._socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                break
            change, prefix = word[:1], word[1:]
            if change == b"\1":
                new = True
                self._subscribed += len(prefix) if prefix not in self._prefixes else 0
                self._prefixes.add(prefix)
            elif prefix in self._prefixes:  # the last one who wanted it
                self._subscribed -= len(prefix)
                self._prefixes.remove(prefix)
        if self._subscribed > MAX_SUBSCRIBED:
            self._gate.cut_off_greatest(f"all subscriptions together have more than {MAX_SUBSCRIBED} bytes")
        return new

    def _bind_inside(self, exits: contextlib.ExitStack) -> None:
        self._folder = _own_folder(self._path)
        exits.callback(shutil.rmtree, self._folder, ignore_errors=True)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        exits.callback(self._context.term)
        self._socket = self._context.socket(zmq.XPUB)
        exits.callback(self._socket.close, 0)
        self._descriptor = int(self._socket.getsockopt(zmq.FD))  # asked now: later other threads use the socket
        for option, value in (
            (zmq.SNDHWM, self._config.high_water_mark),
            (zmq.LINGER, self._config.linger_ms),
            (zmq.HEARTBEAT_IVL, PING_MS),
            (zmq.HEARTBEAT_TIMEOUT, PING_TIMEOUT_MS),
            (zmq.HEARTBEAT_TTL, PING_TIMEOUT_MS),
            (zmq.HANDSHAKE_IVL, HANDSHAKE_MS),
            (zmq.MAXMSGSIZE, MAX_INBOUND),
            (zmq.BACKLOG, BACKLOG),
            (zmq.SNDBUF, BUFFER),
            (zmq.XPUB_VERBOSE, 1),  # tells of every subscription, and of the end of the last one of a prefix
        ):
            self._socket.setsockopt(option, value)
        try:
            self._socket.bind(f"ipc://{self._folder}/xpub")
        except zmq.ZMQError as error:
            raise RuntimeFailure(
                f"the socket within cannot be bound in {self._folder} ({error.strerror}): set TMPDIR to a folder "
                "with a short name"
            ) from None

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


def _own_folder(path: Path | None) -> str:
    """A new folder that only this user can enter: beside the socket's file if there is one and the name is not too
    long, which a unit's RuntimeDirectory is made for; those that killed processes left there are removed."""
    try:
        if path is None or len(os.fsencode(path)) > MAX_BESIDE:
            return tempfile.mkdtemp(prefix="mlu-agent-")
        for left in path.parent.glob(f".{path.name}-*"):
            shutil.rmtree(left, ignore_errors=True)
        return tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent)
    except OSError as error:
        raise RuntimeFailure(f"no folder for the socket within can be made: {reason(error)}; set TMPDIR") from None
