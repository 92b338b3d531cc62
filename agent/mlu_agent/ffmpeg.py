"""The door to PyAV, and how a thread inside FFmpeg is called back.

FFmpeg asks an interrupt callback, ten times a second and before every read, whether to go on waiting. PyAV's compares
one clock with the deadline of the call: it looks ``time.monotonic`` up once, when ``av.container.core`` is imported,
and offers nothing else. So that module is given a clock here that goes on as usual, but jumps ahead of every deadline
in a thread that was asked to end. Were another clock in use (PyAV imported by others before, or changed), a thread
would end at its deadline instead: ``Interrupt.heard`` tells.
"""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_monotonic = time.monotonic
_thread = threading.local()
_FAR = 1e9  # seconds: longer than any deadline, and few enough that a double counts them a million times over


class Interrupt:
    """Ends what one thread at a time waits for inside FFmpeg. ``ask`` is for any thread, and holds for good."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._jumps = 0
        self._deadline = math.inf
        self.heard = False  # whether FFmpeg ever looked at the clock in a thread that this one guards

    @property
    def asked(self) -> bool:
        return self._asked.is_set()

    def ask(self) -> None:
        """The guarded thread's waiting ends within a tenth of a second, with av.error.ExitError."""
        self._asked.set()

    def wait(self, seconds: float) -> None:
        """Sleeps, until asked at most."""
        if seconds > 0:
            self._asked.wait(seconds)

    @contextlib.contextmanager
    def guard(self, limit_s: float = math.inf) -> Iterator[None]:
        """What the calling thread does inside ends when asked, and after ``limit_s`` seconds altogether."""
        self._deadline = _monotonic() + limit_s
        _thread.interrupt = self
        try:
            yield
        finally:
            _thread.interrupt = None

    def now(self) -> float:
        """What FFmpeg is told in place of the time."""
        self.heard = True
        now = _monotonic()
        if self._asked.is_set() or now > self._deadline:
            self._jumps += 1  # further with each look, because the first of a call only says when it begins
        return now + self._jumps * _FAR


def _clock() -> float:
    interrupt = getattr(_thread, "interrupt", None)
    return interrupt.now() if interrupt is not None else _monotonic()


time.monotonic = _clock
try:
    import av.container.core
finally:
    time.monotonic = _monotonic

import av  # noqa: E402
import av.error  # noqa: E402
import av.logging  # noqa: E402
from av.video.reformatter import VideoReformatter  # noqa: E402

__all__ = ["Interrupt", "VideoReformatter", "av", "heard_log"]

# what goes wrong is told by ourselves, once and in words
_logger = logging.getLogger("libav")
_logger.propagate = False
_logger.addHandler(logging.NullHandler())
_log_lock = threading.Lock()
_listening = 0


@contextlib.contextmanager
def heard_log() -> Iterator[list[tuple[int, str, str]]]:
    """What FFmpeg logs as warnings and errors in this thread meanwhile: (level, part, text).

    It costs every decoder of the process the interpreter's lock at each of its log lines, so it must be short and rare.
    """
    global _listening  # noqa: PLW0603 - FFmpeg has one log for the process
    with _log_lock:
        _listening += 1
        av.logging.set_skip_repeated(False)
        av.logging.set_level(av.logging.WARNING)  # HTTP says its status as one
    try:
        with av.logging.Capture() as lines:
            yield lines
    finally:
        with _log_lock:
            _listening -= 1
            if not _listening:
                av.logging.set_level(None)
