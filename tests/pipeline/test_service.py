"""What the service manager hears: the truth, and nothing while work has stalled."""

from __future__ import annotations

import os
import socket
import subprocess
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
