"""The control socket with real peers: who may come, what each may cost, and a file that is taken away."""

from __future__ import annotations

import contextlib
import grp
import json
import os
import socket
import stat
import threading
import time
from typing import TYPE_CHECKING, Any, Callable

import pytest
from tests.pipeline.conftest import Log

from mlu_agent.config import ControlConfig
from mlu_agent.daemon import control as module, snapshots
from mlu_agent.daemon.control import MAX_PEERS, PER_TURN, TURN_S, Control
from mlu_agent.daemon.requests import MAX_LINE
from mlu_agent.daemon.status import MAX_CHANGES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECONDS = 30


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.sock"


@pytest.fixture
def open_control(path: Path):
    """A function that opens the socket; ``control.log`` is what it said, ``control.woken`` is set when it woke."""
    made: list[Control] = []

    def start(group: str = "") -> Control:
        log, woken = Log(), threading.Event()
        control: Any = Control(ControlConfig(path, group), log, woken.set)
        control.log, control.woken = log, woken
        made.append(control)
        return control

    yield start
    for control in made:
        control.close()


@contextlib.contextmanager
def connected(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
        peer.settimeout(SECONDS)
        peer.connect(str(path))
        yield peer


def read_line(peer: socket.socket) -> Any:
    """The next line and no more: the one behind it may be there already."""
    data = b""
    while not data.endswith(b"\n"):
        part = peer.recv(1)
        assert part, data
        data += part
    return json.loads(data)


def is_listened_at(path: Path) -> bool:
    """A file that is there already may not be listened at yet."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
        return peer.connect_ex(str(path)) == 0


def wait_until(true: Callable[[], Any]) -> None:
    end = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def serve(control: Any, number: int) -> list[str]:
    """Answers so many requests as the main loop does; what they asked for."""
    asked: list[str] = []
    while len(asked) < number:
        assert control.woken.wait(SECONDS)
        for request in control.take(time.monotonic()):
            asked.append(request.asked.do)
            request.answer({"ok": True, "number": len(asked)})
        time.sleep(TURN_S / 2)
    return asked


# ---- the file -----------------------------------------------------------------------------------------------------


def test_the_group_of_the_process_may_use_it_and_nobody_else(open_control, path: Path):
    """Mode 0660, whatever the umask is; the file goes with the daemon."""
    before = os.umask(0o077)
    try:
        control = open_control()
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert path.stat().st_gid == os.getegid() or path.parent.stat().st_mode & stat.S_ISGID
    control.close()
    assert not path.exists()


def test_nobody_can_come_in_before_the_permissions_are_right(open_control, path: Path, monkeypatch):
    """When the file appears only its owner may use it, and when it is opened to the group nobody can connect yet."""
    seen: list[int] = []
    real = type(path).chmod

    def chmod(self: Path, mode: int) -> None:
        seen.append(stat.S_IMODE(self.stat().st_mode))
        with pytest.raises(ConnectionRefusedError), connected(self):
            pass
        real(self, mode)

    before = os.umask(0)
    try:
        monkeypatch.setattr(type(path), "chmod", chmod)
        open_control()
    finally:
        os.umask(before)
    assert seen == [0o600]
    assert stat.S_IMODE(path.stat().st_mode) == 0o660


def test_the_configured_group_may_use_it(open_control, path: Path):
    """The file belongs to the group that the configuration names."""
    own = grp.getgrgid((os.getgroups() or [os.getegid()])[-1]).gr_name
    name = "daemon" if os.geteuid() == 0 else own  # only root can give a file to any group
    open_control(name)
    assert path.stat().st_gid == grp.getgrnam(name).gr_gid


def test_a_group_that_it_cannot_be_given_to_is_told(open_control, path: Path, monkeypatch):
    """No socket of another group stays behind, and what to do is said."""

    def refused(*_: Any, **__: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chown", refused)
    control = open_control("daemon")
    assert "cannot be given to the group 'daemon' (Operation not permitted): make the service" in control.problem
    assert not path.exists()


def test_what_a_dead_process_left_is_replaced(open_control, path: Path):
    """A socket file that nobody listens on is no reason to be without one, and it is said."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left:
        left.bind(str(path))
    control = open_control()
    assert ("removed a stale socket", {"path": str(path)}) in control.log.calls
    with connected(path):
        pass


def test_a_socket_in_use_is_left_alone_and_taken_over_later(open_control, path: Path, monkeypatch):
    """Another daemon's socket stays its own; once it is gone ours comes, without a restart."""
    monkeypatch.setattr(module, "LOOK_S", 0.05)
    other = open_control()
    control = open_control()
    assert "another process already listens" in control.problem
    inode = path.stat().st_ino
    wait_until(lambda: [event for event, _ in control.log.calls] == ["no control socket"])
    assert path.stat().st_ino == inode
    other.close()
    wait_until(lambda: not control.problem)
    with connected(path) as peer:
        peer.sendall(b'{"do": "status"}\n')
        assert serve(control, 1) == ["status"]


def test_a_folder_that_is_not_there_yet_is_waited_for_and_said_once(open_control, path: Path, monkeypatch):
    """Detection does not wait for it; a run folder that comes late is enough."""
    monkeypatch.setattr(module, "LOOK_S", 0.05)
    folder = path.parent / "run"
    log = Log()
    control = Control(ControlConfig(folder / "control.sock"), log, lambda: None)
    try:
        assert control.problem.startswith(f"control.socket: the folder {folder}: there is no such file or folder")
        time.sleep(0.3)
        assert [event for event, _ in log.calls] == ["no control socket"]
        folder.mkdir()
        wait_until(lambda: not control.problem)
        with connected(folder / "control.sock"):
            pass
    finally:
        control.close()


def test_a_file_that_is_no_socket_is_left_alone(open_control, path: Path):
    """It is somebody's; what to do is said."""
    path.write_text("mine")
    control = open_control()
    assert control.problem == f"control.socket: {path} exists and is not a socket: remove it or choose another path"
    control.close()
    assert path.read_text() == "mine"


def test_a_file_that_was_removed_is_made_again_and_said(open_control, path: Path, monkeypatch):
    """Whoever cleans the run folder does not shut people out until a restart."""
    monkeypatch.setattr(module, "LOOK_S", 0.05)
    control = open_control()
    path.unlink()
    wait_until(lambda: is_listened_at(path))
    assert "the control socket's file was gone: it is made again" in [event for event, _ in control.log.calls]
    with connected(path) as peer:
        peer.sendall(b'{"do": "status"}\n')
        serve(control, 1)
        assert read_line(peer)["ok"]


def test_without_a_path_there_is_no_socket():
    """``socket = ""``: nothing is made, and nothing is said."""
    log = Log()
    control = Control(ControlConfig(None), log, lambda: None)
    assert (control.take(time.monotonic()), control.problem, log.calls) == ([], "", [])
    control.close()


# ---- requests -----------------------------------------------------------------------------------------------------


def test_several_requests_of_one_connection_are_answered_in_turn(open_control, path: Path):
    """Line by line, each after the other; a sentence for what is none. Who asked is known from the system."""
    control = open_control()
    with connected(path) as peer:
        peer.sendall(b'{"do": "status"}\nnonsense\n{"do": "reload"}')
        peer.shutdown(socket.SHUT_WR)  # as `nc -N` does: the last line needs no end
        wait_until(control.woken.is_set)
        (request,) = control.take(time.monotonic())
        assert request.who == f"uid {os.getuid()}, pid {os.getpid()}"
        request.answer({"ok": True, "first": 1})
        request.answer({"ok": True, "second": 2})
        assert read_line(peer) == {"ok": True, "first": 1}
        assert "no JSON object" in read_line(peer)["error"]
        assert serve(control, 1) == ["reload"]
        assert read_line(peer)["ok"]
        assert peer.recv(1) == b""


def test_who_is_gone_before_the_answer_is_no_error(open_control, path: Path):
    """The answer goes nowhere, and the place is free again."""
    control = open_control()
    with connected(path) as peer:
        peer.sendall(b'{"do": "status"}\n')
        wait_until(control.woken.is_set)
    (request,) = control.take(time.monotonic())
    request.answer({"ok": True, "much": "x" * 1_000_000})
    wait_until(lambda: not control._peers)
    assert [event for event, _ in control.log.calls] == ["control socket"]


def test_an_answer_may_come_later_and_from_any_thread(open_control, path: Path):
    """A request that takes its time holds nobody else up."""
    control = open_control()
    with connected(path) as slow, connected(path) as quick:
        slow.sendall(b'{"do": "reload"}\n')
        wait_until(control.woken.is_set)
        (late,) = control.take(time.monotonic())
        quick.sendall(b'{"do": "status"}\n')
        serve(control, 1)
        assert read_line(quick)["ok"]
        threading.Thread(target=late.answer, args=({"ok": False, "error": "no"},)).start()
        assert read_line(slow) == {"ok": False, "error": "no"}


def test_an_answer_that_is_too_long_is_a_sentence(open_control, path: Path, monkeypatch):
    """Its length is bounded, as a request's is."""
    monkeypatch.setattr(module, "MAX_ANSWER", 1000)
    control = open_control()
    with connected(path) as peer:
        peer.sendall(b'{"do": "status"}\n')
        wait_until(control.woken.is_set)
        (request,) = control.take(time.monotonic())
        request.answer({"ok": True, "much": "x" * 1000})
        assert read_line(peer)["error"] == "the answer has more than 1000 bytes"


def test_at_the_end_who_waits_is_told(open_control, path: Path):
    """Nobody is left without a word, and closing waits for nobody."""
    control = open_control()
    with connected(path) as waiting, connected(path) as silent:
        waiting.sendall(b'{"do": "reload"}\n')
        wait_until(lambda: control.woken.is_set() and len(control._peers) == 2)
        control.close()
        assert read_line(waiting) == {"ok": False, "error": "the agent stops"}
        assert silent.recv(1) == b""


# ---- what a peer may cost -----------------------------------------------------------------------------------------


def test_a_line_without_end_is_refused_and_its_peer_cut_off(open_control, path: Path):
    """Not more is read than tells that it is too long."""
    open_control()
    with connected(path) as peer:
        with contextlib.suppress(OSError):
            for _ in range(1000):
                peer.sendall(b"x" * MAX_LINE)
        assert f"more than {MAX_LINE} bytes" in read_line(peer)["error"]


def test_who_is_silent_or_slow_is_cut_off(open_control, path: Path, monkeypatch):
    """A line must be there in time, a byte now and then does not help; nor may an answer be left standing."""
    monkeypatch.setattr(module, "PEER_S", 0.3)
    control = open_control()
    with connected(path) as silent, connected(path) as slow, connected(path) as deaf:
        deaf.sendall(b'{"do": "status"}\n')
        wait_until(control.woken.is_set)
        (request,) = control.take(time.monotonic())
        request.answer({"ok": True, "much": "x" * 8_000_000})
        with pytest.raises(OSError, match=r"[Bb]roken pipe|reset"):
            dribble(slow)
        wait_until(lambda: not control._peers)
        assert silent.recv(1) == b""


def dribble(peer: socket.socket) -> None:
    """A byte now and then, for much longer than a line may take."""
    for _ in range(250):
        peer.sendall(b" ")
        time.sleep(0.02)


def test_only_so_many_are_heard_at_a_time(open_control, path: Path, monkeypatch):
    """Further ones wait, until one of those is cut off."""
    monkeypatch.setattr(module, "PEER_S", 0.5)
    control = open_control()
    with contextlib.ExitStack() as peers:
        for _ in range(MAX_PEERS):
            peers.enter_context(connected(path))
        wait_until(lambda: len(control._peers) == MAX_PEERS)
        last = peers.enter_context(connected(path))
        last.sendall(b'{"do": "status"}\n')
        assert len(control._peers) == MAX_PEERS
        serve(control, 1)
        assert read_line(last)["ok"]
        assert len(control._peers) < MAX_PEERS


def test_a_connection_ends_after_many_answers(open_control, path: Path, monkeypatch):
    """Who asks on and on leaves a place for others now and then."""
    monkeypatch.setattr(module, "MAX_ASKED", 3)
    open_control()
    with connected(path) as peer:
        peer.sendall(b"garbage\n" * 5)
        answers = b""
        with contextlib.suppress(ConnectionResetError):
            while part := peer.recv(65536):
                answers += part
        assert answers.count(b"\n") == 3


def test_a_turn_of_the_main_loop_takes_few_requests(open_control, path: Path):
    """And such turns keep a distance: however many ask, frames are delivered in between."""
    control = open_control()
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(connected(path)) for _ in range(PER_TURN + 2)]
        for peer in peers:
            peer.sendall(b'{"do": "status"}\n')
        wait_until(lambda: len(control._queue) == PER_TURN + 2)
        taken = control.take(100.0)
        assert len(taken) == PER_TURN
        assert control.due == 100.0 + TURN_S
        assert control.take(100.0 + TURN_S / 2) == []
        rest = control.take(100.0 + TURN_S)
        assert len(rest) == 2
        for request in (*taken, *rest):
            request.answer({"ok": True})
        assert all(read_line(peer)["ok"] for peer in peers)


def test_without_descriptors_it_waits_and_goes_on(open_control, path: Path, monkeypatch):
    """A process that has no descriptor left takes nobody in, and does not turn in circles meanwhile."""
    control = open_control()
    calls: list[float] = []
    real = control._accept

    def accept(listener: socket.socket) -> bool:
        calls.append(time.monotonic())
        return real(listener) if len(calls) > 2 else False

    monkeypatch.setattr(module, "BROKEN_S", 0.1)
    monkeypatch.setattr(control, "_accept", accept)
    with connected(path) as peer:
        peer.sendall(b'{"do": "status"}\n')
        serve(control, 1)
        assert read_line(peer)["ok"]
    assert calls[1] - calls[0] >= 0.1


def test_the_bounds_are_those_that_people_are_told(root: Path):
    """docs/service.md names what a peer may cost, and what a picture may be."""
    page = " ".join((root / "docs" / "service.md").read_text(encoding="utf-8").split())
    assert f"A line has at most {MAX_LINE} bytes; {MAX_PEERS} connections are heard at a time" in page
    assert f"who sends no whole line within {module.PEER_S:g} s, or takes no answer for so long, is cut off" in page
    assert f"a connection after {module.MAX_ASKED} answers" in page
    assert PER_TURN == 4
    assert f"four requests at most every {TURN_S * 1000:g} ms" in page
    assert f"one that somebody removed is made again within {module.LOOK_S:g} s" in page
    assert f"at most {snapshots.LONGEST} pixels a side and {snapshots.MAX_JPEG >> 20} MiB" in page
    assert f"None within {snapshots.DEADLINE_S:g} s: refused" in page
    assert f"the last {MAX_CHANGES} are kept" in page
    assert snapshots.MAX_WAITING == 4
