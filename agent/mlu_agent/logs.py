"""Logging: structlog to standard output, one JSON object per line unless a person is watching.

The log never decides over the service: a line is handed to a bounded queue, and a thread of its own writes it, however
long that takes and however often it fails. What could not be kept meanwhile is counted and said.
"""

from __future__ import annotations

import collections
import functools
import logging
import os
import select
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Callable

import structlog

from mlu_client.text import printable

from .journal import PRIORITIES, is_journal, weighed

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

MAX_WAITING = 1 << 20  # bytes: some five thousand lines, more than a reader misses that is started anew
RETRY_S = 1.0


class Output:
    """Lines to a descriptor that may be full, blocked, or without a reader; any thread may ``write``, and none waits.

    Lines are kept, ``limit`` bytes of them, until they can be written. From the first that had to be dropped until half
    of that is free again, all are; then ``told(number)`` is written in their place. ``lost``: all that were dropped.
    """

    def __init__(self, descriptor: int, limit: int = MAX_WAITING, retry_s: float = RETRY_S) -> None:
        self.lost = 0
        self.told: Callable[[int], str] = lambda number: f"{number} log lines were lost\n"
        self.descriptor = descriptor
        self._limit = limit
        self._retry_s = retry_s
        self._changed = threading.Condition()
        self._waiting: collections.deque[bytes] = collections.deque()
        self._size = 0
        self._missed = 0  # dropped and not told yet
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="log", daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        """Takes one line with its end; text that cannot be UTF-8 is escaped."""
        data = line.encode("utf-8", "backslashreplace")
        with self._changed:
            room = self._limit // 2 if self._missed else self._limit
            if self._size + len(data) > room:
                self.lost += 1
                self._missed += 1
                return
            self._tell_missed()
            self._append(data)

    def close(self, timeout: float) -> bool:
        """Gives what waits so many seconds to be written; whether it was."""
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _append(self, data: bytes) -> None:
        self._waiting.append(data)
        self._size += len(data)
        self._changed.notify_all()

    def _tell_missed(self) -> None:
        if self._missed:
            self._append(self.told(self._missed).encode("utf-8", "backslashreplace"))
            self._missed = 0

    def _work(self) -> None:
        """The thread's whole life."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing.is_set())
                if not self._waiting:
                    return
                data = self._waiting[0]
            self._write(data)
            with self._changed:
                self._waiting.popleft()
                self._size -= len(data)
                if not self._waiting:
                    self._tell_missed()

    def _write(self, data: bytes) -> None:
        """Writes all of it, however often it fails: whoever made a disk full, or took the reader away, may end it."""
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self.descriptor, rest) :]
            except BlockingIOError:  # noqa: PERF203 - the descriptor is shared, and somebody else made it so
                select.select([], [self.descriptor], [], self._retry_s)
            except OSError:
                time.sleep(self._retry_s)


class _Lines:
    """What structlog writes to: every level is a line. ``weigh``: what makes one of text and level."""

    def __init__(self, output: Any, weigh: Callable[[str, str], str]) -> None:
        self._output = output
        self._weigh = weigh

    def __getattr__(self, level: str) -> Callable[[str], None]:
        if level not in PRIORITIES:
            raise AttributeError(level)
        return functools.partial(self._write, level)

    def _write(self, level: str, line: str) -> None:
        self._output.write(self._weigh(line + "\n", level))
        if not isinstance(self._output, Output):
            self._output.flush()


def _as_it_is(text: str, _level: str) -> str:
    return text


def configure(level: str = "info", style: str = "auto", output: Any = None) -> None:
    """Sets up logging for the process. ``style``: "json", "text" or "auto" (text on a terminal); ``output``: an Output
    or a text file, standard output if None. Lines of an Output that leads to the journal begin with their priority."""
    output = output or sys.stdout
    terminal = sys.stdout.isatty() if isinstance(output, Output) else output.isatty()
    weigh = weighed if isinstance(output, Output) and is_journal(output.descriptor) else _as_it_is
    text = style == "text" or (style == "auto" and terminal)
    renderer: Any = _for_people(colours=terminal) if text else structlog.processors.JSONRenderer()
    processors: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _shown if text else structlog.processors.format_exc_info,
        renderer,
    ]
    structlog.configure(
        processors=processors,
        wrapper_class=_from_level(level),
        logger_factory=lambda *_: _Lines(output, weigh),
        cache_logger_on_first_use=False,
    )
    if isinstance(output, Output):
        output.told = lambda number: weigh(
            _render(processors, {"event": "log lines were lost", "lost": number}) + "\n", "warning"
        )


def set_level(level: str) -> None:
    """From now on lines of ``level`` and above are written, of all loggers."""
    structlog.configure(wrapper_class=_from_level(level))


def _from_level(level: str) -> Any:
    return structlog.make_filtering_bound_logger(getattr(logging, level.upper()))


def get_logger() -> Any:
    """A logger with keyword context; configured by ``configure``."""
    return structlog.get_logger()


def _for_people(*, colours: bool) -> Any:
    """Colours only on a terminal that has them, and unless NO_COLOR says otherwise (no-color.org)."""
    wanted = colours and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return structlog.dev.ConsoleRenderer(colors=wanted, exception_formatter=structlog.dev.plain_traceback)


def _shown(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """What comes from outside may hold what a terminal obeys; JSON escapes it anyway."""
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = printable(value)
    return event


def _render(processors: list[Any], event: dict[str, Any]) -> str:
    made: Any = event
    for process in processors:
        made = process(None, "warning", made)
    return str(made)
