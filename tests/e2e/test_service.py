"""The daemon as a service: nothing outside of it decides whether it lives, but who is asked to decide that."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.e2e.test_daemon import Manager
from tests.stops import STATES, Cameras, Running, catches_term, stop

from mlu_agent.client import Subscriber

if TYPE_CHECKING:
    from collections.abc import Iterator

CAMERA = '[[source]]\nid = "camera"\nsynthetic = "64x48@20"\nrealtime = true\n'
SECONDS = 60


@pytest.fixture(scope="module")
def cameras() -> Iterator[Cameras]:
    """Slow ones, of several kinds; a little faster than those of the benchmark, for machines that are busy."""
    with Cameras(fps=2.0) as made:
        yield made


@pytest.fixture
def start(tmp_path: Path, model_path: Path, simulator_path: Path):
    """A function that starts a daemon with an output of the test's own; what is left ends with the test."""
    processes: list[subprocess.Popen[str]] = []

    def run(
        output: Any, *, model: Path = model_path, endpoint: str = "", log: str = "", **environment: str
    ) -> subprocess.Popen[str]:
        config = tmp_path / "agent.toml"
        endpoint = endpoint or f"ipc://{tmp_path}/out.sock"
        config.write_text(
            f'[model]\npath = "{model}"\nruntime = "simulator"\n[publish]\nendpoint = "{endpoint}"\n'
            f"heartbeat_s = 0.1\n[log]\n{log}\n{CAMERA}"
        )
        env = {**os.environ, "MLU_AGENT_SIMULATOR": str(simulator_path), **environment}
        command = [sys.executable, "-m", "mlu_agent.cli", "run", "-c", str(config)]
        processes.append(
            subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.PIPE, text=True, env=env
            )
        )
        return processes[-1]

    yield run
    for process in processes:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


def events(path: Path) -> list[dict[str, Any]]:
    """The log so far."""
    return [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]


def wait_for_event(path: Path, word: str, process: subprocess.Popen[str]) -> dict[str, Any]:
    """The first line of the log whose event holds the word."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        for event in events(path):
            if word in event["event"]:
                return event
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.02)
    raise AssertionError(f"no event {word!r} in {path.read_text()}")


def hear(endpoint: str, kind: str, number: int) -> None:
    """So many messages of a kind arrive from now on."""
    with Subscriber(endpoint, kinds=[kind]) as subscriber:
        for _ in range(number):
            assert subscriber.receive(SECONDS) is not None, f"no {kind}"


# ---- the end ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STATES)
def test_it_stops_when_it_is_told_to_in_every_state(
    name: str, tmp_path: Path, model_path: Path, simulator_path: Path, cameras: Cameras
):
    """With eight slow cameras: exit code 0, by itself. ``benchmarks/stops.py`` does hundreds, within 5 s each."""
    ended = stop(name, tmp_path, model_path, simulator_path, cameras)
    assert ended.code == 0, ended
    assert not (tmp_path / "out.sock").exists()


# ---- signals ------------------------------------------------------------------------------------------------------


def test_a_reload_is_answered_and_no_signal_kills(start, tmp_path: Path, endpoint: str):
    """HUP: the service manager hears RELOADING and READY; USR1: a summary at once; others: ignored, each said."""
    manager = Manager(tmp_path)
    log = tmp_path / "log"
    try:
        with log.open("w") as output:
            process = start(output, log="summary_s = 0.0", NOTIFY_SOCKET=manager.path)
        wait_for_event(log, "ready", process)
        manager.wait_for("READY=1")
        manager.received.clear()
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGRTMIN):
            process.send_signal(number)
        for word in ("SIGHUP: the configuration is read anew", "changed", "summary", "a signal without a meaning"):
            wait_for_event(log, word, process)
        manager.wait_for("RELOADING=1")
        manager.wait_for("READY=1")
        heard = [datagram.split("\n")[0] for datagram in manager.received if "1" in datagram.split("\n")[0]]
        assert heard.index("RELOADING=1") < heard.index("READY=1")
        (usec,) = [
            line[15:] for text in manager.received for line in text.split("\n") if line[:15] == "MONOTONIC_USEC="
        ]
        assert 0 < int(usec) <= time.monotonic_ns() // 1000
        hear(endpoint, "frame", 3)
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0
        manager.wait_for("STOPPING=1")
        assert "EXTEND_TIMEOUT_USEC=6000000" in manager.received[-1].split("\n")
    finally:
        manager.close()


def test_signals_are_known_from_the_first_moment(start, tmp_path: Path):
    """While the program is still being imported: HUP and USR1 do no harm and are answered when it is ready."""
    log = tmp_path / "log"
    with log.open("w") as output:
        process = start(output)
    running = Running(process, tmp_path)
    while not catches_term(running):
        assert process.poll() is None
    for _ in range(3):
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGUSR1)
    wait_for_event(log, "ready", process)
    assert wait_for_event(log, "SIGHUP", process)["count"] >= 1
    process.send_signal(signal.SIGTERM)
    assert process.wait(SECONDS) == 0


# ---- the log ------------------------------------------------------------------------------------------------------


@pytest.mark.full
def test_a_full_disk_under_the_log_is_nothing_to_the_service(start, endpoint: str):
    """Every line of the log fails; frames flow, and the end is a good one."""
    with Path("/dev/full").open("w") as full:
        process = start(full, log="summary_s = 0.05")
    hear(endpoint, "frame", 20)
    process.send_signal(signal.SIGTERM)
    assert process.wait(SECONDS) == 0


def test_a_log_whose_reader_is_gone_is_nothing_to_the_service(start, endpoint: str):
    """As when the journal is started anew; it was exit code 141."""
    reading, writing = os.pipe()
    process = start(writing, log="summary_s = 0.05")
    os.close(writing)
    assert os.read(reading, 10)
    os.close(reading)
    hear(endpoint, "frame", 20)
    process.send_signal(signal.SIGTERM)
    assert process.wait(SECONDS) == 0


def test_a_log_whose_reader_sleeps_holds_nothing_up_and_goes_on_later(start, endpoint: str):
    """Heartbeats and frames go on while the pipe is full; the reader that comes back finds every line."""
    reading, writing = os.pipe()
    process = start(writing, log="summary_s = 0.01")
    os.close(writing)
    with os.fdopen(reading, "rb") as log:
        hear(endpoint, "heartbeat", 25)  # 2.5 s: some 200 kB of summaries, the pipe holds 64
        hear(endpoint, "frame", 20)
        assert select.select([log], [], [], 0)[0]
        process.send_signal(signal.SIGHUP)
        seen = [json.loads(log.readline()) for _ in range(200)]
        while not any("SIGHUP" in line["event"] for line in seen):
            seen.append(json.loads(log.readline()))
        assert not any("lost" in line["event"] for line in seen)
        assert {line["log_lost"] for line in seen if line["event"] == "summary"} == {0}
        process.send_signal(signal.SIGTERM)
        assert b"stopped" in log.read()
    assert process.wait(SECONDS) == 0


def test_a_log_for_people_has_colours_on_terminals_only(start, tmp_path: Path):
    """Files and pipes get none."""
    log = tmp_path / "log"
    with log.open("w") as output:
        process = start(output, log='format = "text"')
    end = time.monotonic() + SECONDS
    while "ready" not in log.read_text():
        assert time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(SECONDS) == 0
    assert "\x1b" not in log.read_text()


# ---- what is not there yet ----------------------------------------------------------------------------------------


def test_a_model_that_comes_later_is_waited_for(start, tmp_path: Path, model_path: Path, endpoint: str):
    """Neither folder nor file is there, then half of the bundle, then all: it says what it waits for, and serves."""
    folder, log = tmp_path / "mount", tmp_path / "log"
    manager = Manager(tmp_path)
    try:
        with log.open("w") as output:
            process = start(output, model=folder / "small.cambricon", NOTIFY_SOCKET=manager.path)
        assert "there is no such file or folder" in wait_for_event(log, "waiting", process)["reason"]
        manager.wait_for("EXTEND_TIMEOUT_USEC=30000000")
        folder.mkdir()
        data = model_path.read_bytes()
        (folder / "small.cambricon").write_bytes(data[: len(data) // 2])
        (folder / "small.toml").write_bytes(model_path.with_suffix(".toml").read_bytes())
        end = time.monotonic() + SECONDS
        while not any("is not the digest" in event.get("reason", "") for event in events(log)):
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.02)
        (folder / "small.cambricon").write_bytes(data)
        wait_for_event(log, "what was waited for is there", process)
        manager.wait_for("READY=1")
        hear(endpoint, "frame", 1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0
    finally:
        manager.close()


def test_a_model_that_is_broken_is_for_a_person_to_change(start, tmp_path: Path, model_path: Path):
    """Its files stay as they are: 2, which the unit does not try again."""
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "small.cambricon").write_bytes(b"no model")
    (folder / "small.toml").write_bytes(model_path.with_suffix(".toml").read_bytes())
    process = start(subprocess.DEVNULL, model=folder / "small.cambricon")
    assert process.wait(SECONDS) == 2


def test_a_folder_of_the_endpoint_that_comes_later_is_waited_for(start, tmp_path: Path):
    """That of a socket on a mount; an address of a network that is not up is waited for alike."""
    folder, log = tmp_path / "run", tmp_path / "log"
    with log.open("w") as output:
        process = start(output, endpoint=f"ipc://{folder}/out.sock")
    assert str(folder) in wait_for_event(log, "waiting", process)["reason"]
    folder.mkdir()
    wait_for_event(log, "ready", process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(SECONDS) == 0


def test_an_endpoint_in_use_is_waited_for_by_a_service_and_told_to_a_person(start, tmp_path: Path, endpoint: str):
    """Who starts a second daemon by hand wants to know at once; a box must not stay dead because somebody did."""
    manager = Manager(tmp_path)
    try:
        first = start(subprocess.DEVNULL)
        hear(endpoint, "heartbeat", 1)
        assert start(subprocess.DEVNULL).wait(SECONDS) == 2
        log = tmp_path / "log"
        with log.open("w") as output:
            service = start(output, NOTIFY_SOCKET=manager.path)
        assert "another process already listens" in wait_for_event(log, "waiting", service)["reason"]
        first.send_signal(signal.SIGTERM)
        assert first.wait(SECONDS) == 0
        wait_for_event(log, "ready", service)
        service.send_signal(signal.SIGTERM)
        assert service.wait(SECONDS) == 0
    finally:
        manager.close()


@pytest.mark.parametrize("managed, code", [(False, 2), (True, 3)])
def test_a_configuration_on_a_mount_that_comes_later_is_worth_another_start(tmp_path: Path, managed: bool, code: int):
    """Under a service manager: 3, which the unit tries again; by hand: the user's mistake."""
    environment = {**os.environ, **({"NOTIFY_SOCKET": str(tmp_path / "notify")} if managed else {})}
    command = [sys.executable, "-m", "mlu_agent.cli", "run", "-c", str(tmp_path / "none.toml")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=SECONDS, check=False)
    assert (done.returncode, "none.toml: cannot be read" in done.stderr) == (code, True)


def test_an_error_that_nobody_takes_ends_the_process_all_the_same(tmp_path: Path):
    """The last sentence goes to a reader that sleeps: the exit code is told by the process's end."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with contextlib.suppress(BlockingIOError):
        while os.write(writing, b"x" * 4096):
            pass
    os.set_blocking(writing, True)
    command = [sys.executable, "-m", "mlu_agent.cli", "run", "-c", str(tmp_path / "none.toml")]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=writing)
    try:
        assert process.wait(SECONDS) == 2
    finally:
        process.kill()
        process.wait()
        os.close(reading)
        os.close(writing)


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "soon"])
def test_a_wait_that_is_no_time_is_refused(value: str):
    """nan is neither more nor less than anything."""
    command = [sys.executable, "-m", "mlu_agent.cli", "run", "-c", "x.toml", f"--wait-for-subscriber={value}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 2
    assert f"'{value}' is not accepted; give 0 to 86400 seconds" in done.stderr


# ---- the machine --------------------------------------------------------------------------------------------------


def test_a_full_table_of_descriptors_keeps_nobody_from_his_frames(start, endpoint: str, tmp_path: Path):
    """No descriptor is left: who is connected gets frames, the service manager is answered, and the end is good."""
    manager = Manager(tmp_path)
    try:
        process = start(subprocess.DEVNULL, NOTIFY_SOCKET=manager.path, WATCHDOG_USEC="400000")
        with Subscriber(endpoint, kinds=["frame"]) as subscriber:
            assert subscriber.receive(SECONDS) is not None
            used = len(os.listdir(f"/proc/{process.pid}/fd"))  # noqa: PTH208
            resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (used, used))
            with Subscriber(endpoint) as late:  # in vain
                late.receive(0.5)
            manager.received.clear()
            process.send_signal(signal.SIGHUP)
            for _ in range(30):
                assert subscriber.receive(SECONDS) is not None
            manager.wait_for("RELOADING=1")
            manager.received.clear()
            manager.wait_for("WATCHDOG=1")
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0
    finally:
        manager.close()
