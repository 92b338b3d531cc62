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
    """From now on the first Ctrl-C raises KeyboardInterrupt, so that a command may clean up; a second one ends it, also
    inside a call of the runtime that does not return, in which no handler of Python's is run."""
    if _taken_over():
        signal.signal(signal.SIGINT, _raise)
        _watch_from_a_thread()


def _watch_from_a_thread() -> None:
    import threading  # noqa: PLC0415 - not yet loaded in the first moments

    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)

    def watch() -> None:
        interrupts = 0
        while interrupts < 2:
            interrupts += os.read(read_end, 1)[0] == signal.SIGINT
        os._exit(INTERRUPTED)

    threading.Thread(target=watch, daemon=True, name="interrupts").start()


def _taken_over() -> bool:
    return signal.getsignal(signal.SIGINT) in (_end, _raise)


def _end(_number: int, _frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)


def _raise(_number: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGINT, _end)
    raise KeyboardInterrupt
