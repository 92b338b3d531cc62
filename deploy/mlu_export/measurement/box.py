"""Evaluation on a real box: ``mlu-agent detect`` runs there over the pictures, its lines are recorded here.

The address file says how commands reach the box, and where the model and the pictures lie there::

    [box]
    command = ["ssh", "user@box"]        # put before the command; [] runs it on this machine
    agent = ["mlu-agent"]                # the program there, if it is not on the PATH
    model = "/srv/models/yolov3-tiny.cambricon"
    images = "/srv/val/images"
    timeout_s = 3600

The command is a list of words and never a shell's line here. As ssh lets a shell read it over there, words that a shell
could read in another way are refused.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlu_agent.config.fields import Fields, raise_problems
from mlu_agent.config.new_files import whole_file
from mlu_agent.config.toml import parse_toml
from mlu_agent.errors import DataError, RuntimeFailure, UserError

from ..support.files import check_target, make_directory, read_bounded
from ..support.progress import show_progress
from .recordings import MAX_RECORDING_BYTES

if TYPE_CHECKING:
    from pathlib import Path
    from typing import IO

    from mlu_agent.model.bundle import Thresholds

MAX_ADDRESS_BYTES = 1 << 16
GRACE_S = 5.0
# What no shell reads as anything but itself; a path does not look like an option either.
PLAIN_WORD = r"[A-Za-z0-9_./@%+=:,-]{1,1024}"
PLAIN_PATH = r"(?!-)" + PLAIN_WORD
PLAIN = "write a path of letters, digits and _ . / @ % + = : , - that does not begin with -"


@dataclass(frozen=True)
class Box:
    """How a box is reached, and what it is to run."""

    command: tuple[str, ...]
    agent: tuple[str, ...]
    model: str
    images: str
    timeout_s: float

    def words(self, thresholds: Thresholds) -> list[str]:
        """The whole command, for detections as accuracy is measured on."""
        options = {
            "--confidence": f"{thresholds.confidence:g}",
            "--iou": f"{thresholds.iou:g}",
            "--max-detections": str(thresholds.max_detections),
        }
        chosen = [word for pair in options.items() for word in pair]
        multi = ["--multi-label"] if thresholds.multi_label else []
        return [*self.command, *self.agent, "detect", self.model, self.images, "--json", *chosen, *multi]


def read_box(path: Path) -> Box:
    """An address file. Raises DataError with all that is wrong in it."""
    root = Fields(parse_toml(read_bounded(path, MAX_ADDRESS_BYTES, "address file"), path.name, DataError), "", [])
    table = root.table("box", required=True)
    box = Box(
        _words(table, "command", None, r".{1,1024}", 'write a list of words, as ["ssh", "user@box"]'),
        _words(table, "agent", ["mlu-agent"], PLAIN_WORD, 'write a list of words, as ["mlu-agent"]') or ("mlu-agent",),
        table.text("model", pattern=PLAIN_PATH, remedy=PLAIN),
        table.text("images", pattern=PLAIN_PATH, remedy=PLAIN),
        table.number("timeout_s", 3600.0, minimum=1, maximum=7 * 86400),
    )
    table.close()
    root.close()
    raise_problems(path.name, root.problems, DataError)
    return box


def _words(table: Fields, key: str, default: list[str] | None, pattern: str, remedy: str) -> tuple[str, ...]:
    words = table.array(key, default, longest=64, remedy=remedy)
    for word in words:
        if not isinstance(word, str) or not word.isprintable() or not re.fullmatch(pattern, word):
            table.problem(key, f"{word!r:.60} is not accepted; {remedy}")
            return ()
    return tuple(words)


def record(box: Box, thresholds: Thresholds, path: Path, pictures: int) -> None:
    """Runs the box over its pictures and writes the lines it prints to ``path``; ``pictures`` are expected.

    Raises UserError if the command cannot be started or the file not be written, RuntimeFailure if the command fails,
    takes too long or prints too much; then ``path`` is left as it was.
    """
    make_directory(path.parent)
    check_target(path)
    try:
        with whole_file(path) as lines:
            _run(box, thresholds, lines, pictures)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error


def _run(box: Box, thresholds: Thresholds, lines: IO[bytes], pictures: int) -> None:
    words = box.words(thresholds)
    try:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
    except OSError as error:
        raise UserError(f"box.command: {words[0]!r:.60} cannot be started: {error.strerror}") from error
    assert process.stdout is not None
    tail = _Tail(process.stderr)
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        _kill(process)

    timer = threading.Timer(box.timeout_s, expire)
    try:
        timer.start()
        tail.start()
        _copy(process.stdout, lines, pictures)
    except BaseException:
        _kill(process)
        raise
    finally:
        timer.cancel()
        _end(process)
        process.stdout.close()
    tail.join(GRACE_S)
    if expired.is_set():
        raise RuntimeFailure(f"the box did not end within {box.timeout_s:g} s; timeout_s in its file says how long")
    if process.returncode:
        raise RuntimeFailure(f"the box failed with exit code {process.returncode}: {tail.last_line()}")


def _copy(source: IO[bytes], target: IO[bytes], pictures: int) -> None:
    """Copies until the end, with a bar that counts lines; RuntimeFailure beyond the bound."""
    bar = show_progress(range(pictures), "on the box")
    size = 0
    while chunk := os.read(source.fileno(), 1 << 16):
        size += len(chunk)
        if size > MAX_RECORDING_BYTES:
            raise RuntimeFailure(f"the box printed more than {MAX_RECORDING_BYTES} bytes; that is no recording")
        target.write(chunk)
        for _ in range(chunk.count(b"\n")):
            next(bar, None)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Waits for a process whose output has ended; ends it and what it started if it does not end by itself."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_S)
    if process.poll() is None:
        _kill(process)
        process.wait()


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # it leads a group of its own


class _Tail(threading.Thread):
    """Reads a pipe to its end and keeps what came last."""

    def __init__(self, pipe: IO[bytes] | None) -> None:
        super().__init__(daemon=True)
        assert pipe is not None
        self._pipe = pipe
        self._kept = b""

    def run(self) -> None:
        with self._pipe:
            while chunk := os.read(self._pipe.fileno(), 1 << 12):
                self._kept = (self._kept + chunk)[-4096:]

    def last_line(self) -> str:
        """The last line that is not empty, of printable characters."""
        lines = [line.strip() for line in self._kept.decode("utf-8", "replace").splitlines() if line.strip()]
        return "".join(filter(str.isprintable, lines[-1][:300])) if lines else "it said nothing"
