"""What the service manager hears: the truth, and nothing while work has stalled."""

from __future__ import annotations

import math
import os
import socket
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from mlu_agent.daemon.service import Notifications, Watchdog, Worker

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def manager(tmp_path: Path):
    """A notification socket, and its path."""
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(path)
        receiver.setblocking(False)
        yield receiver, path


def heard(receiver: socket.socket) -> list[str]:
    datagrams = []
    while True:
        try:
            datagrams.append(receiver.recv(4096).decode())
        except BlockingIOError:  # noqa: PERF203 - the end of a drained socket
            return datagrams


class Work:
    """Workers as a pipeline shows them: two that move together."""

    def __init__(self) -> None:
        self.progress = 0
        self.idle = False

    def __call__(self) -> list[Worker]:
        return [Worker("one", self.progress, self.idle), Worker("other", 2 * self.progress, self.idle)]


def test_one_datagram_holds_all_fields_and_no_line_break_gets_in(manager):
    """A text with a line break cannot add a field of its own."""
    receiver, path = manager
    with_break = Notifications(path, "")
    with_break.send(READY=1, STATUS="two\nWATCHDOG=1")
    with_break.close()
    assert heard(receiver) == ["READY=1\nSTATUS=two WATCHDOG=1"]


def test_abstract_sockets_are_understood():
    """A leading @ names a socket in the abstract namespace."""
    name = f"mlu-agent-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind("\0" + name)
        sender = Notifications("@" + name, "")
        sender.send(STOPPING=1)
        sender.close()
        assert receiver.recv(100) == b"STOPPING=1"


def test_without_a_manager_everything_is_silent(tmp_path: Path):
    """No socket, or one that is gone, changes nothing."""
    Notifications("", "").send(READY=1)
    gone = Notifications(str(tmp_path / "gone"), "")
    gone.send(READY=1)
    gone.close()


def test_the_watchdog_is_fed_by_progress_and_not_by_a_loop_that_only_turns(manager):
    """Frames wait and none is finished: the loop may tick for ever, the manager hears nothing and restarts us."""
    receiver, path = manager
    notifications, work = Notifications(path, "4000000"), Work()
    dog = Watchdog(notifications, work)
    work.progress = 1
    assert dog.tick(100.0)
    assert [dog.tick(100.0 + second) for second in range(10, 60, 10)] == [False] * 5
    work.progress = 2
    assert dog.tick(161.0)
    assert heard(receiver) == ["WATCHDOG=1"] * 2
    notifications.close()


def test_silent_cameras_are_not_a_hang(manager):
    """With nothing waiting and nothing in flight the watchdog is fed without progress."""
    receiver, path = manager
    notifications, work = Notifications(path, "4000000"), Work()
    dog = Watchdog(notifications, work)
    work.idle = True
    assert [dog.tick(100.0 + second) for second in range(5)] == [True] * 5
    assert len(heard(receiver)) == 5
    notifications.close()


def test_the_watchdog_is_fed_four_times_a_period_at_most(manager):
    """A fast loop does not flood the manager."""
    receiver, path = manager
    notifications, work = Notifications(path, "8000000"), Work()
    work.idle = True
    dog = Watchdog(notifications, work)
    for step in range(100):
        work.progress = step
        dog.tick(100.0 + step * 0.1)
    assert len(heard(receiver)) == 5
    notifications.close()


def test_one_stuck_worker_starves_the_watchdog_whatever_the_others_do(manager):
    """Each one for itself since the last meal; the one that is to blame has a name."""
    receiver, path = manager
    notifications = Notifications(path, "8000000")
    workers = {"line": Worker("line", 0, idle=True), "source a": Worker("source a", 0, idle=True)}
    dog = Watchdog(notifications, lambda: list(workers.values()))
    assert dog.tick(100.0)
    workers["source a"] = Worker("source a", 0, idle=False)
    for second in range(102, 110):
        workers["line"] = Worker("line", second, idle=False)
        assert not dog.tick(second)
    assert dog.starving(105.0) == []
    assert dog.starving(107.0) == ["source a"]
    workers["source a"] = Worker("source a", 1, idle=False)
    assert dog.tick(110.0)
    assert dog.starving(120.0) == []
    assert len(heard(receiver)) == 2
    notifications.close()


def test_work_between_two_looks_counts_although_there_is_more(manager):
    """A worker that is never idle is well as long as it moves; one that was idle for a moment is, too."""
    _, path = manager
    notifications, work = Notifications(path, "4000000"), Work()
    dog = Watchdog(notifications, work)
    assert dog.tick(100.0)
    work.progress = 7
    assert dog.tick(101.0)
    assert not dog.tick(102.0)
    work.idle = True
    assert dog.tick(102.5)
    notifications.close()


def test_a_manager_that_does_not_read_holds_nobody_up_and_is_told_what_matters_later(manager):
    """The kernel keeps some datagrams, then sending would wait: READY is kept and comes, what is repeated is lost."""
    receiver, path = manager
    notifications = Notifications(path, "")

    def until_it_cannot_take_more() -> None:
        while not notifications.lost:
            notifications.send(WATCHDOG=1)

    sender = threading.Thread(target=until_it_cannot_take_more, daemon=True)
    sender.start()
    sender.join(20)
    assert notifications.lost
    assert notifications.due(100.0) == math.inf
    notifications.send(READY=1)
    notifications.send(RELOADING=1)
    lost = notifications.lost
    notifications.send(STATUS="later")
    assert notifications.lost == lost + 1
    assert 100.0 < notifications.due(100.0) <= 100.5
    assert "READY=1" not in heard(receiver)
    notifications.flush()
    assert heard(receiver) == ["READY=1", "RELOADING=1"]
    assert notifications.due(100.0) == math.inf
    for _ in range(10_000):
        notifications.send(READY=1)  # no more than a few are kept
    assert len(notifications._unsent) <= 16
    notifications.close()


def test_a_watchdog_of_another_process_is_not_ours(monkeypatch):
    """WATCHDOG_PID says whose it is; it is inherited."""
    monkeypatch.setenv("WATCHDOG_USEC", "2000000")
    for process, seconds in ((str(os.getpid()), 2.0), ("1", 0.0), ("", 2.0)):
        monkeypatch.setenv("WATCHDOG_PID", process)
        assert Notifications("").watchdog_s == seconds


@pytest.mark.systemd
def test_the_unit_is_hardened(root: Path):
    """systemd-analyze rates the unit's exposure at 2.0 or less, and knows every line of it."""
    unit = str(root / "systemd" / "mlu-agent.service")
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", unit]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-500:] + done.stderr
    verified = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    complaints = [line for line in verified.stderr.splitlines() if "is not executable" not in line]
    assert [line for line in complaints if "mlu-agent.service" in line] == []
