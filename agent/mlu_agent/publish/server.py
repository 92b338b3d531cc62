"""The thread that subscribers are connected to: it takes in what they ask for, within bounds, and sends it.

What leaves comes first. What comes in, from newcomers, subscriptions and garbage alike, gets INBOUND_S of every
INBOUND_EVERY_S at most, so whatever peers send costs a tenth of one core and delays no message by more than that.
"""

from __future__ import annotations

import collections
import contextlib
import errno
import os
import resource
import select
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Callable

from . import zmtp
from .peer import Gone, Peer
from .subscriptions import Subscriptions

if TYPE_CHECKING:
    from ..ledger import SinkAccount

INBOUND_S = 0.005
INBOUND_EVERY_S = 0.05
HANDSHAKE_S = 5.0
STUCK_S = 2.0  # took nothing for so long although something waits: makes room for a newcomer
MAX_PEERS = 128
DESCRIPTORS_SHARE = 4  # of those that the process may have, subscribers get one in so many
MAX_WAITING = 10_000  # messages on their way to the thread,
MAX_WAITING_BYTES = 64 << 20  # and their bytes
QUEUED_BYTES = 64 << 20  # for all peers together; beyond that each has
QUEUED_BYTES_EACH = 256 << 10
NEWS_EVERY_S = 0.05  # between two times that newcomers are told of
LOOK_EVERY_S = 0.5
_TELL_EVERY_S = 60.0
_NO_DESCRIPTOR = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Server:
    """Peers behind one listening socket; each gets the messages that begin with what it asked for.

    ``longest``  messages that wait for one peer; then it loses the newest ones, and nobody else does.
    ``news()``   is called in the thread when somebody subscribed, at most every NEWS_EVERY_S.
    ``renew()``  is called in the thread now and then: a new listening socket if the old one cannot be found any more.
    """

    def __init__(
        self,
        listener: socket.socket,
        longest: int,
        account: SinkAccount,
        log: Any,
        news: Callable[[], None],
        renew: Callable[[], socket.socket | None],
    ) -> None:
        self._longest = longest
        self._account = account
        self._log = log
        self._news = news
        self._renew = renew
        self._peers: dict[int, Peer] = {}
        self._wanted: Subscriptions[Peer] = Subscriptions()
        self._lock = threading.Lock()
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._woken = False
        self._told: dict[str, float] = {}
        self._queued = 0  # bytes, for all peers, as far as this turn knows
        self.subscriptions = 0
        self._news_due = 0.0  # 0: no news
        self._news_at = 0.0
        self._look_at = 0.0
        self._inbound_at = 0.0  # when what comes in is listened to again; 0: it is
        self._end: float | None = None  # when the thread gives up what still waits
        self._reader, self._writer = socket.socketpair()
        self._main = select.epoll()
        self._inbound = select.epoll()
        self._spare: int | None = os.open(os.devnull, os.O_RDONLY)  # given up to refuse a newcomer where none is left
        self._limit = _peers_at_most()
        self._listener = listener
        self._listen(listener)
        self._main.register(self._reader.fileno(), select.EPOLLIN)
        self._main.register(self._inbound.fileno(), select.EPOLLIN)
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self._thread.start()

    def send(self, data: bytes) -> bool:
        """Takes one message for everybody who wants it; any thread, and never waits. False if too many wait already."""
        with self._lock:
            if len(self._waiting) >= MAX_WAITING or self._waiting_bytes + len(data) > MAX_WAITING_BYTES:
                return False
            self._waiting.append(data)
            self._waiting_bytes += len(data)
        self._wake()
        return True

    def close(self, linger_s: float) -> None:
        """What waits gets ``linger_s`` to leave; then every connection ends."""
        self._end = time.monotonic() + linger_s
        self._wake(force=True)
        self._thread.join(linger_s + 1.0)

    def _wake(self, *, force: bool = False) -> None:
        if force or not self._woken:
            self._woken = True
            with contextlib.suppress(OSError):  # a full buffer wakes as well
                self._writer.send(b"\0")

    # ---- the thread ----

    def _run(self) -> None:
        while True:
            try:
                if self._turn():
                    break
            except Exception as error:  # whatever a peer has found that nobody foresaw: the others are served on
                self._tell("the publisher goes on after an error", reason=f"{type(error).__name__}: {error}")
                time.sleep(INBOUND_EVERY_S)
        for peer in list(self._peers.values()):
            self._leave(peer)
        self._shut()

    def _shut(self) -> None:
        for part in (self._main, self._inbound, self._reader, self._writer, self._listener):
            part.close()
        if self._spare is not None:
            os.close(self._spare)

    def _turn(self) -> bool:
        """Sleeps until something is due and does it; whether that was the last time."""
        inbound = False
        for descriptor, _ in self._main.poll(self._sleep_s(time.monotonic())):
            if descriptor == self._reader.fileno():
                self._reader.recv(4096)
                self._woken = False
            elif descriptor == self._inbound.fileno():
                inbound = True
            elif descriptor in self._peers:
                self._flush(self._peers[descriptor])
        self._deliver()
        now = time.monotonic()
        if self._end is not None:
            return self._finish(now)
        if inbound:
            self._take_in(now)
        self._look(now)
        return False

    def _sleep_s(self, now: float) -> float:
        due = [self._look_at, *(at for at in (self._inbound_at, self._news_due, self._end) if at)]
        return max(0.0, min(due) - now)

    def _finish(self, now: float) -> bool:
        if self._listener.fileno() >= 0:
            self._listener.close()  # and out of the epoll with it
            self._quiet()
        waits = bool(self._waiting) or any(len(peer) for peer in self._peers.values())
        return now >= (self._end or 0.0) or not waits

    # ---- what leaves ----

    def _deliver(self) -> None:
        touched: set[Peer] = set()
        self._queued = sum(peer.queued for peer in self._peers.values())
        with self._lock:
            messages, self._waiting, self._waiting_bytes = self._waiting, [], 0
        for message in messages:
            wanted_by = self._wanted.wanted_by(message)
            if wanted_by:
                self._offer(zmtp.frame(message), wanted_by)
                touched |= wanted_by
        for peer in touched:
            if not peer.blocked:  # else it is told when it takes more
                self._flush(peer)

    def _offer(self, data: bytes, peers: set[Peer]) -> None:
        for peer in peers:
            room = QUEUED_BYTES if self._queued < QUEUED_BYTES else QUEUED_BYTES_EACH
            if peer.offer(data, self._longest, room):
                self._queued += len(data)
            else:
                self._account.count_slow()

    def _flush(self, peer: Peer) -> None:
        try:
            more = peer.flush(time.monotonic())
        except Gone:
            self._leave(peer)
            return
        if more and not peer.blocked:
            self._main.register(peer.descriptor, select.EPOLLOUT)
        elif peer.blocked and not more:
            self._main.unregister(peer.descriptor)
        peer.blocked = more

    # ---- what comes in ----

    def _take_in(self, now: float) -> None:
        end = now + INBOUND_S
        while time.monotonic() < end:
            ready = self._inbound.poll(0, 4)
            if not ready:
                return
            for descriptor, _ in ready:
                if descriptor == self._listener.fileno():
                    self._accept(now)
                elif descriptor in self._peers:
                    self._hear(self._peers[descriptor], now)
        self._quiet()
        self._inbound_at = now + INBOUND_EVERY_S

    def _quiet(self) -> None:
        with contextlib.suppress(OSError):
            self._main.unregister(self._inbound.fileno())

    def _hear(self, peer: Peer, now: float) -> None:
        try:
            for wanted, prefix in peer.hear(now):
                self._change(peer, prefix, now, wanted=wanted)
        except Gone:
            self._leave(peer)
        except zmtp.ProtocolError as error:
            self._cut_off(peer.who, str(error))
            self._leave(peer)
        else:
            self._flush(peer)

    def _change(self, peer: Peer, prefix: bytes, now: float, *, wanted: bool) -> None:
        if wanted:
            self._wanted.add(prefix, peer)
            self.subscriptions += 1
            self._news_due = self._news_due or max(now, self._news_at + NEWS_EVERY_S)
        else:
            self._wanted.remove(prefix, peer)
            self.subscriptions -= 1

    def _accept(self, now: float) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError as error:
            if error.errno in _NO_DESCRIPTOR:
                self._refuse_without_descriptor()
            return
        peer = Peer(connection, now)
        if len(self._peers) >= self._limit and not self._make_room(peer.owner, now):
            self._cut_off(peer.who, f"comes to {self._limit} others, which is the most")
            peer.close()
            return
        self._peers[peer.descriptor] = peer
        self._inbound.register(peer.descriptor, select.EPOLLIN)
        self._flush(peer)

    def _make_room(self, newcomer: str, now: float) -> bool:
        """Ends the oldest connection that asked for nothing, or took nothing for STUCK_S, or else the newest one of
        whoever has most of them, and more than the newcomer will have."""
        idle = [peer for peer in self._peers.values() if not peer.prefixes]
        stuck = [peer for peer in self._peers.values() if len(peer) and now - peer.moved > STUCK_S]
        who = (idle or stuck)[:1] or self._crowd(newcomer)[-1:]
        for peer in who:
            self._cut_off(peer.who, "made room for a newcomer")
            self._leave(peer)
        return bool(who)

    def _crowd(self, newcomer: str) -> list[Peer]:
        owners = collections.Counter(peer.owner for peer in self._peers.values())
        ((owner, count),) = owners.most_common(1)
        if count <= owners[newcomer] + 1:
            return []
        return [peer for peer in self._peers.values() if peer.owner == owner]

    def _refuse_without_descriptor(self) -> None:
        """Else who waits in front of the door would wake the thread for ever."""
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None
        with contextlib.suppress(OSError):
            self._listener.accept()[0].close()
        with contextlib.suppress(OSError):
            self._spare = os.open(os.devnull, os.O_RDONLY)
        self._cut_off("a newcomer", "finds the process without a free descriptor")

    def _cut_off(self, who: str, reason: str) -> None:
        self._account.count_cut_off()
        self._tell("a subscriber was cut off", peer=who, reason=reason)

    def _leave(self, peer: Peer) -> None:
        del self._peers[peer.descriptor]
        for prefix in peer.prefixes:
            self._wanted.remove(prefix, peer)
        self.subscriptions -= len(peer.prefixes)
        peer.close()  # and out of both epolls with it

    # ---- what is due from time to time ----

    def _look(self, now: float) -> None:
        if self._news_due and now >= self._news_due:
            self._news_due, self._news_at = 0.0, now
            self._news()
        if self._inbound_at and now >= self._inbound_at:
            self._inbound_at = 0.0
            self._main.register(self._inbound.fileno(), select.EPOLLIN)
        if now >= self._look_at:
            self._look_at = now + LOOK_EVERY_S
            for peer in [peer for peer in self._peers.values() if not peer.listens and now - peer.since > HANDSHAKE_S]:
                self._cut_off(peer.who, f"says nothing for {HANDSHAKE_S:g} s")
                self._leave(peer)
            renewed = self._renew()
            if renewed is not None:
                self._listener.close()
                self._listen(renewed)

    def _listen(self, listener: socket.socket) -> None:
        listener.setblocking(False)
        self._listener = listener
        self._inbound.register(listener.fileno(), select.EPOLLIN)

    def _tell(self, event: str, *, reason: str, **fields: Any) -> None:
        """Each reason once a minute: how often is in the account."""
        now = time.monotonic()
        if now >= self._told.get(reason, 0.0):
            if len(self._told) > 100:
                self._told.clear()
            self._told[reason] = now + _TELL_EVERY_S
            self._log.warning(event, reason=reason, cut_off=self._account.cut_off, **fields)


def _peers_at_most() -> int:
    """Cameras and the device need descriptors too."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, min(MAX_PEERS, descriptors // DESCRIPTORS_SHARE)) if descriptors >= 0 else MAX_PEERS
