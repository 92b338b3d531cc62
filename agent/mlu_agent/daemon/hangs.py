"""The end of a process whose device hangs: what can be said is said, and nothing that may wait for it is waited for.

A thread inside a call that does not return cannot be ended, and neither closing handles nor the library's own clean-up
when a process exits can be trusted to come back. So the process ends by ``os._exit``; the next one opens the device.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any, Callable, NoReturn

from ..errors import DeviceLost
from . import last_word

if TYPE_CHECKING:
    from .pipeline import Pipeline
    from .service import Notifications

LAST_WORD_S = 0.2  # for a line of the log: whoever reads it may hang as well
ABANDON_S = 1.5  # for the main loop, from the hang's discovery to the last message


class Hangs:
    """What the watching thread calls. ``serving``: the pipeline, once the main loop looks after it: then that says to
    the subscribers what happened; before, the main thread itself may be the one that hangs."""

    def __init__(self, log: Any, notifications: Notifications, flush: Callable[[], object] = lambda: None) -> None:
        self._log = log
        self._notifications = notifications
        self._flush = flush
        self.serving: Pipeline | None = None

    def __call__(self, lost: DeviceLost) -> None:
        """Ends the process, at the latest after ABANDON_S."""
        last_word.say(lambda: self._log.error("the device hangs", reason=lost.message), LAST_WORD_S)
        self._notifications.send(STATUS=lost.message)
        if self.serving is not None:
            self.serving.give_up(lost)
            time.sleep(ABANDON_S)
        end_now(self._flush)


def end_now(flush: Callable[[], object] = lambda: None, code: int = DeviceLost.exit_code) -> NoReturn:
    """Ends the process, by default as one whose device is lost, without anybody's clean-up; ``flush()`` brings the log
    out."""
    last_word.say(flush, LAST_WORD_S)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            last_word.say(stream.flush, LAST_WORD_S)
    os._exit(code)
