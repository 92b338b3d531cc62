"""Subscriber to an agent's messages.

with Subscriber("ipc:///run/mlu-agent/detections.sock", kinds=["frame"]) as subscriber:
    for message in subscriber:         # maps, as docs/wire.md has them; subscriber.typed() gives values
        ...
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import zmq
from zmq.utils.monitor import recv_monitor_message

from . import codec
from .errors import DataError, UserError
from .reading import read_message

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from .values import Message

_RECONNECT_MS = 100
_RECONNECT_MAX_MS = 1_000  # an agent that was away for ten seconds is heard one after it is back, and not five
_HEARTBEAT_MS = 2_000
_HANDSHAKE_MS = 5_000
_HIGH_WATER_MARK = 1_000
_MAX_TRACKED = 1_024
_MAX_NAME = 64
_LONGEST_WAIT_S = 3600.0  # at a time: far below what a poll can count
_RENEW_S = 0.5
_TOLD = ("dropped_empty", "published", "published_classes", "published_tensors")
_LOST = (
    zmq.EVENT_DISCONNECTED
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)


@dataclass
class Counters:
    """What a subscriber has seen.

    ``lost``      messages that were sent and never arrived, and frames that failed in the agent, per source: known by
                  the sequence numbers, less the empty frames that the agent was told to omit and those of kinds not
                  asked for. At most 1024 sources are
                  told apart; what others lost stands under "".
    ``restarts``  how often a source began anew, because the agent did.
    ``forgotten`` sources whose place was needed for another, the one unheard for longest: what they lose meanwhile is
                  not known. At most 1024 are followed.
    ``damaged``   messages that could not be read: dropped.
    ``damage``    why the last one of them could not, in a sentence; "" if none was.
    ``renewed``   new sockets made because the publisher broke the protocol, or sent a message of unreasonable size.
    """

    received: int = 0
    damaged: int = 0
    damage: str = ""
    forgotten: int = 0
    restarts: int = 0
    renewed: int = 0
    lost: dict[str, int] = field(default_factory=dict)

    def count_damaged(self, reason: str) -> None:
        """A message was dropped because it could not be read."""
        self.damaged += 1
        self.damage = reason


class Subscriber:
    """Iterates over messages, decoded, as dicts (see ``docs/wire.md``).

    ``endpoint``   as "ipc:///run/mlu-agent/detections.sock" or "tcp://127.0.0.1:5557". It need not answer yet: the
                   connection is tried again for ever, with a growing pause of at most 1 s.
    ``kinds``      of messages wanted (``codec.KINDS``); None wants all.
    ``sources``    wanted; None wants all. Heartbeats belong to the box and always come if their kind is wanted.
    ``timeout_s``  iteration ends when nothing arrived for so long; None waits for ever.
    ``high_water_mark``  messages, 1 or more, that wait here for the program to take them, beside those that wait at the
                   agent (``publish.high_water_mark``); then the newest are lost, and ``counters.lost`` tells.

    A message that cannot be read is dropped and counted; ``counters`` also tells the messages lost on the way. Raises
    UserError for an endpoint that ZeroMQ refuses. Not to be shared between threads; close it, or use it ``with``.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        kinds: Sequence[str] | None = None,
        sources: Sequence[str] | None = None,
        timeout_s: float | None = None,
        high_water_mark: int = _HIGH_WATER_MARK,
    ) -> None:
        if high_water_mark < 1:
            raise UserError(f"high_water_mark: {high_water_mark} is none; write 1 or more")
        self._prefixes = topic_prefixes(kinds, sources)
        self._unheard = [kind for kind in codec.RESULTS if kinds and kind not in kinds]
        self.endpoint = endpoint
        self.counters = Counters()
        self._timeout_s = timeout_s
        self._high_water_mark = high_water_mark
        self._next: dict[tuple[str, str, str], tuple[str, int, int]] = {}
        self._renew_at = math.inf
        self._pause_s = _RENEW_S
        self._context = zmq.Context()
        try:
            self._connect()
        except zmq.ZMQError as failure:
            self.close()
            raise UserError(
                f"endpoint: {endpoint!r} is refused by ZeroMQ ({failure}); "
                "write ipc:///path/of/a.sock or tcp://ADDRESS:PORT"
            ) from None

    def _connect(self) -> None:
        self._socket: zmq.Socket[bytes] = self._context.socket(zmq.SUB)
        self._configure(self._high_water_mark)
        self._monitor: zmq.Socket[bytes] = self._socket.get_monitor_socket(_LOST | zmq.EVENT_CONNECT_RETRIED)
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self._poller.register(self._monitor, zmq.POLLIN)
        for prefix in self._prefixes:
            self._socket.setsockopt(zmq.SUBSCRIBE, prefix)
        self._socket.connect(self.endpoint)

    def _configure(self, high_water_mark: int) -> None:
        """Every limit said: ZeroMQ's defaults are no backoff, no heartbeat and messages of any size."""
        for option, value in (
            (zmq.LINGER, 0),
            (zmq.RCVHWM, high_water_mark),
            (zmq.MAXMSGSIZE, codec.MAX_MESSAGE),
            (zmq.RECONNECT_IVL, _RECONNECT_MS),
            (zmq.RECONNECT_IVL_MAX, _RECONNECT_MAX_MS),
            (zmq.HANDSHAKE_IVL, _HANDSHAKE_MS),
            (zmq.HEARTBEAT_IVL, _HEARTBEAT_MS),
            (zmq.HEARTBEAT_TIMEOUT, 3 * _HEARTBEAT_MS),
            (zmq.IPV6, 1),
        ):
            self._socket.setsockopt(option, value)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        while True:
            message = self.receive(self._timeout_s)
            if message is None:
                return
            yield message

    def typed(self) -> Iterator[Message]:
        """Iterates as ``__iter__`` does, over values (``mlu_client.values``); a message that does not say what its kind
        must is dropped and counted as damaged."""
        for message in self:
            try:
                value = read_message(message)
            except DataError as failure:
                self.counters.count_damaged(failure.message)
                continue
            yield value

    def receive(self, timeout_s: float | None = None) -> dict[str, Any] | None:
        """The next readable message; None if none came within ``timeout_s`` (None: wait for ever)."""
        end = math.inf if timeout_s is None else time.monotonic() + timeout_s
        while True:
            wait = max(0.0, min(end, self._renew_at) - time.monotonic())
            ready = dict(self._poller.poll(math.ceil(min(wait, _LONGEST_WAIT_S) * 1000)))
            if self._monitor in ready:
                self._watch()
            if self._socket in ready:
                message = self._read()
                if message is not None:
                    return message
            elif time.monotonic() >= end:
                return None
            if time.monotonic() >= self._renew_at:
                self._renew()

    def _read(self) -> dict[str, Any] | None:
        """One message off the socket; None if it cannot be read."""
        frames = self._socket.recv_multipart()
        try:
            if len(frames) != 1:
                raise DataError(f"message: {len(frames)} parts; messages of version 1 have one")
            name, message = codec.decode(frames[0])
        except DataError as failure:
            self.counters.count_damaged(failure.message)
            return None
        self.counters.received += 1
        self._pause_s = _RENEW_S
        self._track(name, message)
        return message

    def _watch(self) -> None:
        """A connection that broke is tried again by ZeroMQ and says so; one that broke the protocol, by a message of
        more than MAXMSGSIZE for one, never is. Then this socket is deaf for ever and a new one is due."""
        event = recv_monitor_message(self._monitor)["event"]
        if event == zmq.EVENT_CONNECT_RETRIED:
            self._renew_at = math.inf
        else:
            self._renew_at = time.monotonic() + self._pause_s

    def _renew(self) -> None:
        self.counters.renewed += 1
        self._pause_s = min(2 * self._pause_s, _RECONNECT_MAX_MS / 1000)
        self._renew_at = math.inf
        self._disconnect()
        self._connect()

    def _disconnect(self) -> None:
        self._socket.disable_monitor()
        self._monitor.close(linger=0)
        self._socket.close(linger=0)

    def _track(self, name: str, message: dict[str, Any]) -> None:
        """Counts what is missing between this message and the one before it of the same sequence: that of a source,
        whatever its model does, or of a box's heartbeats."""
        boot, sequence = _name(message.get("boot_id")), _count(message.get("seq"))
        if boot is None or sequence is None:
            return
        kind, source = name.split("/", 2)[1:]
        key = _name(message.get("box")) or "", kind if kind not in codec.RESULTS else "", source
        omitted = self._omitted(message)
        known = self._next.pop(key, None)
        if known is not None:
            known_boot, expected, omitted_before = known
            lost = sequence - expected - max(0, omitted - omitted_before)
            if boot != known_boot:
                self.counters.restarts += 1
            elif lost > 0:
                self._count_lost(source, lost)
        elif len(self._next) >= _MAX_TRACKED:  # names come from outside: memory for them is bounded
            self._next.pop(next(iter(self._next)))
            self.counters.forgotten += 1
        self._next[key] = boot, sequence + 1, omitted  # as the last: the first is the one unheard for longest

    def _omitted(self, message: dict[str, Any]) -> int:
        """Frames of this source so far whose messages were not for us: empty ones that its agent has left out because
        of ``publish.empty_frames = false``, and those of kinds that were not asked for."""
        counters = message.get("counters")
        if not isinstance(counters, dict):
            return 0
        told = {name: _count(counters.get(name)) or 0 for name in _TOLD}
        others = told["published_classes"] + told["published_tensors"]
        by_kind = {
            "frame": max(0, told["published"] - others),
            "classes": told["published_classes"],
            "tensors": told["published_tensors"],
        }
        return told["dropped_empty"] + sum(by_kind[kind] for kind in self._unheard)

    def _count_lost(self, source: str, lost: int) -> None:
        known = self.counters.lost
        if source not in known and len(known) >= _MAX_TRACKED:
            source = ""  # names come from outside: what would be one too many is counted without its name
        known[source] = known.get(source, 0) + lost

    def close(self) -> None:
        """Closes the socket; closing twice is fine."""
        self._context.destroy(linger=0)

    def __enter__(self) -> Subscriber:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _name(value: Any) -> str | None:
    """Of a box or a boot, None if it is none that may be kept."""
    return value if isinstance(value, str) and len(value) <= _MAX_NAME else None


def _count(value: Any) -> int | None:
    right = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= codec.LARGEST
    return value if right else None


def topic_prefixes(kinds: Sequence[str] | None, sources: Sequence[str] | None) -> list[bytes]:
    """What to subscribe to. A full topic carries its NUL, so that "cam1" does not bring "cam10" along."""
    for kind in kinds or ():
        if kind not in codec.KINDS:
            raise UserError(f"kind: {kind!r} is not accepted; write one of {', '.join(codec.KINDS)}")
    if not kinds and not sources:
        return [f"{codec.MAJOR}/".encode()]
    prefixes = []
    for kind in kinds or codec.KINDS:
        if not sources or kind == "heartbeat":
            prefixes.append(f"{codec.MAJOR}/{kind}/".encode())
            continue
        prefixes.extend(_topic(kind, source).encode() + b"\0" for source in sources)
    return prefixes


def _topic(kind: str, source: str) -> str:
    try:
        return codec.topic(kind, source)
    except ValueError:
        raise UserError(f"source: {source!r} is no source id; write 1 to 64 of A-Z a-z 0-9 . _ -") from None
