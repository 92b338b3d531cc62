"""The account of a model that is only tried."""

from __future__ import annotations

from typing import Callable

from ..ledger import ModelAccount


class TrialAccount(ModelAccount):
    """What the device does wrong with a model that is tried beside the one that serves is not told of that one: it is
    thrown away with a model that is refused, whose refusal says it.

    Once the model is put into service (``put_down``, before its first frame) all of it is on the account of the name,
    which ``account()`` gives, and so is what comes then.
    """

    def __init__(self, account: Callable[[], ModelAccount]) -> None:
        super().__init__()
        self._account = account
        self._held = ModelAccount()
        self._tried = True

    def put_down(self) -> None:
        """The model is put into service; a second call does nothing."""
        if self._tried:
            self._tried = False
            account = self._account()
            account.take(self._held)
            self._held = account

    def count_batch(self, frames: int) -> None:
        """See ``ModelAccount``, as the others."""
        self._held.count_batch(frames)

    def count(self, what: str) -> int:
        return self._held.count(what)

    def fill(self) -> dict[str, float]:
        return self._held.fill()

    def steps(self) -> dict[str, int]:
        return self._held.steps()

    def counters(self) -> dict[str, int]:
        return self._held.counters()

    def take(self, other: ModelAccount) -> None:
        self._held.take(other)
