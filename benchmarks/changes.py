"""Reloads and swaps by the hundred under a file source and a live one, with a subscriber that counts every frame.

    python benchmarks/changes.py [--count 1000] [--each 50]

``--count`` reloads and as many swaps, one after the other, every tenth of each with something that is broken: that must
be refused with its reason in the answer and in the status, and leave what serves as it is. At the end no frame of the
file may be missing, doubled or out of order, and memory, descriptors, threads and mappings of the daemon are printed
every ``--each`` rounds. The exit status is 1 unless all of it is so.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.models import small_bundle

from mlu_agent.client import Subscriber

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FRAMES = 40  # of the file, which is played again and again
GROWTH_MB = 3.0  # of resident memory, from a tenth of the changes to the last
LIMIT_S = 120.0  # for one answer
SOURCES = {
    "file": 'path = "{folder}/clip.avi"\nloop = true\nmax_fps = 100\n',
    "live": 'synthetic = "64x48@30"\nrealtime = true\n',
    "third": 'synthetic = "64x48@10"\nrealtime = true\n',
}


@dataclass(frozen=True)
class Bad:
    """Something that is to be refused: ``said`` stands in the reason."""

    name: str
    said: str
    text: str = ""  # of a configuration
    path: str = ""  # of a model


class Counting:
    """A subscriber in a thread of its own: of each source the last number and place, and what was wrong with them."""

    def __init__(self, endpoint: str) -> None:
        self.frames = dict.fromkeys(SOURCES, 0)
        self.switches = 0
        self.problems: list[str] = []
        self._last: dict[str, dict[str, Any]] = {}
        self._subscriber = Subscriber(endpoint, high_water_mark=1_000_000)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        with self._subscriber:
            quiet = False
            while not (self._stop.is_set() and quiet):
                message = self._subscriber.receive(0.2)
                quiet = message is None
                if message is not None and message["kind"] == "frame":
                    self._look(message)

    def _look(self, message: dict[str, Any]) -> None:
        name = message["source"]
        before = self._last.get(name)
        self._last[name] = message
        self.frames[name] += 1
        if before is None:
            return
        if message["seq"] != before["seq"] + 1:
            self.problems.append(f"{name}: number {before['seq']} is followed by {message['seq']}")
        if name == "file":
            if message["position"] != (before["position"] + 1) % FRAMES:
                self.problems.append(f"file: frame {before['position']} is followed by {message['position']}")
            self.switches += message["model"]["name"] != before["model"]["name"]

    def stop(self) -> None:
        """Hears what is on its way still."""
        self._stop.set()
        self._thread.join()


class Box:
    """A daemon in a process of its own, and its files."""

    def __init__(self, folder: Path, simulator: Path) -> None:
        self.folder = folder
        self.config = folder / "agent.toml"
        self.socket = str(folder / "control.sock")
        _write_clip(folder / "clip.avi")
        self.models = {name: _model(folder / name, name) for name in ("small", "other")}
        self.write(self.text())
        environment = {**os.environ, "MLU_AGENT_SIMULATOR": str(simulator)}
        command = [sys.executable, "-m", "mlu_agent.cli", "run", "-c", str(self.config), "--wait-for-subscriber", "30"]
        self.log = (folder / "log").open("wb")
        self.process = subprocess.Popen(command, stdout=self.log, env=environment, stdin=subprocess.DEVNULL)

    def text(self, *, third: bool = False, second: bool = False, confidence: float = 0.6, fps: int = 0) -> str:
        """A configuration: with a third source, with a second model, with other thresholds, with another rate."""
        models = [("main", self.models["small"], confidence), *([("second", self.models["other"], 0.5)] * second)]
        lines = [f'[agent]\nbox = "box"\n[control]\nsocket = "{self.socket}"\n[log]\nsummary_s = 0\n']
        lines.append(f'[publish]\nendpoint = "ipc://{self.folder}/out.sock"\nhigh_water_mark = 1000000\n')
        for name, path, threshold in models:
            lines.append(f'[[model]]\nname = "{name}"\npath = "{path}"\nruntime = "simulator"\n')
            lines.append(f"confidence = {threshold}\n")
        for name in ("file", "live", *(["third"] * third)):
            options = f"max_fps = {fps}\n" * (name == "live" and fps > 0)
            options += 'model = "second"\n' * (name == "third" and second)
            lines.append(f'[[source]]\nid = "{name}"\n{SOURCES[name].format(folder=self.folder)}{options}')
        return "".join(lines)

    def write(self, text: str) -> None:
        """The configuration's file."""
        self.config.write_text(text)

    def ask(self, **request: str) -> dict[str, Any]:
        """One request over the control socket, and its answer."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(LIMIT_S)
            connection.connect(self.socket)
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as lines:
                answer: dict[str, Any] = json.loads(lines.readline())
                return answer

    def figures(self) -> dict[str, int]:
        """What the process has: resident memory in kB, descriptors, threads, mappings."""
        place = Path(f"/proc/{self.process.pid}")
        status = dict(line.split(":", 1) for line in (place / "status").read_text().splitlines())
        return {
            "rss_kb": int(status["VmRSS"].split()[0]),
            "descriptors": len(list((place / "fd").iterdir())),
            "threads": int(status["Threads"]),
            "mappings": len((place / "maps").read_text().splitlines()),
        }

    def stop(self) -> int:
        """Ends it; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(30)
        self.log.close()
        return code


def _write_clip(path: Path) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (64, 48))
    noise = np.random.default_rng(1).integers(0, 255, (48, 64, 3), np.uint8)
    for number in range(FRAMES):
        writer.write(np.roll(noise, number, axis=1))
    writer.release()


def _model(folder: Path, name: str) -> Path:
    """A small model whose manifest has that name."""
    folder.mkdir()
    model = small_bundle(folder)
    manifest = folder / "small.toml"
    manifest.write_text(manifest.read_text().replace('name = "small"', f'name = "{name}"'))
    return model


def _bad_files(box: Box) -> list[Bad]:
    text = box.text()
    gone = box.folder / "gone.cambricon"
    return [
        Bad("broken TOML", "not valid TOML", text=text + "[["),
        Bad("an unknown option", "is not an option", text=text + "colour = 3\n"),
        Bad("a model that is not there", "gone", text=text.replace(str(box.models["small"]), str(gone))),
        Bad("a source without an end", "none.mp4", text=text + '[[source]]\nid = "x"\npath = "none.mp4"\n'),
        Bad("another box", "changes with a restart", text=text.replace('box = "box"', 'box = "b"')),
    ]


def _bad_models(box: Box) -> list[Bad]:
    flipped, wrong, golden = (_model(box.folder / name, name) for name in ("flipped", "wrong", "golden"))
    data = bytearray(flipped.read_bytes())
    data[len(data) // 2] ^= 1
    flipped.write_bytes(data)
    manifest = wrong.with_suffix(".toml")
    manifest.write_text(manifest.read_text().replace(hashlib.sha256(wrong.read_bytes()).hexdigest(), "0" * 64))
    frame = box.models["small"].with_suffix(".golden").read_text().splitlines()
    place = next(number for number, line in enumerate(frame) if line.startswith('    "'))
    frame[place] = f'    "{"0" * 64}",'
    golden.with_suffix(".golden").write_text("\n".join(frame) + "\n")
    cut = box.folder / "cut.bundle"
    cut.write_bytes(b"no bundle")
    return [
        Bad("a path without a model", "gone", path=str(box.folder / "gone.cambricon")),
        Bad("a flipped bit", "sha256", path=str(flipped)),
        Bad("a wrong digest", "sha256", path=str(wrong)),
        Bad("a golden frame that fails", "golden frame failed", path=str(golden)),
        Bad("a file that is no bundle", "cut.bundle", path=str(cut)),
    ]


def _good_files(box: Box) -> Iterator[str]:
    return itertools.cycle(
        [
            box.text(),
            box.text(fps=10),
            box.text(third=True),
            box.text(third=True, confidence=0.7),
            box.text(third=True, second=True),
            box.text(second=True, confidence=0.65),
        ]
    )


def _refused(box: Box, what: str, bad: Bad, answer: dict[str, Any], before: list[str]) -> Iterator[str]:
    """What is wrong with how something broken was met."""
    reason = str(answer.get("error", ""))
    if answer.get("ok") or bad.said not in reason:
        yield f"{what} with {bad.name}: {answer}"
    status = box.ask(do="status")["status"]
    newest = status["changes"][0]
    if newest["ok"] or newest["came_to"] != reason:
        yield f"{what} with {bad.name}: the status says {newest}"
    if _served(status) != before:
        yield f"{what} with {bad.name}: {before} became {_served(status)}"


def _served(status: dict[str, Any]) -> list[str]:
    return [f"{one['name']}: {one['model']} {one['path']}" for one in status["models"]]


def run(box: Box, count: int, each: int, say: Callable[[str], None]) -> list[str]:
    """All changes; what went wrong."""
    problems: list[str] = []
    good, bad_files, bad_models = _good_files(box), itertools.cycle(_bad_files(box)), itertools.cycle(_bad_models(box))
    targets = itertools.cycle(str(box.models[name]) for name in ("other", "small"))
    warm: dict[str, int] = {}
    for number in range(1, count + 1):
        before = _served(box.ask(do="status")["status"])
        if number % 10 == 0:
            bad = next(bad_files)
            box.write(bad.text)
            problems += _refused(box, "reload", bad, box.ask(do="reload"), before)
            bad = next(bad_models)
            problems += _refused(box, "swap", bad, box.ask(do="swap", model="main", path=bad.path), before)
        else:
            box.write(next(good))
            for answer in (box.ask(do="reload"), box.ask(do="swap", model="main", path=next(targets))):
                problems += [] if answer.get("ok") else [f"round {number}: {answer}"]
        if number in (max(1, count // 10), count) or number % each == 0:
            figures = box.figures()
            warm = warm or figures if number >= count // 10 else warm
            say(f"{number:>6} " + " ".join(f"{value:>11}" for value in figures.values()))
    grown = (figures["rss_kb"] - warm["rss_kb"]) / 1024
    say(f"from a tenth of the rounds on: {grown:+.1f} MB resident")
    if grown > GROWTH_MB:
        problems.append(f"resident memory grew by {grown:.1f} MB, accepted are {GROWTH_MB:g}")
    box.write(box.text())
    box.ask(do="reload")
    return problems


def _settled(box: Box, counting: Counting) -> dict[str, int]:
    """What the process has once frames flow; waits until a source that was removed is gone."""
    before = dict(counting.frames)
    end = time.monotonic() + LIMIT_S
    while any(counting.frames[name] < before[name] + 50 for name in ("file", "live")):
        if time.monotonic() > end:
            raise TimeoutError("no frames")
        time.sleep(0.05)
    return box.figures()


def main() -> int:
    """Runs them and prints what came of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=1000, help="reloads, and as many swaps")
    parser.add_argument("--each", type=int, default=50, help="rounds between two lines of figures")
    arguments = parser.parse_args()
    library = as_file(files("mlu_agent") / "_native" / "libcnrt.so")
    with tempfile.TemporaryDirectory() as work, library as simulator:
        box = Box(Path(work), simulator)
        counting = Counting(f"ipc://{work}/out.sock")
        try:
            first = _settled(box, counting)
            began = time.monotonic()
            print(" round " + " ".join(f"{name:>11}" for name in first), flush=True)
            print(f"{0:>6} " + " ".join(f"{value:>11}" for value in first.values()), flush=True)
            problems = run(box, arguments.count, arguments.each, lambda line: print(line, flush=True))
            took = time.monotonic() - began
            last = _settled(box, counting)
            for name in ("descriptors", "threads"):
                if last[name] != first[name]:
                    problems.append(f"{name}: {first[name]} at first, {last[name]} at last")
        finally:
            code = box.stop()
            counting.stop()
        problems += counting.problems + ([f"the exit code is {code}"] if code else [])
        frames = ", ".join(f"{count} of {name}" for name, count in counting.frames.items())
        print(f"{arguments.count} reloads and {arguments.count} swaps in {took:.0f} s; frames: {frames}")
        print(f"the model of the file's frames changed {counting.switches} times; problems: {len(problems)}")
        for problem in problems[:20]:
            print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
