"""Waiting for what the start needs and what is not there yet: a model on a mount that comes later, an address of a
network that is not up. A box that nobody visits must not be left dead by the order in which its parts come."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, TypeVar

from ..errors import DataError, MluAgentError, passing
from ..publish.endpoint import EndpointInUse

if TYPE_CHECKING:
    import os

    from .service import Notifications

Made = TypeVar("Made")
RETRY_S = 2.0
SAID_AGAIN_S = 600.0
EXTENSION_S = 30.0  # of the start, asked of the service manager at each attempt


class Stopped(Exception):
    """The end was asked for while something was waited for."""


class Patience:
    """Tries again what may pass by itself, and says what it waits for: in the log, and to the service manager.

    ``sleep(until)``: sleeps until that time of the monotonic clock, or raises Stopped when the end is asked for. By
    hand, without a service manager, an endpoint in use is told at once: the other process may well be the service.
    ``waits_for(sentence)`` is called with what is waited for, for whoever asks; with "" when it is there.
    """

    def __init__(
        self,
        log: Any,
        notifications: Notifications,
        sleep: Callable[[float], None],
        waits_for: Callable[[str], None] = lambda _sentence: None,
    ) -> None:
        self._log = log
        self._notifications = notifications
        self._sleep = sleep
        self._waits_for = waits_for

    def until(self, make: Callable[[], Made]) -> Made:
        """What ``make`` gives once it succeeds; raises what it raises and what will not pass."""
        told, again_at = "", 0.0
        while True:
            try:
                made = make()
            except MluAgentError as error:
                if not error.passes or (isinstance(error, EndpointInUse) and not self._notifications.wanted):
                    raise
                sentence = error.message
            else:
                if told:
                    self._log.info("what was waited for is there")
                    self._waits_for("")
                return made
            now = time.monotonic()
            if sentence != told or now >= again_at:
                told, again_at = sentence, now + SAID_AGAIN_S
                self._log.warning("waiting", reason=sentence, retry_s=RETRY_S)
            self._notifications.extend(EXTENSION_S, f"waiting: {sentence}")
            self._waits_for(sentence)
            self._sleep(now + RETRY_S)


class Settling:
    """Loads from a model's folder; a model that is wrong is wrong for good only if its files stay as they are.

    ``load()`` may meet files that are just being copied. They are not dated by a clock, which may jump.
    """

    def __init__(self, model: str | os.PathLike[str], load: Callable[[], Made]) -> None:
        self._folder = Path(model).parent
        self._load = load
        self._stamps: object = None

    def __call__(self) -> Any:
        """What ``load`` gives. A DataError may pass as long as the files change."""
        before = _stamps(self._folder)
        try:
            return self._load()
        except DataError as error:
            seen, self._stamps = self._stamps, before
            if error.passes or seen == before:
                raise
            raise passing(error) from None


def _stamps(folder: Path) -> list[tuple[str, int, int]]:
    """What tells the models and manifests of a folder from those that it had before."""
    found = []
    try:
        for path in sorted(folder.iterdir()):
            if path.suffix in (".cambricon", ".toml", ".bundle"):
                status = path.stat()
                found.append((path.name, status.st_size, status.st_mtime_ns))
    except OSError:  # a file or the folder went away meanwhile: that is a change, too
        found.append(("", 0, time.monotonic_ns()))
    return found
