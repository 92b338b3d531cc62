"""The log: lines that wait for nobody, and what people and programs see of them."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
import structlog

from mlu_agent import logs

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = 30


@pytest.fixture(autouse=True)
def usual() -> Iterator[None]:
    """Logging as it was before."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A reading and a writing end, of a page."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, 1031, 4096)  # F_SETPIPE_SZ
    yield reading, writing
    for end in (reading, writing):
        os.close(end)


def wait_until(condition) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def read_all(reading: int, output: logs.Output) -> list[bytes]:
    """Everything that is written until the output is closed."""
    os.set_blocking(reading, False)
    data, end = b"", time.monotonic() + SECONDS
    ended = False
    while not ended and time.monotonic() < end:
        ended = output.close(0.005)
        with contextlib.suppress(BlockingIOError):
            data += os.read(reading, 65536)
    return data.splitlines()


def test_a_reader_that_sleeps_costs_lines_only_beyond_the_bound_and_the_number_is_told(pipe):
    """Nobody waits; what was kept comes in order, and in place of the rest stands how many they were."""
    reading, writing = pipe
    output = logs.Output(writing, limit=10_000)
    for number in range(1000):
        output.write(f"line {number:04} {'x' * 40}\n")
    assert 500 < output.lost < 900
    lines = read_all(reading, output)
    kept = 1000 - output.lost
    assert [line[:9] for line in lines[:kept]] == [b"line %04d" % number for number in range(kept)]
    assert lines[kept:] == [b"%d log lines were lost" % output.lost]


def test_lines_are_taken_again_when_half_of_the_room_is_free_and_the_gap_stands_in_its_place(pipe):
    """Not line by line, each with a remark."""
    reading, writing = pipe
    output = logs.Output(writing, limit=10_000)
    while not output.lost:
        output.write("early " + "x" * 90 + "\n")
    wait_until(lambda: output._size < 7000 or not os.read(reading, 500))
    output.write("too early\n")
    assert output.lost == 2
    wait_until(lambda: output._size < 4000 or not os.read(reading, 500))
    output.write("late\n")
    lines = read_all(reading, output)
    assert lines[-2:] == [b"2 log lines were lost", b"late"]


def test_lines_that_fail_are_kept_and_written_when_it_works_again(pipe, tmp_path, monkeypatch):
    """A disk that is full for a while, or a reader that comes back: half a line is not written twice."""
    real, fail = os.write, [True]
    path = tmp_path / "log"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)

    def write(number: int, data: memoryview) -> int:
        if number == descriptor and fail[0]:
            raise OSError(28, "No space left on device")
        return real(number, data[:3]) if number == descriptor else real(number, data)

    monkeypatch.setattr(os, "write", write)
    output = logs.Output(descriptor, retry_s=0.01)
    for number in range(5):
        output.write(f"line {number}\n")
    time.sleep(0.05)
    assert path.read_bytes() == b""
    fail[0] = False
    assert output.close(SECONDS)
    os.close(descriptor)
    assert path.read_text().splitlines() == [f"line {number}" for number in range(5)]
    assert output.lost == 0


def test_the_log_keeps_a_mebibyte_and_tries_again_every_second(monkeypatch):
    """Some five thousand lines, and a disk that is full is not asked in a loop."""
    naps: list[float] = []
    enough = threading.Event()

    def nap(seconds: float) -> None:
        naps.append(seconds)
        assert enough.wait(SECONDS)

    def write(number: int, data: memoryview) -> int:
        if not enough.is_set():
            raise OSError(28, "No space left on device")
        return len(data)

    monkeypatch.setattr(logs, "time", SimpleNamespace(sleep=nap))
    monkeypatch.setattr(logs, "os", SimpleNamespace(write=write))
    output = logs.Output(-1)
    for _ in range(1100):
        output.write("x" * 1023 + "\n")
    assert output.lost == 1100 - 1024
    wait_until(lambda: naps)
    enough.set()
    assert output.close(SECONDS)
    assert naps == [1.0]


def test_a_shared_descriptor_that_somebody_made_not_to_wait_is_waited_for(pipe):
    """O_NONBLOCK belongs to the pipe, so that another process may set it."""
    reading, writing = pipe
    os.set_blocking(writing, False)
    output = logs.Output(writing)
    for number in range(200):
        output.write(f"line {number:04} {'x' * 60}\n")
    lines = read_all(reading, output)
    assert [int(line[5:9]) for line in lines] == list(range(200))


def test_the_end_waits_for_a_sleeping_reader_no_longer_than_asked(pipe):
    """The process ends; it is the caller that knows what the line is worth."""
    _, writing = pipe
    output = logs.Output(writing)
    output.write("x" * 5000 + "\n")
    assert not output.close(0.05)
    os.read(pipe[0], 5000)
    os.read(pipe[0], 5000)
    assert output.close(SECONDS)


def test_lost_lines_are_told_in_the_form_of_the_log(pipe):
    """One JSON object a line, this one too; text that cannot be written is escaped."""
    reading, writing = pipe
    output = logs.Output(writing, limit=20_000)
    logs.configure("info", "json", output)
    log = logs.get_logger()
    log.debug("not wanted")
    log.info("first", reason="ü\udcff")
    while not output.lost:
        log.info("more", text="x" * 100)
    lines = [json.loads(line) for line in read_all(reading, output)]
    assert (lines[0]["event"], lines[0]["level"]) == ("first", "info")
    assert (lines[-1]["event"], lines[-1]["level"], lines[-1]["lost"]) == ("log lines were lost", "warning", 1)
    assert "timestamp" in lines[-1]


class Terminal(io.StringIO):
    """A file that says it is one."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    "file, environment, colours",
    [
        (io.StringIO, {}, False),
        (Terminal, {"TERM": "xterm"}, True),
        (Terminal, {"TERM": "dumb"}, False),
        (Terminal, {"TERM": "xterm", "NO_COLOR": "1"}, False),
    ],
)
def test_colours_are_for_terminals_that_want_them(monkeypatch, file, environment, colours):
    """A file or a pipe has none, and NO_COLOR is heard."""
    for name in ("TERM", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    output = file()
    logs.configure("info", "text", output)
    logs.get_logger().info("an event", source="gate")
    assert ("\x1b[" in output.getvalue()) == colours
    assert "an event" in output.getvalue()


def test_what_a_camera_says_does_not_command_the_terminal():
    """Its words reach the log for people, too."""
    output = Terminal()
    logs.configure("info", "text", output)
    logs.get_logger().info("event\x1b[2J", reason="a\x1b]0;title\x07\nb")
    assert "\x1b[2J" not in output.getvalue()
    assert "\x1b]0" not in output.getvalue()
    assert output.getvalue().count("\n") == 1


@pytest.mark.parametrize("right", [True, False])
def test_the_journal_is_told_how_much_each_line_weighs(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch, right: bool
):
    """Every line begins with its priority where JOURNAL_STREAM names the very file that is written to, and with nothing
    where somebody took the output elsewhere."""
    reading, writing = pipe
    status = os.fstat(writing)
    monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino + (not right)}")
    output = logs.Output(writing)
    logs.configure("debug", "json", output)
    log = logs.get_logger()
    for level in ("debug", "info", "warning", "error", "critical"):
        getattr(log, level)("said")
    output.write(output.told(3))
    lines = read_all(reading, output)
    marks = [line.partition(b"{")[0] for line in lines]
    assert marks == ([b"<7>", b"<6>", b"<4>", b"<3>", b"<2>", b"<4>"] if right else [b""] * 6)
    assert [json.loads(line[line.index(b"{") :])["event"] for line in lines][-1] == "log lines were lost"


def test_each_line_of_a_text_has_its_priority(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch):
    """The journal takes lines one by one: the traceback of an error is as heavy as the error."""
    reading, writing = pipe
    status = os.fstat(writing)
    monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
    output = logs.Output(writing)
    logs.configure("info", "text", output)
    try:
        raise ValueError("wrong")
    except ValueError:
        logs.get_logger().exception("internal error")
    lines = read_all(reading, output)
    assert len(lines) > 3
    assert all(line.startswith(b"<3>") for line in lines)
