"""The daemon end to end: files, streams, several sources, counters, signals, the service manager."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tests.faulty_cameras import RtspCamera, clip as encoded

WAIT = ("--wait-for-subscriber", "30")


def source(name: str, **options: Any) -> str:
    lines = [
        f"{key} = {str(value).lower() if isinstance(value, bool) else repr(value)}" for key, value in options.items()
    ]
    return "\n".join(["[[source]]", f'id = "{name}"', *lines, ""]).replace("'", '"')


def check_balance(counters: dict[str, int]) -> None:
    """frames_read == published + dropped by reason + failed, with nothing left in flight."""
    reasons = sum(value for key, value in counters.items() if key.startswith("dropped_"))
    assert counters["dropped"] == reasons
    assert counters["in_flight"] == 0
    assert counters["frames_read"] == counters["published"] + reasons + counters["failed"]


def check_sequence(messages: list[dict[str, Any]], start: int = 0) -> None:
    """No gap, nothing twice, nothing out of order."""
    assert [message["seq"] for message in messages] == list(range(start, start + len(messages)))


def test_a_daemon_without_video_is_small(run_daemon, listen, endpoint: str):
    """Numbers, pictures and messages take less than 75 MiB; FFmpeg's libraries, 20 more, are there for video alone."""
    listener = listen(endpoint)
    daemon = run_daemon(source("pattern", synthetic="320x240@50"), *WAIT)
    listener.wait_for(lambda: len(listener.of_kind("frame")) >= 50)
    process = Path(f"/proc/{daemon.process.pid}")
    libraries = {
        Path(line.split()[-1]).parent.name for line in (process / "maps").read_text().splitlines() if "/" in line
    }
    most = next(line for line in (process / "status").read_text().splitlines() if line.startswith("VmHWM:"))
    assert "av" not in libraries
    assert "av.libs" not in libraries
    assert int(most.split()[1]) < 75 << 10, most
    assert daemon.stop() == 0


def test_every_frame_of_a_file_arrives_and_the_daemon_ends_with_it(run_daemon, listen, endpoint: str, clip: Path):
    """40 frames in, 40 messages out without a gap, then ``end``; the exit code is 0."""
    listener = listen(endpoint)
    daemon = run_daemon(source("clip", path=str(clip)), *WAIT)
    assert daemon.wait() == 0, daemon.errors
    (end,) = listener.wait_for(lambda: listener.of_kind("end"))
    frames = listener.of_kind("frame")
    assert len(frames) == 40
    check_sequence(frames)
    check_balance(end["counters"])
    assert end["frames"] == 40 == end["counters"]["published"]
    first = frames[0]
    assert (first["box"], first["source"], first["runtime"]) == ("testbox", "clip", "simulator")
    assert (first["width"], first["height"]) == (160, 120)
    assert first["clock"] == "file_pts"
    assert set(first["flags"]) == {"simulated", "replayed"}
    assert set(first["latency_ms"]) == {"grab", "wait", "preprocess", "device", "postprocess"}
    assert any(message["detections"] for message in frames), (
        "the random network finds nothing: the test proves too little"
    )
    states = [message["state"] for message in listener.of_kind("state")]
    assert states[-1] == "ended"
    assert "live" in states


def test_the_daemon_says_which_runtime_and_why(run_daemon, clip: Path):
    """The log names runtime, library and reason, the model's digest and the endpoint."""
    daemon = run_daemon(source("clip", path=str(clip)))
    assert daemon.wait() == 0
    runtime = daemon.wait_for_log("runtime")
    assert runtime["kind"] == "simulator"
    assert "MLU_AGENT_SIMULATOR" in runtime["reason"]
    assert len(daemon.wait_for_log("model")["sha256"]) == 64
    assert daemon.wait_for_log("self-test passed")["device_ms"] > 0
    assert daemon.wait_for_log("stopped")["clean"] is True


def test_two_looping_files_share_the_device_fairly_and_sigterm_ends_cleanly(
    run_daemon, listen, endpoint: str, clip: Path
):
    """Neither source starves; SIGTERM loses no frame in flight and every counter adds up."""
    listener = listen(endpoint)
    two = source("one", path=str(clip), loop=True) + source("two", path=str(clip), loop=True)
    daemon = run_daemon(two, *WAIT, publish="high_water_mark = 100000")
    listener.wait_for(lambda: len(listener.of_kind("frame")) >= 400)
    assert daemon.stop(signal.SIGTERM) == 0, daemon.errors
    listener.wait_for(lambda: len(listener.of_kind("end")) == 2)
    for end in listener.of_kind("end"):
        frames = listener.of_kind("frame", end["source"])
        check_sequence(frames)
        check_balance(end["counters"])
        assert end["frames"] == len(frames) == end["counters"]["published"]
    counts = [len(listener.of_kind("frame", name)) for name in ("one", "two")]
    assert min(counts) > 0.4 * max(counts)  # here the readers are the slow part: test_pipeline.py has the strict one
    assert daemon.wait_for_log("stopping")["reason"] == "SIGTERM"
    assert daemon.wait_for_log("stopped")["clean"] is True
    sink = daemon.wait_for_log("summary")["sinks"]["zeromq"]
    assert sink.keys() == {"messages", "bytes", "lost", "cut_off"}
    assert (sink["lost"], sink["cut_off"]) == (0, 0)
    assert not Path(endpoint[6:]).exists()


def test_a_live_source_drops_by_reason_and_the_sum_is_right(run_daemon, listen, endpoint: str, clip: Path):
    """A synthetic camera faster than the engine beside a file: what is not published was counted as replaced."""
    listener = listen(endpoint)
    text = source("cam", synthetic="640x480@1000", realtime=True) + source("clip", path=str(clip), loop=True)
    daemon = run_daemon(text, *WAIT)
    listener.wait_for(lambda: len(listener.of_kind("frame", "cam")) >= 50)
    assert daemon.stop() == 0
    end = listener.wait_for(lambda: listener.of_kind("end", "cam"))[0]
    frames = listener.of_kind("frame", "cam")
    check_balance(end["counters"])
    check_sequence(frames)
    positions = [message["position"] for message in frames]
    assert positions == sorted(set(positions))
    assert end["counters"]["frames_read"] > positions[-1]


def test_a_late_subscriber_gets_the_states_at_once(run_daemon, listen, endpoint: str, clip: Path):
    """Whoever comes later learns the state of every source without waiting for a change, and hears heartbeats."""
    early = listen(endpoint)
    daemon = run_daemon(source("clip", path=str(clip), loop=True) + source("gone", path="/nonexistent/clip.mp4"), *WAIT)
    early.wait_for(lambda: early.of_kind("frame"))
    early.wait_for(lambda: [message for message in early.of_kind("state", "gone") if message["state"] == "lost"])
    late = listen(endpoint)
    late.wait_for(lambda: late.of_kind("state", "gone"))
    state = late.of_kind("state", "gone")[0]
    assert (state["state"], state["code"]) == ("lost", "not_found")
    assert state["reason"].startswith("/nonexistent/clip.mp4: there is no such file")
    assert state["since_ns"] < time.time_ns()
    beats = late.wait_for(lambda: len(late.of_kind("heartbeat")) >= 3 and late.of_kind("heartbeat"))
    numbers = [beat["seq"] for beat in beats]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert set(beats[-1]["sources"]) == {"clip", "gone"}
    assert daemon.stop() == 0


@pytest.fixture
def no_video(tmp_path: Path) -> Path:
    """A file that is none, by the name of a video."""
    path = tmp_path / "no.mp4"
    path.write_bytes(bytes(range(256)) * 4)
    return path


def test_an_end_that_was_asked_for_is_a_good_end_and_names_the_sources_that_failed(
    run_daemon, clip: Path, no_video: Path
):
    """SIGTERM gives 0, so that a service manager sees no failure; what had failed is in the log with its counters."""
    daemon = run_daemon(source("clip", path=str(clip), loop=True) + source("bad", path=str(no_video)))
    daemon.wait_for_log("source", source="bad", state="failed")
    assert daemon.stop() == 0
    line = daemon.wait_for_log("source failed")
    assert (line["source"], line["frames_read"], line["published"]) == ("bad", 0, 0)
    assert str(no_video) in line["reason"]
    assert len([line for line in daemon.lines if line["event"] == "source failed"]) == 1


def test_a_source_that_can_never_work_is_the_users_mistake(run_daemon, clip: Path, no_video: Path):
    """When all sources came to their end and one of them failed, the exit code is 2."""
    daemon = run_daemon(source("clip", path=str(clip)) + source("bad", path=str(no_video)))
    assert daemon.wait() == 2
    assert daemon.wait_for_log("source failed")["source"] == "bad"


def test_a_clip_on_a_mount_that_comes_later_is_waited_for(run_daemon, clip: Path, tmp_path: Path):
    """The daemon starts without it, says so once, and works through it when it is there."""
    late = tmp_path / "mount" / "late.mp4"
    daemon = run_daemon(source("late", path=str(late)))
    line = daemon.wait_for_log("source", state="lost")
    assert line["code"] == "not_found"
    assert line["reason"].startswith(f"{late}: there is no such file")
    (tmp_path / "other").mkdir()
    shutil.copy(clip, tmp_path / "other" / "late.mp4")
    (tmp_path / "other").rename(tmp_path / "mount")
    assert daemon.wait() == 0
    assert daemon.wait_for_log("source ended")["published"] == 40
    assert len([line for line in daemon.lines if line.get("state") == "lost"]) == 1


def test_a_frozen_camera_is_told_by_state_heartbeat_and_each_frame(run_daemon, listen, endpoint: str):
    """Its frames are published as before, with a flag."""
    listener = listen(endpoint)
    with RtspCamera([encoded(frames=1)], fps=10.0) as camera:
        text = source("cam", url=camera.url) + "[source.watch]\nfrozen_s = 1.0\n"
        daemon = run_daemon(text, *WAIT)
        listener.wait_for(lambda: [one for one in listener.of_kind("state", "cam") if one["state"] == "frozen"])
        listener.wait_for(lambda: [one for one in listener.of_kind("frame", "cam") if "frozen" in one["flags"]])
        listener.wait_for(lambda: [one for one in listener.of_kind("heartbeat") if one["sources"] == {"cam": "frozen"}])
        assert "frozen" not in listener.of_kind("frame", "cam")[0]["flags"]
        assert daemon.wait_for_log("source", state="frozen")["level"] == "warning"
        assert daemon.stop() == 0


@pytest.mark.rtsp
@pytest.mark.slow
def test_a_stream_that_goes_away_and_returns_is_taken_up_again(
    run_daemon, listen, endpoint: str, clip: Path, rtsp_server
):
    """A real RTSP server killed and started again: lost, live again, the sequence goes on, the other source too."""
    server = rtsp_server(clip)
    listener = listen(endpoint)
    text = source("cam", url=server.url) + source("clip", path=str(clip), loop=True, realtime=True)
    daemon = run_daemon(text, *WAIT)

    def live_again(lost: int) -> bool:
        states = [message["state"] for message in listener.of_kind("state", "cam")]
        changes = [state for state, before in zip(states, ["", *states]) if state != before]
        return changes.count("lost") >= lost and changes[-1] == "live"

    def more_frames(name: str) -> bool:
        have = len(listener.of_kind("frame", name))
        listener.wait_for(lambda: len(listener.of_kind("frame", name)) >= have + 10, 90)
        return True

    listener.wait_for(lambda: len(listener.of_kind("frame", "cam")) >= 10, 90)
    for round_number in (1, 2):
        server.stop()
        listener.wait_for(lambda: listener.of_kind("state", "cam")[-1]["state"] == "lost", 90)
        assert listener.of_kind("state", "cam")[-1]["reason"]
        assert more_frames("clip")
        server.start()
        listener.wait_for(lambda number=round_number: live_again(number), 90)
        assert more_frames("cam")
    assert daemon.stop() == 0
    for end in listener.wait_for(lambda: len(listener.of_kind("end")) == 2 and listener.of_kind("end")):
        check_balance(end["counters"])
        check_sequence(listener.of_kind("frame", end["source"]))
    assert listener.of_kind("end", "cam")[0]["counters"]["reconnects"] >= 2
    assert {message["state"] for message in listener.of_kind("state", "clip")} <= {"connecting", "live", "ended"}


@pytest.mark.rtsp
def test_a_silent_stream_stalls_is_lost_and_never_delays_the_end(
    run_daemon, listen, endpoint: str, clip: Path, rtsp_server
):
    """A server that keeps its connection open and sends nothing: stalled, then lost; SIGTERM is clean meanwhile."""
    server = rtsp_server(clip)
    listener = listen(endpoint)
    daemon = run_daemon(source("cam", url=server.url), *WAIT)
    listener.wait_for(lambda: len(listener.of_kind("frame", "cam")) >= 5, 90)
    os.kill(server._process.pid, signal.SIGSTOP)
    try:
        listener.wait_for(lambda: listener.of_kind("state", "cam")[-1]["state"] == "stalled", 90)
        assert "no frame for more than 2.0 s" in listener.of_kind("state", "cam")[-1]["reason"]
        listener.wait_for(lambda: listener.of_kind("state", "cam")[-1]["state"] == "lost", 90)
        assert daemon.stop() == 0
    finally:
        os.kill(server._process.pid, signal.SIGCONT)
    end = listener.wait_for(lambda: listener.of_kind("end", "cam"))[0]
    check_balance(end["counters"])
    assert end["counters"]["stalls"] >= 1


class Manager:
    """A service manager's notification socket."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        self._socket.settimeout(30)
        self.received: list[str] = []

    def wait_for(self, text: str) -> None:
        """Reads datagrams until one has the line ``text``."""
        while not any(text in datagram.split("\n") for datagram in self.received):
            self.received.append(self._socket.recv(4096).decode())

    def close(self) -> None:
        self._socket.close()


def test_the_service_manager_is_told_the_truth(run_daemon, listen, endpoint: str, clip: Path, tmp_path: Path):
    """READY=1 after self-test and socket, WATCHDOG=1 while frames flow, STOPPING=1 at the end, STATUS for people."""
    manager = Manager(tmp_path)
    environment = {"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "1000000"}
    try:
        daemon = run_daemon(source("clip", path=str(clip), loop=True), environment=environment)
        manager.wait_for("READY=1")
        assert Path(endpoint[6:]).exists()
        daemon.wait_for_log("ready")
        events = [line["event"] for line in daemon.lines]
        assert events.index("self-test passed") < events.index("ready")
        manager.wait_for("WATCHDOG=1")
        assert daemon.stop() == 0
        manager.wait_for("STOPPING=1")
    finally:
        manager.close()
    assert any(
        line.startswith("STATUS=") and "simulator" in line for text in manager.received for line in text.split("\n")
    )


def test_a_device_that_fails_is_made_ready_again_and_no_frame_is_lost(run_daemon, listen, endpoint: str, clip: Path):
    """Each step is a warning in the log and a counter in the heartbeat; all frames arrive."""
    listener = listen(endpoint)
    environment = {"CNRT_SIMULATOR_FAIL_INVOCATION": "15", "CNRT_SIMULATOR_FAIL_UNTIL": "init"}
    text = source("clip", path=str(clip)) + source("more", path=str(clip), loop=True)
    daemon = run_daemon(text, *WAIT, environment=environment)
    (end,) = listener.wait_for(lambda: listener.of_kind("end", "clip"))
    assert end["counters"]["published"] == 40
    check_sequence(listener.of_kind("frame", "clip"))
    beat = listener.wait_for(
        lambda: [one for one in listener.of_kind("heartbeat") if "device_reopen" in one["counters"]]
    )[0]
    assert {name: beat["counters"][f"device_{name}"] for name in ("retry", "renew", "reopen")} == {
        "retry": 1, "renew": 1, "reopen": 1,
    }  # fmt: skip
    assert daemon.stop() == 0
    for step in ("retry", "renew", "reopen"):
        line = daemon.wait_for_log("the device failed", step=step)
        assert (line["level"], "CNRT_SIMULATOR_FAIL_INVOCATION" in line["reason"]) == ("warning", True)
    assert daemon.wait_for_log("the device works again", step="reopen")


def test_a_device_that_nothing_helps_ends_the_process_with_3(run_daemon, listen, endpoint: str, clip: Path):
    """So that the service manager starts it again; what was in flight is counted as failed."""
    listener = listen(endpoint)
    environment = {"CNRT_SIMULATOR_FAIL_INVOCATION": "15", "CNRT_SIMULATOR_FAIL_UNTIL": "forever"}
    daemon = run_daemon(source("clip", path=str(clip), loop=True), *WAIT, environment=environment)
    assert daemon.wait() == 3
    assert "nothing helped (retry 1, renew 1, reopen 1)" in daemon.wait_for_log("giving up")["reason"]
    end = listener.wait_for(lambda: listener.of_kind("end"))[0]
    check_balance(end["counters"])
    assert end["counters"]["failed"] >= 1


def test_a_second_signal_ends_at_once(run_daemon, clip: Path, tmp_path: Path):
    """While the daemon waits for a subscriber, one signal is a clean end; a second ends it at once, with 128 + 15."""
    daemon = run_daemon(source("clip", path=str(clip), loop=True))
    daemon.wait_for_log("ready")
    os.kill(daemon.process.pid, signal.SIGSTOP)
    os.kill(daemon.process.pid, signal.SIGTERM)
    os.kill(daemon.process.pid, signal.SIGINT)
    os.kill(daemon.process.pid, signal.SIGCONT)
    assert daemon.wait() in (128 + signal.SIGTERM, 128 + signal.SIGINT)


def test_the_socket_of_a_killed_daemon_is_taken_over_but_not_a_living_ones(
    run_daemon, listen, endpoint: str, clip: Path
):
    """A stale ipc path is removed and told; one that somebody listens on is refused with a sentence and exit code 2."""
    looping = source("clip", path=str(clip), loop=True)
    first = run_daemon(looping)
    first.wait_for_log("ready")
    second = run_daemon(looping)
    assert second.wait() == 2
    assert "another process already listens" in second.errors
    first.process.kill()
    first.wait()
    third = run_daemon(looping)
    third.wait_for_log("removed a stale socket")
    third.wait_for_log("ready")
    listener = listen(endpoint)
    listener.wait_for(lambda: listener.of_kind("frame"))
    assert third.stop() == 0


def test_an_open_endpoint_is_said_at_every_start(run_daemon, clip: Path):
    """insecure = true is a warning in the log each time."""
    publish = 'endpoint = "tcp://0.0.0.0:*"\ninsecure = true'
    daemon = run_daemon(source("clip", path=str(clip)), publish=publish)
    assert daemon.wait() == 0
    warning = daemon.wait_for_log("publishing without encryption and authentication beyond this machine")
    assert warning["level"] == "warning"


def test_empty_frames_can_be_left_out_and_are_counted(run_daemon, listen, endpoint: str, clip: Path, model_path: Path):
    """empty_frames = false: frames without detections are dropped_empty, and the sum still is right."""
    listener = listen(endpoint)
    daemon = run_daemon(source("clip", path=str(clip)), *WAIT, publish="empty_frames = false\n[log]\nsummary_s = 0.5")
    assert daemon.wait() == 0
    (end,) = listener.wait_for(lambda: listener.of_kind("end"))
    check_balance(end["counters"])
    frames = listener.of_kind("frame")
    assert all(message["detections"] for message in frames)
    for before, after in zip(frames, frames[1:]):  # the counter explains every gap
        omitted = [message["counters"].get("dropped_empty", 0) for message in (before, after)]
        assert after["seq"] - before["seq"] - 1 == omitted[1] - omitted[0]
    assert end["counters"]["published"] + end["counters"].get("dropped_empty", 0) == 40


def test_threads_end_with_the_process(run_daemon, clip: Path):
    """Ctrl-C is as good as SIGTERM."""
    daemon = run_daemon(source("clip", path=str(clip), loop=True))
    daemon.wait_for_log("ready")
    assert daemon.stop(signal.SIGINT) == 0
    assert daemon.wait_for_log("stopping")["reason"] == "SIGINT"
    assert threading.active_count() >= 1
