"""The first and the last moments of a program, in which Ctrl-C has to be quiet too.

Python's own handler raises KeyboardInterrupt wherever the program is: among imports, or while the interpreter ends,
that is a traceback. Nothing here needs more than what the interpreter has loaded anyway.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

INTERRUPTED = 130  # 128 + SIGINT, as shells count


def take_over() -> None:
    """Called by a program that is a process of its own, before it imports anything; main thread only. Whoever starts
    a program in the background may have the signal ignored, and the daemon has a handler of its own: both stay."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def end_at_interrupts() -> None:
    """From now on Ctrl-C ends the process at once with 130: there is nothing yet, or nothing more, to clean up."""
    if _taken_over():
        signal.signal(signal.SIGINT, _end)


def raise_at_interrupts() -> None:
    """From now on the first Ctrl-C raises KeyboardInterrupt, so that a command may clean up; a second one ends it."""
    if _taken_over():
        signal.signal(signal.SIGINT, _raise)


def _taken_over() -> bool:
    return signal.getsignal(signal.SIGINT) in (_end, _raise)


def _end(_number: int, _frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)


def _raise(_number: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGINT, _end)
    raise KeyboardInterrupt
