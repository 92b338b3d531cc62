"""What a source says of itself when its input is silent, stuck or refusing: with real reads."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.pipeline.runs import tick
from tests.pipeline.test_sources import ScriptedCapture, counted, path_config, remote_config, start

from mlu_agent.sources import Capture, CaptureError, Grab, SourceState
from mlu_agent.sources.base import Reason

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = 30


class Pipe(Capture):
    """Pictures of one byte out of a FIFO, read as a file is: nothing ends a read in which nothing comes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = -1
        self.byte = b""

    def open(self) -> None:
        self.file = os.open(self.path, os.O_RDONLY)

    def advance(self) -> bool:
        self.byte = os.read(self.file, 1)
        return bool(self.byte)

    def take(self) -> Grab:
        pixels = np.full((4, 4, 3), self.byte[0], np.uint8)
        return Grab(pixels, time.time_ns(), "arrival", 0, time.monotonic_ns())

    def close(self) -> None:
        if self.file >= 0:
            os.close(self.file)
            self.file = -1


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


def test_a_source_that_is_stuck_in_a_read_says_so_and_counts_as_a_worker_without_progress(fifo: Path):
    """Within its limit while it opens, then while it reads; two frames end it; only once it delivered it is hung."""
    config = path_config(fifo, stall_timeout_s=0.3)
    source, exchange, _ = start(config, Pipe(fifo))
    assert tick(source, SourceState.STALLED) == pytest.approx(0.3, abs=2.0)
    assert source.status.code == "stuck"
    assert "opening it has not returned for more than 0.3 s" in source.status.reason
    assert not source.hung(time.monotonic() + 1000)
    with fifo.open("wb", buffering=0) as writer:
        writer.write(b"a")
        assert exchange.take(SECONDS) is not None
        assert source.status.state is SourceState.STALLED
        writer.write(b"b")
        tick(source, SourceState.LIVE)
        tick(source, SourceState.STALLED)
        assert "reading it has not returned" in source.status.reason
        assert counted(source)["stalls"] == 2
        now = time.monotonic()
        assert not source.hung(now + 25)
        assert source.hung(now + 31)
    assert source.join(SECONDS)
    assert not source.hung(time.monotonic() + 1000)


def test_a_file_that_waits_for_its_pace_or_for_room_is_not_stalled(fifo: Path):
    """Nobody takes its frames, and the next one is due in an hour: it is live."""
    config = path_config(fifo, stall_timeout_s=0.1)
    source, exchange, recorder = start(config, Pipe(fifo))
    with fifo.open("wb", buffering=0) as writer:
        writer.write(b"abcdefgh")
        recorder.wait_for(SourceState.LIVE)
        for _ in range(30):
            source.check_stall(time.monotonic() + 100)
            time.sleep(0.01)
        assert source.status.state is SourceState.LIVE
    source.stop()
    source.discard_waiting()
    assert source.join(SECONDS)
    paced = Pipe(fifo)
    paced.media_s = 3600.0
    source, exchange, recorder = start(path_config(fifo, stall_timeout_s=0.1, realtime=True), paced)
    with fifo.open("wb", buffering=0) as writer:
        writer.write(b"ab")
        recorder.wait_for(SourceState.LIVE)
        time.sleep(0.2)
        source.check_stall(time.monotonic() + 100)
        assert source.status.state is SourceState.LIVE
        source.stop()
    assert source.join(SECONDS)
    assert exchange is not None


def test_a_camera_that_asks_for_patience_is_not_asked_again_before():
    """As one that locks accounts after wrong passwords."""
    refused = CaptureError("the server answers 401", code=Reason.UNAUTHORIZED, retry_after_s=3600.0)
    capture = ScriptedCapture([refused, 5])
    source, _, recorder = start(remote_config(), capture)
    recorder.wait_for(SourceState.LOST)
    time.sleep(0.3)
    assert (source.status.state, source.status.code) == (SourceState.LOST, "unauthorized")
    assert capture.script == [5]
    source.stop()
    assert source.join(SECONDS)


def test_a_single_late_frame_does_not_end_a_stall():
    """And a connection that gives one frame does not end a loss."""
    capture = ScriptedCapture([CaptureError("refused"), 1, 1, 1, 2])
    _, _, recorder = start(remote_config(), capture)
    recorder.wait_for(SourceState.FAILED)
    assert [state.value for state, _ in recorder.seen] == ["connecting", "lost", "lost", "live", "lost", "failed"]
