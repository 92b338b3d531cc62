"""What signals mean to the daemon, from the first moment of its process to the last.

    TERM, INT               the end; a second one, or an end that takes too long, ends the process at once
    HUP, USR1, USR2, ALRM   and whatever else would kill a process that does not know it: handed to the main loop,
                            which answers (``Daemon._answer_signals``)
    QUIT                    where every thread is, on stderr, and the end with a core dump: for finding out why it hangs
    ABRT, SEGV and their like, which tell of a fault: the same, by the process's own doing

A signal that was ignored when the process was started stays so (``nohup``), but for those of the first line.
"""

from __future__ import annotations

import collections
import contextlib
import faulthandler
import os
import signal
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Callable

from . import last_word

if TYPE_CHECKING:
    from types import FrameType

STOPS = (signal.SIGTERM, signal.SIGINT)
# Faults, job control, and what harms nobody: their usual meaning is the right one.
FAULTS = {signal.SIGQUIT, signal.SIGILL, signal.SIGTRAP, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGSEGV,
          signal.SIGSYS, signal.SIGXCPU, signal.SIGXFSZ}  # fmt: skip
JOB_CONTROL = {signal.SIGKILL, signal.SIGSTOP, signal.SIGCONT, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}
HARMLESS = {signal.SIGCHLD, signal.SIGURG, signal.SIGWINCH, signal.SIGPIPE}  # the last by Python's doing
KEPT = FAULTS | JOB_CONTROL | HARMLESS
NO_SIGNAL = b"\0"
LAST_WORD_S = 0.1
LATE = 3  # the exit code of an end that had to be forced


class Signals:
    """All signals of the process.

    A Python signal handler runs in the main thread between two of its instructions: never while that one is inside a
    device call that hangs, and late while it imports a large library. So the bytes that the C handler writes are read
    by a thread of our own, which needs nobody. Until ``attach`` there is nothing to clean up, and a request for the end
    ends the process with 0.

    ``late_code``: what the process ends with if its end has to be forced. ``lent``: the process is somebody else's.
    """

    def __init__(self, *, lent: bool = False) -> None:
        self._lent = lent
        self.requested = threading.Event()
        self.signal_name = ""
        self.late_code = 0
        self._limit_s = 0.0
        self._on_late: Callable[[], None] = lambda: None
        self._on_signal: Callable[[], None] = lambda: None
        self._attached = False
        self._others: collections.Counter[int] = collections.Counter()
        self._lock = threading.Lock()
        self._previous_fd = -1
        self._previous: dict[int, Any] = {}  # handlers, None for those that Python did not set
        self._reader, self._writer = socket.socketpair()
        self._thread = threading.Thread(target=self._watch, name="signals", daemon=True)

    def install(self) -> None:
        """Takes the signals over; main thread only."""
        self._writer.setblocking(False)
        self._previous_fd = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._thread.start()
        for number in signal.valid_signals() - KEPT - set(STOPS):
            if signal.getsignal(number) is signal.SIG_DFL:
                self._previous[number] = signal.signal(number, _nothing)
        for number in STOPS:
            self._previous[number] = signal.signal(number, self._stop)

    def attach(self, limit_s: float, on_late: Callable[[], None], on_signal: Callable[[], None]) -> None:
        """From now on a request for the end is the caller's to fulfil, within ``limit_s`` seconds (0: no limit).

        ``on_late`` is called before the process is ended after that; ``on_signal`` at every signal, also within a
        handler of the main thread.
        """
        self._limit_s, self._on_late, self._on_signal = limit_s, on_late, on_signal
        self._attached = True

    def change_limit(self, limit_s: float) -> None:
        """Another time for the end; it counts for a request that comes from now on."""
        self._limit_s = limit_s

    def close(self) -> None:
        """Ends the thread: from now on nothing limits the process, and nothing ends it early. If it is ours it is
        about to exit, and a signal that comes meanwhile must not make a clean end look like a killed process; somebody
        else's has its handlers back."""
        after: dict[int, Any] = self._previous if self._lent else {int(number): signal.SIG_IGN for number in STOPS}
        for number, handler in after.items():
            if handler is not None:
                signal.signal(number, handler)
        signal.set_wakeup_fd(self._previous_fd)
        self._writer.close()
        self._thread.join()
        self._reader.close()

    def request(self) -> None:
        """Lets the limit count from now on, for an end that no signal asked for."""
        with contextlib.suppress(OSError):
            self._writer.send(NO_SIGNAL)

    def take_others(self) -> dict[int, int]:
        """The signals that came since the last call and ask for no end: how often each."""
        with self._lock:
            others, self._others = self._others, collections.Counter()
        return others

    @property
    def others_wait(self) -> bool:
        """Whether ``take_others`` has something to give."""
        return bool(self._others)

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        # the thread sees the same signal; this makes it visible to the main thread's next instruction
        if not self._attached:
            os._exit(0)
        if not self.requested.is_set():
            self.signal_name = signal.Signals(number).name
            self.requested.set()
            self._on_signal()

    def _watch(self) -> None:
        """Reads the numbers of signals until ``close``; the thread's whole life."""
        deadline = 0.0
        signals = 0
        while True:
            self._reader.settimeout(max(0.001, deadline - time.monotonic()) if deadline else None)
            try:
                number = self._reader.recv(1)
            except socket.timeout:
                self._end_late()
                return
            if not number:
                return
            if number[0] in STOPS:
                signals += 1
                self._stop(number[0], None)
            elif number != NO_SIGNAL:
                self._note(number[0])
                continue
            if signals > 1:
                os._exit(128 + number[0])
            if self._limit_s and not deadline:
                deadline = time.monotonic() + self._limit_s

    def _note(self, number: int) -> None:
        with self._lock:
            self._others[number] += 1
        self._on_signal()

    def _end_late(self) -> None:
        try:
            last_word.say(self._on_late, LAST_WORD_S)
        finally:  # nothing keeps it from ending
            os._exit(self.late_code)


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """The thread hears of it."""


def _show_threads_at_faults() -> None:
    with contextlib.suppress(AttributeError, OSError, ValueError):  # no stderr, or one that is no file
        faulthandler.enable(sys.stderr)
        if signal.getsignal(signal.SIGQUIT) is signal.SIG_DFL:
            faulthandler.register(signal.SIGQUIT, sys.stderr, all_threads=True, chain=True)


_of_process: list[Signals] = []


def take_over() -> None:
    """Installs the process's own signals, as its first act."""
    _of_process.append(Signals())
    _of_process[0].install()
    _show_threads_at_faults()


def of_process() -> Signals:
    """The process's own, or else new ones, which ``serve`` installs in a process that is somebody else's."""
    if _of_process:
        return _of_process[0]
    made = Signals(lent=True)
    made.install()
    return made
