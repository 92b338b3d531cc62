"""What signals do to the daemon's process, from its first moment on."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest


def run(code: str, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end."""
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=25, check=False, **options)  # type: ignore[call-overload]


ASKED = """
import os, signal, time
from mlu_agent.daemon.signals import Signals
s = Signals()
s.install()
s.attach(0, lambda: None, lambda: None)
os.kill(os.getpid(), signal.SIGTERM)
assert s.requested.wait(30) and s.signal_name == "SIGTERM"
print("asked", flush=True)
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(60)
"""


def test_the_first_signal_asks_and_the_second_ends_the_process():
    """One SIGTERM sets the request; the next ends with 128 + 15 although the program goes on working."""
    done = run(ASKED)
    assert (done.returncode, done.stdout) == (128 + signal.SIGTERM, "asked\n"), done.stderr


HANGS_IN_C = """
import ctypes, os, signal, sys, threading
from mlu_agent.daemon.signals import Signals
signals = Signals()
signals.install()
if sys.argv[1] != "none":
    signals.attach(float(sys.argv[1]), lambda: print("late", flush=True), lambda: None)
signals.late_code = int(sys.argv[3])
def send():
    for _ in range(int(sys.argv[2])):
        os.kill(os.getpid(), signal.SIGTERM)
        signals.requested.wait()
threading.Timer(0.2, send).start()
mutex = ctypes.create_string_buffer(64)
libc = ctypes.CDLL(None)
libc.pthread_mutex_lock(mutex)
libc.pthread_mutex_lock(mutex)  # never returns, and no signal handler of Python runs meanwhile
"""


@pytest.mark.parametrize(
    "limit, signals, late, code, said",
    [
        ("0.5", "1", "3", 3, "late\n"),
        ("0.5", "1", "0", 0, "late\n"),
        ("0", "2", "3", 143, ""),
        ("none", "1", "3", 0, ""),
    ],
    ids=["late", "late at the start", "second", "nothing held yet"],
)
def test_a_main_thread_that_hangs_in_the_device_can_be_stopped(
    limit: str, signals: str, late: str, code: int, said: str
):
    """Inside a C call that never returns: one signal ends the process after the limit, a second one at once, and while
    there is nothing to clean up the first does."""
    done = run(HANGS_IN_C, limit, signals, late)
    assert (done.returncode, done.stdout) == (code, said), done.stderr


ENDS = """
import os, signal
from mlu_agent.daemon.signals import Signals
signals = Signals()
signals.install()
signals.close()
os.kill(os.getpid(), signal.SIGTERM)
"""


def test_a_signal_while_the_process_exits_does_not_change_its_status():
    """Between the clean end and the end of the process a SIGTERM is ignored: the status stays 0."""
    done = run(ENDS)
    assert (done.returncode, done.stderr) == (0, "")


EVERY = """
import os, signal, sys, time
from mlu_agent.daemon.signals import STOPS, Signals
signals = Signals()
signals.install()
others = signal.valid_signals() - {*STOPS} - {int(number) for number in sys.argv[1:]}
for number in others:
    os.kill(os.getpid(), number)
seen = set()
end = time.monotonic() + 30
while len(seen) < len(others) and time.monotonic() < end:
    seen |= signals.take_others().keys()
    time.sleep(0.01)
print(sorted(others - seen), signals.requested.is_set())
"""
FATAL = "QUIT ILL TRAP ABRT BUS FPE SEGV SYS XCPU XFSZ"
OF_JOBS_OR_HARMLESS = "KILL STOP CONT TSTP TTIN TTOU CHLD URG WINCH PIPE"
KEPT = [str(int(signal.Signals[f"SIG{name}"])) for name in f"{FATAL} {OF_JOBS_OR_HARMLESS}".split()]


def test_no_signal_but_those_that_tell_of_a_fault_ends_the_process_unasked():
    """Every one that the system knows is sent, the real-time ones too: each is noted, none is a request."""
    done = run(EVERY, *KEPT)
    assert (done.returncode, done.stdout) == (0, "[] False\n"), done.stderr


NOHUP = """
import os, signal, time
from mlu_agent.daemon.signals import Signals
signals = Signals()
signals.install()
os.kill(os.getpid(), signal.SIGHUP)
os.kill(os.getpid(), signal.SIGUSR1)
while not signals.others_wait:
    time.sleep(0.01)
print([int(number) for number in signals.take_others()])
"""


def test_a_signal_that_was_ignored_at_the_start_stays_so():
    """``nohup`` and its like: SIGHUP is not even said."""
    done = run(NOHUP, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    assert (done.returncode, done.stdout) == (0, f"[{int(signal.SIGUSR1)}]\n"), done.stderr


BORROWED = """
import signal
from mlu_agent.daemon.signals import of_process
before = {number: signal.getsignal(number) for number in signal.valid_signals()}
asked = of_process()
assert signal.getsignal(signal.SIGTERM) != before[signal.SIGTERM]
asked.close()
assert before == {number: signal.getsignal(number) for number in signal.valid_signals()}
print("as before")
"""


def test_somebody_elses_process_has_its_handlers_back():
    """Whoever calls the daemon as a function can be interrupted afterwards, and so can what is started then."""
    done = run(BORROWED)
    assert (done.returncode, done.stdout) == (0, "as before\n"), done.stderr


def test_signals_of_a_fault_show_where_every_thread_was():
    """QUIT, for who wants to know why it hangs, and ABRT, which a service manager sends when the watchdog starves."""
    code = "import os, sys\nfrom mlu_agent.daemon import signals\nsignals.take_over()\nos.kill(os.getpid(), {})"
    for number in (signal.SIGQUIT, signal.SIGABRT):
        done = run(code.format(int(number)), preexec_fn=no_core)
        assert done.returncode == -number
        assert "_watch" in done.stderr
        assert "thread" in done.stderr.lower()


def no_core() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def test_numbers_of_signals_have_names():
    """For the log; those of the real-time kind have none of their own."""
    from mlu_agent.daemon.daemon import _name

    assert _name(signal.SIGUSR2) == "SIGUSR2"
    assert _name(int(signal.SIGRTMIN) + 3) == f"signal {int(signal.SIGRTMIN) + 3}"
