"""Who wants what: prefixes of messages, each kept once, whoever and however many asked for it."""

from __future__ import annotations

import collections
from typing import Generic, TypeVar

Peer = TypeVar("Peer")


class Subscriptions(Generic[Peer]):
    """A message costs one look for each length of prefix that somebody asked for, however many prefixes there are."""

    def __init__(self) -> None:
        self._peers: dict[bytes, set[Peer]] = {}
        self._lengths: collections.Counter[int] = collections.Counter()

    def add(self, prefix: bytes, peer: Peer) -> None:
        """``peer`` wants what begins with ``prefix``."""
        peers = self._peers.get(prefix)
        if peers is None:
            self._peers[prefix] = {peer}
            self._lengths[len(prefix)] += 1
        else:
            peers.add(peer)

    def remove(self, prefix: bytes, peer: Peer) -> None:
        """``peer`` wants it no more, and did so far."""
        peers = self._peers[prefix]
        peers.remove(peer)
        if not peers:
            del self._peers[prefix]
            self._lengths[len(prefix)] -= 1
            if not self._lengths[len(prefix)]:
                del self._lengths[len(prefix)]

    def wanted_by(self, message: bytes) -> set[Peer]:
        """Everybody who asked for a prefix of the message."""
        found: set[Peer] = set()
        for length in self._lengths:
            found.update(self._peers.get(message[:length], ()))
        return found
