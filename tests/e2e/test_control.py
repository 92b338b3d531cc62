"""A running daemon that is asked and changed over its control socket, by the commands that people use."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import cv2
import pytest
from tests.e2e.test_daemon import source
from tests.models import small_bundle

from mlu_agent.cli import main
from mlu_agent.commands.status import table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOST = source("gate", url="rtsp://admin:secret@127.0.0.1:9/x")
LIVE = source("camera", synthetic="64x48@20", realtime=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.sock"


@pytest.fixture
def control(path: Path) -> str:
    return f'[control]\nsocket = "{path}"\n'


@pytest.fixture
def command(path: Path, capsys: pytest.CaptureFixture[str]):
    """A function from the words of a command line to its exit code, output and complaint."""

    def run(*words: str) -> tuple[int, str, str]:
        code = main([words[0], "--socket", str(path), *words[1:]])
        return (code, *capsys.readouterr())

    return run


def test_status_tells_how_everything_is(run_daemon, command, control: str):
    """A table for people, JSON for programs; 0 while all sources deliver. No password is told."""
    daemon = run_daemon(LIVE + control)
    daemon.wait_for_log("source", source="camera", state="live")
    code, out, _ = command("status")
    assert code == 0
    assert [line for line in out.splitlines() if line.startswith("camera  live ")]
    code, out, _ = command("status", "--json")
    status = json.loads(out)
    assert (code, status["agent"]["pid"], status["agent"]["phase"]) == (0, daemon.process.pid, "serving")
    assert status["models"][0]["runtime"] == "simulator"
    assert [one["state"] for one in status["sources"]] == ["live"]


def test_status_ends_with_1_where_a_source_is_lost_and_says_why(run_daemon, command, control: str):
    """Whoever looks sees which, since when and the reason."""
    run_daemon(LIVE + LOST + control).wait_for_log("source", source="gate", state="lost")
    code, out, _ = command("status")
    assert code == 1
    assert "nothing listens at this address and port (refused)" in " ".join(out.split())
    assert "secret" not in out
    assert all(len(line) <= 80 for line in out.splitlines() if "/" not in line)  # a path is never broken
    assert command("ctl", "status")[:2][0] == 1


def test_status_answers_while_the_start_waits(run_daemon, command, control: str, tmp_path: Path):
    """A box whose model is on a mount that is not there says so to whoever asks."""
    daemon = run_daemon(LIVE + control, model=tmp_path / "late" / "model.cambricon")
    daemon.wait_for_log("waiting")
    code, out, _ = command("status")
    assert code == 1
    assert "starting" in out
    assert "waiting:" in out
    assert "there is no such file or folder" in " ".join(out.split())
    code, _, complaint = command("ctl", "pause", "camera")
    assert (code, complaint.startswith("mlu-agent: the agent is starting")) == (2, True)
    assert daemon.stop() == 0
    assert not (tmp_path / "control.sock").exists()


def test_a_source_is_paused_looked_at_and_resumed(run_daemon, command, control: str, tmp_path: Path):
    """Each order says what it came to; the log says who asked."""
    daemon = run_daemon(LIVE + control)
    daemon.wait_for_log("source", source="camera", state="live")
    picture = tmp_path / "look.jpg"
    code, out, _ = command("ctl", "snapshot", "camera", "--output", str(picture))
    assert (code, out) == (0, f"{picture}: 64x48\n")
    assert cv2.imread(str(picture)).shape == (48, 64, 3)
    code, out, _ = command("ctl", "pause", "camera")
    assert (code, out) == (0, "source camera is paused until it is resumed, or until a restart\n")
    daemon.wait_for_log("source", source="camera", state="paused", reason=f"paused by {me()}")
    assert command("status")[0] == 0
    code, _, complaint = command("ctl", "snapshot", "camera", "--output", str(picture))
    assert (code, "no picture will come: it is paused" in complaint) == (2, True)
    assert command("ctl", "--json", "resume", "camera")[0] == 0
    assert daemon.wait_for_log("asked to change", what="resume camera", ok=True)["who"] == me()
    daemon.wait_for_log("source", source="camera", state="connecting", reason="resumed")
    code, _, complaint = command("ctl", "pause", "gaet")
    assert (code, complaint) == (2, "mlu-agent: source: there is no 'gaet'; known here: camera\n")
    code, out, complaint = command("ctl", "pause", "gaet", "--json")
    assert (code, complaint) == (2, "")
    assert json.loads(out) == {"ok": False, "error": "source: there is no 'gaet'; known here: camera"}


def test_which_daemon_may_be_said_before_the_order_or_behind_it(path: Path, tmp_path: Path, capsys):
    """By its socket or by its configuration; nobody has to remember an order of words."""
    config = tmp_path / "agent.toml"
    config.write_text(
        f'[model]\npath = "a.cambricon"\n[[source]]\nid = "a"\ncamera = 0\n[control]\nsocket = "{path}"\n'
    )
    for words in (["--socket", str(path), "reload"], ["reload", "--socket", str(path)], ["reload", "-c", str(config)]):
        assert main(["ctl", *words]) == 3
        assert capsys.readouterr().err.startswith(f"mlu-agent: {path}: no daemon listens there")


def me() -> str:
    return f"uid {os.getuid()}, pid {os.getpid()}"


def test_a_subscriber_hears_that_a_source_is_paused(run_daemon, command, listen, control: str, endpoint: str):
    """A state of its own, which a subscriber of an older version hands on as text."""
    daemon, listener = run_daemon(LIVE + control), listen(endpoint)
    daemon.wait_for_log("source", source="camera", state="live")
    assert command("ctl", "pause", "camera")[0] == 0
    listener.wait_for(lambda: [m for m in listener.of_kind("state", "camera") if m["state"] == "paused"])
    listener.wait_for(lambda: [m for m in listener.of_kind("heartbeat") if m["sources"] == {"camera": "paused"}])


def test_what_is_logged_is_changed_while_it_runs(run_daemon, command, control: str):
    """Until a reload or a restart: `error` makes it silent, `info` tells again."""
    daemon = run_daemon(LIVE + control)
    daemon.wait_for_log("source", source="camera", state="live")
    assert command("ctl", "log", "error")[0] == 0
    command("ctl", "pause", "camera")
    assert json.loads(command("status", "--json")[1])["agent"]["log_level"] == "error"
    assert command("ctl", "log", "info")[0] == 0
    daemon.wait_for_log("asked to change", what="log info")
    assert not [line for line in daemon.lines if line.get("state") == "paused"]


def test_a_reload_and_a_swap_tell_what_they_came_to(
    run_daemon, command, control: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """0 when all of it is in force; 2 with the reason where nothing was changed, which status keeps telling. A pause
    outlives a source that begins anew."""
    daemon = run_daemon(LIVE + control)
    daemon.wait_for_log("source", source="camera", state="live")
    config = tmp_path / "agent0.toml"
    text = config.read_text()
    assert command("ctl", "pause", "camera")[0] == 0
    config.write_text(text.replace("64x48", "96x64"))
    assert command("ctl", "reload")[:2] == (0, "source begun anew camera\n")
    told = [("64x48@20", "paused")]
    for _ in range(200):  # the one before ends in its own time
        if told != [("64x48@20", "paused")]:
            break
        time.sleep(0.05)
        status = json.loads(command("status", "--json")[1])
        told = [(one["location"], one["state"]) for one in status["sources"]]
    assert told == [("96x64@20", "paused")]
    config.write_text(text + "[nonsense]\n")
    code, out, complaint = command("ctl", "reload")
    assert (code, out) == (2, "")
    assert "nonsense: is not an option" in complaint
    assert "reload" in command("status")[1]
    assert "nonsense: is not an option" in " ".join(command("status")[1].split())
    (tmp_path / "other").mkdir()
    other = small_bundle(tmp_path / "other")
    monkeypatch.chdir(other.parent)
    assert command("ctl", "swap", "main", other.name)[0] == 0
    assert json.loads(command("status", "--json")[1])["models"][0]["path"] == str(other)
    code, _, complaint = command("ctl", "swap", "main", "none.cambricon")
    assert (code, "none.cambricon" in complaint) == (2, True)
    assert command("ctl", "resume", "camera")[0] == 0
    daemon.wait_for_log("asked to change", what="resume camera", ok=True)
    assert daemon.stop() == 0


def test_a_reload_whose_file_names_another_socket_by_now_is_refused_by_the_daemon(
    run_daemon, control: str, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    """At the usual socket, where its own file is told; a daemon of another file there is not asked."""
    monkeypatch.setattr("mlu_agent.commands.ctl.USUAL", path)
    daemon = run_daemon(LIVE + control)
    daemon.wait_for_log("ready")
    config = tmp_path / "agent0.toml"
    text = config.read_text()
    for changed, words in ((f"{path}.other", "no daemon listens there"), ("", 'control.socket = ""')):
        config.write_text(text.replace(f'"{path}"', f'"{changed}"'))
        assert main(["ctl", "-c", str(config), "reload"]) == 2
        complaint = capsys.readouterr().err
        assert words in complaint
        assert "control.socket: changes with a restart" in complaint
    copy = tmp_path / "copy.toml"
    copy.write_text(text.replace(f'"{path}"', f'"{path}.other"'))
    assert main(["ctl", "-c", str(copy), "reload"]) == 3
    assert daemon.stop() == 0


def test_without_a_daemon_it_says_what_to_look_at(command, path: Path, tmp_path: Path, capsys):
    """3: nobody listens, or the configuration wants no socket."""
    code, _, complaint = command("status")
    assert code == 3
    assert complaint == f"mlu-agent: {path}: no daemon listens there: is it running (systemctl status mlu-agent)?\n"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    assert command("ctl", "reload")[0] == 3
    config = tmp_path / "none.toml"
    config.write_text('[model]\npath = "a.cambricon"\n[[source]]\nid = "a"\ncamera = 0\n[control]\nsocket = ""\n')
    assert main(["status", "-c", str(config)]) == 2
    assert 'control.socket is ""' in capsys.readouterr().err


def test_who_may_not_is_told_which_group_to_join(command, path: Path, tmp_path: Path):
    """Permission is by group: the sentence says how to get it."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        with stranger(path):
            code, _, complaint = command("status")
    assert code == 3
    assert "permission denied: become a member of the socket's group (usermod -aG mlu-agent USER" in complaint


@contextlib.contextmanager
def stranger(path: Path):
    """Somebody who may not use the socket: root has to become another for that."""
    path.chmod(0)
    if os.geteuid() == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        if os.getuid() == 0:
            os.seteuid(0)


def test_what_is_no_agent_is_refused(command, path: Path):
    """Another program's answer, however it looks, leads to a sentence."""
    for answer in (b"hello\n", b"[]\n", b'{"ok": true}\n', b'{"ok": true, "status": {"agent": 3}}\n', b""):
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen()
            thread = threading.Thread(target=answer_once, args=(listener, answer))
            thread.start()
            code, out, complaint = command("status")
            thread.join()
        path.unlink()
        assert (code, out) == (3, "")
        assert complaint.count("\n") == 1


def answer_once(listener: socket.socket, answer: bytes) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(1000)
        connection.sendall(answer)


def test_detection_does_not_wait_for_the_control_socket(run_daemon, tmp_path: Path, command):
    """A folder that is not there is waited for beside everything else, and said."""
    folder = tmp_path / "run"
    daemon = run_daemon(LIVE + f'[control]\nsocket = "{folder}/control.sock"\n')
    assert "there is no such file or folder" in daemon.wait_for_log("no control socket")["reason"]
    daemon.wait_for_log("source", source="camera", state="live")
    folder.mkdir()
    daemon.wait_for_log("control socket", path=f"{folder}/control.sock")
    assert daemon.stop() == 0
    assert list(folder.iterdir()) == []


def test_a_group_that_is_not_there_is_a_mistake(run_daemon, control: str, tmp_path: Path, capsys):
    """Only a person can change that: 2 at once, at the start and from check."""
    daemon = run_daemon(LIVE + control + 'group = "nobody-has-it"\n')
    assert daemon.wait() == 2
    assert "control.group: there is no group 'nobody-has-it' on this machine" in daemon.errors
    assert main(["check", "-c", str(tmp_path / "agent0.toml")]) == 2
    assert "there is no group 'nobody-has-it'" in capsys.readouterr().err


def test_whatever_peers_do_frames_and_heartbeats_go_on(run_daemon, listen, control: str, endpoint: str, path: Path):
    """Garbage, silence, floods and those who never read: subscribers notice nothing, and others are still answered."""
    daemon, listener = run_daemon(LIVE + control), listen(endpoint)
    daemon.wait_for_log("source", source="camera", state="live")
    stop = threading.Event()
    peers = [threading.Thread(target=misbehave, args=(path, data, stop)) for data in MISBEHAVIOUR]
    for peer in peers:
        peer.start()
    heartbeats, frames = len(listener.of_kind("heartbeat")), len(listener.of_kind("frame"))
    listener.wait_for(lambda: len(listener.of_kind("heartbeat")) > heartbeats + 8)
    listener.wait_for(lambda: len(listener.of_kind("frame")) > frames + 20)
    stop.set()
    for peer in peers:
        peer.join(30)
    sequences = [message["seq"] for message in listener.of_kind("frame")]
    assert sequences == list(range(sequences[0], sequences[-1] + 1))
    assert daemon.stop() == 0
    assert not [line for line in daemon.lines if line.get("event") == "the control socket fails"]


MISBEHAVIOUR = (
    b"",
    b"garbage\n" * 50,
    b"x" * 100_000,
    b'{"do": "status"}\n' * 50,
    b'{"do": "snapshot", "source": "camera"}\n' * 5,
)


def misbehave(path: Path, data: bytes, stop: threading.Event) -> None:
    """Comes again and again, sends, and reads nothing."""
    while not stop.is_set():
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(0.2)
            peer.connect(str(path))
            peer.sendall(data)


# ---- the table ----------------------------------------------------------------------------------------------------


def told(**changes: Any) -> dict[str, Any]:
    source = {
        "id": "a" * 64, "state": "stalled", "reason": "connected, but no frame for long " * 4, "code": "silent",
        "since_ns": 0, "fps_published": 24.96, "latency_ms": 31.4,
        "counters": {"failed": 2, **dict.fromkeys(("dropped_newer_frame", "dropped_max_fps", "dropped_stale"), 123456)},
    }  # fmt: skip
    agent = {
        "version": "1",
        "box": "b",
        "phase": "serving",
        "pid": 1,
        "uptime_s": 200000.0,
        "reason": "",
        "endpoint": "e",
    }
    return {
        "agent": {**agent, "log_lost": 3},
        "models": [],
        "device": {"state": "lost", "reason": "the device hangs"},
        "sources": [source],
        "changes": [{"what": "swap main", "when_ns": 0, "who": "uid 1", "ok": False, "came_to": "it is broken"}],
        **changes,
    }


def test_the_table_fits_a_terminal_whatever_it_tells():
    """80 letters a line, long names cut, long sentences wrapped, nothing left out."""
    lines = table(told())
    assert all(len(line) <= 80 for line in lines), lines
    text = " ".join(" ".join(lines).split())
    for part in (
        "2 d 7 h",
        "lost: the device hangs",
        "refused: it is broken",
        "3 lines were lost",
        "2 failed",
        "(silent)",
    ):
        assert part in text


def test_each_source_tells_its_model_where_there_are_several():
    """Where there is one it would be noise."""
    model = {
        "name": "m",
        "model": "m",
        "sha256": "0" * 64,
        "device": "d",
        "cores": 4,
        "path": "p",
        "refused": "",
        "health": told()["device"],
    }
    one, two = told(models=[model]), told(models=[model, model])
    for status in (one, two):
        status["sources"][0]["model"] = "people"
    assert "looked at by people" not in "\n".join(table(one))
    assert "    looked at by people" in table(two)


def test_colours_are_only_where_they_are_wanted():
    """A state is red, yellow or green on a terminal; a letter that a terminal obeys never comes from a daemon."""
    assert "\033[31mstalled" in "\n".join(table(told(), colours=True))
    assert "\033" not in "\n".join(table(told()))
    hostile = told()
    hostile["sources"][0].update(id="\033[2J", state="\033[2J", reason="\033[2J")
    assert "\033" not in "\n".join(table(hostile, colours=True))


def test_status_watches_until_it_is_told_to_end(run_daemon, path: Path, control: str):
    """One object a line, or a table under the time; a daemon that is gone is said, and looked for again."""
    daemon = run_daemon(LIVE + control)
    daemon.wait_for_log("source", source="camera", state="live")
    command = [sys.executable, "-m", "mlu_agent.cli", "status", "--socket", str(path), "--watch", "0.1"]
    with watching([*command, "--json"]) as lines, watching(command) as people:
        assert [len(json.loads(next(lines))["sources"]) for _ in range(3)] == [1, 1, 1]
        seen = [next(people) for _ in range(30)]
        assert sum(line.startswith("camera  live ") for line in seen) >= 2
        assert sum(bool(re.fullmatch(r"\d\d:\d\d:\d\d\n", line)) for line in seen) >= 2
        daemon.process.kill()
        daemon.wait()
        assert any("no daemon listens there" in json.loads(line).get("error", "") for line in lines)
        assert any("no daemon listens there" in line for line in people)


@contextlib.contextmanager
def watching(command: list[str]) -> Iterator[Iterator[str]]:
    """Its lines; it is interrupted at the end, and says nothing of that."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    ) as process:
        try:
            yield iter(process.stdout.readline, "")
            process.send_signal(signal.SIGINT)
            _, complaint = process.communicate(timeout=20)
            assert (process.returncode, complaint) == (130, "")
        finally:
            process.kill()
