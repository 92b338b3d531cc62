"""Sources: states, reconnection, stalls, pace, counters; with captures that fail on command and with real files."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from mlu_agent.config import SourceConfig
from mlu_agent.ledger import SourceAccount
from mlu_agent.sources import Capture, CaptureError, Exchange, Grab, Source, SourceState, capture_for_path, make_capture
from mlu_agent.sources.retry import Backoff


class ScriptedCapture(Capture):
    """Does at each open what the script says: a CaptureError to raise, or how many frames before the stream breaks."""

    remote = True

    def __init__(self, script: list[CaptureError | int]) -> None:
        self.script = script
        self.left = 0
        self.position = 0
        self.taken = 0
        self.silent = threading.Event()
        self.silent.set()

    def open(self) -> None:
        step = self.script.pop(0) if self.script else CaptureError("out of script", permanent=True)
        if isinstance(step, CaptureError):
            raise step
        self.left = step

    def advance(self) -> bool:
        self.silent.wait()
        if self.left == 0:
            raise CaptureError("broke off")
        self.left -= 1
        self.position += 1
        return True

    def take(self) -> Grab:
        self.taken += 1
        pixels = np.zeros((4, 4, 3), np.uint8)
        return Grab(pixels, time.time_ns(), "arrival", self.position - 1, time.monotonic_ns())

    def close(self) -> None:
        pass


class Recorder:
    """Collects the states of a source, and waits for one."""

    def __init__(self) -> None:
        self.seen: list[tuple[SourceState, str]] = []
        self.changed = threading.Condition()

    def __call__(self, source: Source) -> None:
        with self.changed:
            self.seen.append((source.status.state, source.status.reason))
            self.changed.notify_all()

    def wait_for(self, state: SourceState) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: any(seen is state for seen, _ in self.seen), 20), self.seen

    def wait_for_reason(self, words: str) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: any(words in reason for _, reason in self.seen), 20), self.seen


def remote_config(**options: object) -> SourceConfig:
    return SourceConfig("cam", "url", "rtsp://example/", reconnect_min_s=0.01, reconnect_max_s=0.02, **options)  # type: ignore[arg-type]


def path_config(path: Path, **options: object) -> SourceConfig:
    return SourceConfig("file", "path", str(path), **options)  # type: ignore[arg-type]


def start(config: SourceConfig, capture: Capture) -> tuple[Source, Exchange[Grab], Recorder]:
    exchange: Exchange[Grab] = Exchange()
    recorder = Recorder()
    source = Source(config, capture, exchange.mailbox(config.id, config.live), SourceAccount(), recorder)
    source.start()
    return source, exchange, recorder


def take_all(source: Source, exchange: Exchange[Grab]) -> list[Grab]:
    grabs = []
    while not source.finished:
        taken = exchange.take(0.05)
        if taken:
            grabs.append(taken[1])
    return grabs


def counted(source: Source) -> dict[str, int]:
    return source.account.counters()


def make_clip(path: Path, frames: int = 12, fps: float = 25.0) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, (64, 48))
    for number in range(frames):
        writer.write(np.full((48, 64, 3), number * 20 % 256, np.uint8))
    writer.release()
    return path


def test_a_lost_stream_is_opened_again_and_says_what_happened():
    """Refused, then broken off, then refused again: each is a state with its reason, and frames come after each."""
    capture = ScriptedCapture([CaptureError("refused"), 3, CaptureError("refused again"), 2])
    source, _exchange, recorder = start(remote_config(), capture)
    recorder.wait_for(SourceState.FAILED)
    states = [state.value for state, _ in recorder.seen]
    assert states == ["connecting", "lost", "live", "lost", "lost", "live", "lost", "failed"]
    assert [reason for state, reason in recorder.seen if state is SourceState.LOST] == [
        "refused", "broke off", "refused again", "broke off",
    ]  # fmt: skip
    assert counted(source)["frames_read"] == 5
    assert counted(source)["reconnects"] == 4


def test_the_counters_of_a_live_source_add_up():
    """What was read is what was handed out, plus what a newer frame replaced, plus what still waits."""
    source, exchange, recorder = start(remote_config(), ScriptedCapture([200]))
    recorder.wait_for(SourceState.FAILED)
    grabs = take_all(source, exchange)
    frames = [source.to_frame(grab) for grab in grabs]
    assert counted(source)["frames_read"] == 200 == len(frames) + counted(source)["dropped_newer_frame"]
    assert [frame.sequence for frame in frames] == list(range(len(frames)))
    assert frames[-1].position == 199


class Backlogged(ScriptedCapture):
    """Leaves three pictures out before each fourth, and finds one damaged place."""

    def advance(self) -> bool:
        found = super().advance()
        self.stale += 3
        self.damaged += 1
        return found


def test_what_a_capture_leaves_out_is_counted():
    """A backlog was read and dropped, under a reason of its own; damage never was a frame."""
    source, exchange, recorder = start(remote_config(), Backlogged([10]))
    recorder.wait_for(SourceState.FAILED)
    handed = len(take_all(source, exchange))
    counters = counted(source)
    assert counters["dropped_stale"] == 30
    assert counters["frames_read"] == 40 == handed + counters["dropped"]
    assert counters["unreadable"] == 10


def test_a_connected_but_silent_source_is_stalled_and_recovers():
    """A stall is a state of its own with a count; the next frame ends it."""
    capture = ScriptedCapture([10_000])
    source, exchange, recorder = start(remote_config(stall_timeout_s=2.0), capture)
    recorder.wait_for(SourceState.LIVE)
    capture.silent.clear()
    while exchange.take(0.05):
        pass
    now = time.monotonic()
    source.check_stall(now + 1.9 - 0.1)
    assert source.status.state is SourceState.LIVE
    source.check_stall(now + 2.1)
    assert source.status.state is SourceState.STALLED
    assert counted(source)["stalls"] == 1
    capture.silent.set()
    assert exchange.take(10) is not None
    assert source.status.state is SourceState.LIVE
    source.stop()
    assert source.join(10)


def test_backoff_doubles_to_its_limit_with_a_fifth_of_jitter():
    """0.5, 1, 2, 4, 8, 10, 10 seconds, each within 20 %, and from the start again after a success."""
    backoff = Backoff(0.5, 10.0, random.Random(1))
    delays = [backoff.next() for _ in range(8)]
    for delay, nominal in zip(delays, [0.5, 1, 2, 4, 8, 10, 10, 10]):
        assert 0.8 * nominal <= delay <= 1.2 * nominal
    assert len(set(delays)) == len(delays)
    backoff.reset()
    assert backoff.next() <= 0.6


def test_an_attempt_that_took_long_has_used_up_its_pause():
    """After 5 s in vain at the limit of 3 s the first pause alone remains: a camera is back within 5 s."""
    backoff = Backoff(0.5, 3.0, random.Random(1))
    for _ in range(8):
        assert backoff.next(5.0) <= 0.6
    assert 0.8 * 3.0 <= backoff.next(0.0) <= 1.2 * 3.0


def test_a_video_file_is_read_completely_and_ends(tmp_path: Path):
    """Nothing of a file is dropped; times come from the file and grow; the source ends."""
    config = path_config(make_clip(tmp_path / "clip.mp4"))
    source, exchange, _ = start(config, make_capture(config))
    grabs = take_all(source, exchange)
    assert [grab.position for grab in grabs] == list(range(12))
    assert counted(source)["dropped"] == 0
    assert source.status.state is SourceState.ENDED
    times = [grab.capture_time_ns for grab in grabs]
    assert times == sorted(times)
    assert {grab.clock for grab in grabs} == {"file_pts"}
    assert times[-1] - times[0] == pytest.approx(11 * 40e6, abs=5e6)


def test_a_looping_file_starts_again_and_its_time_never_goes_back(tmp_path: Path):
    """Positions repeat, the sequence of handed out frames and the capture time go on."""
    config = path_config(make_clip(tmp_path / "clip.mp4"), loop=True)
    source, exchange, _ = start(config, make_capture(config))
    grabs = [exchange.take(20) for _ in range(40)]
    source.stop()
    source.discard_waiting()
    assert source.join(20)
    positions = [grab[1].position for grab in grabs if grab]
    assert positions == [number % 12 for number in range(40)]
    times = [grab[1].capture_time_ns for grab in grabs if grab]
    assert times == sorted(times)
    assert counted(source)["frames_read"] == 40 + counted(source)["dropped"]


def test_a_path_that_is_not_there_yet_is_waited_for(tmp_path: Path):
    """It may lie on a mount that comes later: lost, not failed, and read once it is there; a clip or a folder alike."""
    for name in ("late.mp4", "late"):
        config = path_config(tmp_path / name, reconnect_max_s=0.05)
        source, exchange, recorder = start(config, make_capture(config))
        recorder.wait_for(SourceState.LOST)
        assert f"{name}: there is no such file" in source.status.reason
        assert source.status.code == "not_found"
        if name == "late":
            (tmp_path / name).mkdir()
            recorder.wait_for_reason("holds no picture")  # as a mount point that nothing is mounted on
            cv2.imwrite(str(tmp_path / name / "a.png"), np.zeros((8, 8, 3), np.uint8))
        else:
            make_clip(tmp_path / "other.mp4").rename(tmp_path / name)
        assert len(take_all(source, exchange)) == (1 if name == "late" else 12)
        assert source.status.state is SourceState.ENDED


def test_a_folder_is_read_in_the_order_of_names_and_broken_pictures_are_counted(tmp_path: Path):
    """One broken file among pictures is skipped, counted and told; the rest arrives."""
    for name in ("b.png", "a.jpg", "c.bmp"):
        cv2.imwrite(str(tmp_path / name), np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "ab.jpg").write_bytes(b"\xff\xd8 not a picture")
    (tmp_path / "d.heic").write_bytes(b"a picture of a kind that is not read here")
    (tmp_path / "notes.txt").write_text("not a picture either")
    told: list[str] = []
    config = path_config(tmp_path)
    capture = capture_for_path(str(tmp_path), told.append)
    source, exchange, _ = start(config, capture)
    grabs = take_all(source, exchange)
    assert [Path(grab.name).name for grab in grabs] == ["a.jpg", "b.png", "c.bmp"]
    assert capture.unreadable == 2
    assert len(told) == 2
    assert "ab.jpg" in told[0]
    assert "d.heic" in told[1]
    assert capture.left_out == ["notes.txt"]


def test_a_rate_limit_drops_live_frames_by_reason_and_slows_files_down(tmp_path: Path):
    """max_fps: what a camera sends beyond it is counted as dropped_max_fps and never made into pixels; of a file
    nothing is dropped."""
    capture = ScriptedCapture([20])
    source, exchange, recorder = start(remote_config(max_fps=1.0), capture)
    recorder.wait_for(SourceState.FAILED)
    handed = len(take_all(source, exchange))
    assert counted(source)["dropped_max_fps"] > 0
    assert counted(source)["frames_read"] == 20 == handed + counted(source)["dropped"]
    assert capture.taken == 20 - counted(source)["dropped_max_fps"]
    config = path_config(make_clip(tmp_path / "clip.mp4"), max_fps=200.0)
    source, exchange, _ = start(config, make_capture(config))
    assert len(take_all(source, exchange)) == 12


def test_frames_passed_over_cost_no_pixels_and_keep_their_numbers(tmp_path: Path):
    """Three times advanced and once taken: the third frame, with its position and its time."""
    capture = make_capture(path_config(make_clip(tmp_path / "clip.mp4")))
    capture.open()
    assert [capture.advance() for _ in range(3)] == [True] * 3
    grab = capture.take()
    capture.close()
    assert grab.position == 2
    assert grab.pixels.mean() == pytest.approx(40, abs=6)
    assert grab.grab_ms > 0
    assert capture.media_s == pytest.approx(0.08, abs=0.01)


def test_a_video_that_was_cut_off_says_so(tmp_path: Path):
    """A file whose index promises more frames than there are ends with a reason that tells both numbers."""
    clip = make_clip(tmp_path / "clip.mp4", frames=60)
    data = clip.read_bytes()
    begin = data.index(b"mdat") + 4
    end = data.index(b"moov") - 4
    clip.write_bytes(data[: (begin + end) // 2] + bytes(end - (begin + end) // 2) + data[end:])
    config = path_config(clip)
    source, exchange, _ = start(config, make_capture(config))
    count = len(take_all(source, exchange))
    assert 0 < count < 57
    assert f"ended after {count} of the 60 frames" in source.status.reason


class Buggy(ScriptedCapture):
    """Raises what no capture should."""

    def advance(self) -> bool:
        raise ValueError("surprise")


def test_a_bug_in_a_capture_costs_that_source_only_and_is_told():
    """An unexpected exception is a reason with its name: a stream is tried again, a file has failed."""
    source, _exchange, recorder = start(remote_config(), Buggy([5, 5]))
    recorder.wait_for(SourceState.FAILED)
    lost = [reason for state, reason in recorder.seen if state is SourceState.LOST]
    assert lost[0] == "internal error: ValueError: surprise"
    assert counted(source)["reconnects"] == 2
    once = Buggy([5, 5])
    once.remote = False
    source, _exchange, recorder = start(path_config(Path("x")), once)
    recorder.wait_for(SourceState.FAILED)
    assert source.status.reason == "internal error: ValueError: surprise"
    assert counted(source)["reconnects"] == 0
