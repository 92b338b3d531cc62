"""The door before ZeroMQ's socket: it hands bytes through, both ways and unread, and bounds what peers may cost.

libzmq takes subscriptions without end, about 50 bytes of memory for each of theirs, in the thread that sends; none of
its options bounds that, and it does not tell which peer they came from (measured: docs/wire.md). So peers connect to
the gate, which counts their bytes and cuts off who sends too many, and the gate connects each of them to libzmq.
It knows nothing of the protocol, so whatever libzmq speaks, encrypted too, passes.
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

from .passage import Gone, Greedy, Passage

if TYPE_CHECKING:
    from ..ledger import SinkAccount

MAX_PEERS = 64
DESCRIPTORS_SHARE = 8  # of those that the process may have, one in so many peers: each takes three
INBOUND_PER_S = 1 << 19  # bytes of all peers together: what libzmq makes of them costs a tenth of one core
INBOUND_EVERY_S = 0.05  # how long is not listened once a portion of them is used up
NEWCOMER_COSTS = 8 << 10  # bytes of those
SILENT_S = 5.0  # a peer that has said nothing for so long leaves
GREETING = 64  # who has said no more than a greeting,
IDLE_S = 0.5  # after so long, has asked for nothing: makes room for a newcomer
STUCK_S = 2.0  # took nothing for so long although something waits: makes room for a newcomer
DESCRIPTORS_LEFT = 16  # libzmq ends the process when it finds none for a newcomer
LOOK_EVERY_S = 0.5
THINNED_S = 1.0
_TELL_EVERY_S = 60.0
_OVER = select.EPOLLHUP | select.EPOLLERR
_NO_DESCRIPTOR = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Gate:
    """Peers behind one listening socket, each with a connection to ZeroMQ's socket file ``inner``.

    ``renew()`` is called in the gate's thread now and then: a new listening socket if the old one cannot be found any
    more. ``remind()`` is called there when it was asked for by ``remind_at``.
    """

    def __init__(
        self,
        listener: socket.socket,
        inner: str,
        account: SinkAccount,
        log: Any,
        renew: Callable[[], socket.socket | None],
        remind: Callable[[], None],
    ) -> None:
        self._inner = inner
        self._remind = remind
        self._remind_at = 0.0
        self._account = account
        self._log = log
        self._renew = renew
        self._passages: dict[int, Passage] = {}  # by the descriptor of either end
        self._told: dict[str, float] = {}
        self._look_at = 0.0
        self._inbound_at = 0.0  # when what comes in is listened to again; 0: it is
        self._budget, self._counted_at = 0.0, time.monotonic()
        self._crowded = ""  # why the greatest peer has to leave
        self._thinned_at = 0.0
        self._end: float | None = None  # when the thread gives up what still waits
        self._reader, self._writer = socket.socketpair()
        self._main = select.epoll()
        self._inbound = select.epoll()
        self._spare: int | None = os.open(os.devnull, os.O_RDONLY)  # given up to refuse a newcomer where none is left
        self._limit = _peers_at_most()
        self._listen(listener)
        self._main.register(self._reader.fileno(), select.EPOLLIN)
        self._main.register(self._inbound.fileno(), select.EPOLLIN)
        self._thread = threading.Thread(target=self._run, name="gate", daemon=True)
        self._thread.start()

    def cut_off_greatest(self, reason: str) -> None:
        """The peer that sends most in the long run has to leave; any thread may ask for it. At most once in
        THINNED_S: what the last one had is still there for a moment."""
        if time.monotonic() > self._thinned_at + THINNED_S:
            self._crowded = reason
            self._wake()

    def remind_at(self, when: float) -> None:
        """Asks to be reminded then, monotonic seconds; any thread."""
        self._remind_at = when
        self._wake()

    def close_door(self, seconds: float) -> None:
        """Nobody comes in any more; those who are there get what ZeroMQ's socket still sends, for ``seconds``."""
        self._end = time.monotonic() + seconds
        self._wake()

    def join(self) -> None:
        """Waits until everybody has left, as ``close_door`` said; ZeroMQ's socket has to be closed before."""
        self._thread.join(max(0.0, (self._end or 0.0) - time.monotonic()) + 1.0)

    def _wake(self) -> None:
        with contextlib.suppress(OSError):
            self._writer.send(b"\0")

    # ---- the thread ----

    def _run(self) -> None:
        over = False
        while not over:
            try:
                over = self._turn()
            except Exception as error:  # noqa: PERF203 - whatever a peer has found: the others are served on
                self._tell("the gate goes on after an error", reason=f"{type(error).__name__}: {error}")
                time.sleep(INBOUND_EVERY_S)
        for passage in set(self._passages.values()):
            self._leave(passage)
        for part in (self._main, self._inbound, self._reader, self._writer, self._listener):
            part.close()
        if self._spare is not None:
            os.close(self._spare)

    def _turn(self) -> bool:
        """Sleeps until something is due and does it; whether that was the last time."""
        inbound = False
        for descriptor, events in self._main.poll(self._sleep_s(time.monotonic())):
            if descriptor == self._reader.fileno():
                self._reader.recv(4096)
            elif descriptor == self._inbound.fileno():
                inbound = True
            elif descriptor in self._passages:
                self._move(self._passages[descriptor], over=descriptor if events & _OVER else -1)
        now = time.monotonic()
        if self._crowded:
            self._thin_out(now)
        if inbound:
            self._take_in(now)
        self._look(now)
        return self._end is not None and (now >= self._end or not self._passages)

    def _sleep_s(self, now: float) -> float:
        due = [self._look_at, *(at for at in (self._inbound_at, self._remind_at, self._end) if at)]
        return max(0.0, min(due) - now)

    def _move(self, passage: Passage, over: int) -> None:
        """What waits leaves: to the peer, and to ZeroMQ's socket. ``over`` is the end that has left, if one has."""
        if over == passage.outer.fileno():
            self._leave(passage)
            return
        try:
            passage.hand_out(time.monotonic())
            if passage.choked:
                passage.push_in()
        except Gone:
            self._leave(passage)
        else:
            self._watch(passage)

    def _watch(self, passage: Passage) -> None:
        """Listens for what can happen next. Who takes nothing is read nothing for: ZeroMQ keeps what waits for it."""
        outer, inner = passage.outer.fileno(), passage.inner
        self._main.modify(outer, select.EPOLLOUT if passage.full else 0)
        self._inbound.modify(outer, 0 if passage.choked else select.EPOLLIN)
        if inner is None:
            return
        wanted = (0 if passage.full else select.EPOLLIN) | (select.EPOLLOUT if passage.choked else 0)
        self._passages[inner.fileno()] = passage
        if passage.watched and wanted:
            self._main.modify(inner.fileno(), wanted)
        elif wanted:
            self._main.register(inner.fileno(), wanted)
        elif passage.watched:  # else its end would wake the thread again and again before what waits has left
            self._main.unregister(inner.fileno())
        passage.watched = bool(wanted)

    # ---- what comes in ----

    def _take_in(self, now: float) -> None:
        most = INBOUND_PER_S * INBOUND_EVERY_S
        self._budget = min(most, self._budget + (now - self._counted_at) * INBOUND_PER_S)
        self._counted_at = now
        while self._budget > 0:
            ready = self._inbound.poll(0, 4)
            if not ready:
                return
            for descriptor, _ in ready:
                if descriptor == self._listener.fileno():
                    self._budget -= NEWCOMER_COSTS
                    self._accept(now)
                elif descriptor in self._passages:
                    self._budget -= self._hear(self._passages[descriptor], now)
        self._main.modify(self._inbound.fileno(), 0)
        self._inbound_at = now + INBOUND_EVERY_S

    def _hear(self, passage: Passage, now: float) -> int:
        taken = 0
        try:
            taken = passage.hand_in(now)
        except Gone:
            self._leave(passage)
        except Greedy as error:
            self._cut_off(passage, str(error))
        else:
            self._watch(passage)
        return taken

    def _accept(self, now: float) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError as error:
            if error.errno in _NO_DESCRIPTOR:
                self._refuse_without_descriptor()
            return
        passage = Passage(connection, self._inner, now)
        if not _descriptors_left():
            self._refuse(passage, "finds the process without a free descriptor")
            return
        if len(set(self._passages.values())) >= self._limit and not self._make_room(passage.owner, now):
            self._refuse(passage, f"comes to {self._limit} others, which is the most")
            return
        self._passages[connection.fileno()] = passage
        self._main.register(connection.fileno(), 0)
        self._inbound.register(connection.fileno(), select.EPOLLIN)

    def _refuse(self, passage: Passage, reason: str) -> None:
        self._count(passage.who, reason)
        passage.close()

    def _make_room(self, newcomer: str, now: float) -> bool:
        """Ends the oldest connection that asked for nothing, or took nothing for STUCK_S, or else the newest one of
        whoever has most of them, and more than the newcomer will have."""
        everybody = sorted(set(self._passages.values()), key=lambda passage: passage.since)
        idle = [one for one in everybody if one.received <= GREETING and now - one.since > IDLE_S]
        stuck = [one for one in everybody if one.full and now - one.moved > STUCK_S]
        leaving = (idle or stuck)[:1] or _crowd(everybody, newcomer)[-1:]
        for passage in leaving:
            self._cut_off(passage, "made room for a newcomer")
        return bool(leaving)

    def _refuse_without_descriptor(self) -> None:
        """Else who waits in front of the door would wake the thread for ever."""
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None
        with contextlib.suppress(OSError):
            self._listener.accept()[0].close()
        with contextlib.suppress(OSError):
            self._spare = os.open(os.devnull, os.O_RDONLY)
        self._count("a newcomer", "finds the process without a free descriptor")

    def _thin_out(self, now: float) -> None:
        reason, self._crowded, self._thinned_at = self._crowded, "", now
        greatest = max(self._passages.values(), key=lambda passage: passage.costs(now), default=None)
        if greatest is not None:
            self._cut_off(greatest, reason)

    def _cut_off(self, passage: Passage, reason: str) -> None:
        self._count(passage.who, reason)
        self._leave(passage)

    def _count(self, who: str, reason: str) -> None:
        self._account.count_cut_off()
        self._tell("a subscriber was cut off", peer=who, reason=reason)

    def _leave(self, passage: Passage) -> None:
        for end in (passage.outer, passage.inner):
            if end is not None:
                self._passages.pop(end.fileno(), None)
        passage.close()  # and out of both epolls with it

    # ---- what is due from time to time ----

    def _look(self, now: float) -> None:
        if self._inbound_at and now >= self._inbound_at:
            self._inbound_at = 0.0
            self._main.modify(self._inbound.fileno(), select.EPOLLIN)
        if self._remind_at and now >= self._remind_at:
            self._remind_at = 0.0
            self._remind()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_EVERY_S
        for passage in set(self._passages.values()):
            if passage.inner is None and now - passage.since > SILENT_S:
                self._cut_off(passage, f"says nothing for {SILENT_S:g} s")
        if self._end is not None:
            self._listener.close()
            return
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


def _crowd(everybody: list[Passage], newcomer: str) -> list[Passage]:
    owners = collections.Counter(passage.owner for passage in everybody)
    owner, count = owners.most_common(1)[0]
    if count <= owners[newcomer] + 1:
        return []
    return [passage for passage in everybody if passage.owner == owner]


def _descriptors_left() -> bool:
    """Whether enough are free, for a newcomer's three and for whoever else opens something meanwhile."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return most < 0 or sum(1 for _ in os.scandir("/proc/self/fd")) + DESCRIPTORS_LEFT <= most


def _peers_at_most() -> int:
    """Cameras and the device need descriptors too."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, min(MAX_PEERS, descriptors // DESCRIPTORS_SHARE)) if descriptors >= 0 else MAX_PEERS
