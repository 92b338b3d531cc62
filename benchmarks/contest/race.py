"""All contenders of one network, each in its process, asked in turn for one inference: noise hits all alike."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .processor import masked

HERE = Path(__file__).resolve().parent
FEWEST = 7  # rounds, however long they are
START_SECONDS = 120.0
ANSWER_SECONDS = 60.0
AT_ONCE = max(1, len(os.sched_getaffinity(0)))  # contenders that load side by side


@dataclass(frozen=True)
class Entry:
    """A contender: the engine, its number of threads, the processor that it is shown, our table where it is forced."""

    engine: str
    threads: int
    processor: str
    table: str = ""
    batch: int = 1

    @property
    def key(self) -> str:
        """Its name in results."""
        return " ".join(filter(None, (self.engine, self.table)))


@dataclass
class Contender:
    """An entry that runs: its process, and what it took."""

    entry: Entry
    folder: Path
    mask: Path | None
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    version: str = ""
    failure: str = ""

    def start(self) -> None:
        """Starts the process; it loads in the background."""
        environment = {**os.environ, "PYTHONHASHSEED": "0", "OMP_WAIT_POLICY": "PASSIVE"}
        if self.entry.table:
            environment["CNRT_SIMULATOR_KERNELS"] = self.entry.table
        environment.update(masked(self.entry.processor, self.mask))
        command = [sys.executable, str(HERE / "contender.py"), self.entry.engine, str(self.folder)]
        self.process = subprocess.Popen(
            [*command, str(self.entry.threads), str(self.entry.batch)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said: list[str] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said = [*self.said, line.rstrip()][-20:]

    def ready(self) -> None:
        """Waits until it is loaded."""
        told = self._answer(START_SECONDS)
        if told:
            self.version = json.loads(told)["version"]

    def run(self) -> None:
        """One inference."""
        if self.failure:
            return
        answer = self._ask("run")
        if answer:
            wall, cpu = answer.split()
            self.wall.append(float(wall))
            self.cpu.append(float(cpu))

    def begin_loop(self, seconds: float) -> None:
        """Asks for inferences for so long; ``rate`` waits for them."""
        if not self.failure:
            self._write(f"loop {seconds}")

    def rate(self) -> float:
        """Pictures a second of the loop that was begun."""
        answer = "" if self.failure else self._answer(ANSWER_SECONDS)
        count, elapsed = (answer or "0 1").split()
        return int(count) * self.entry.batch / float(elapsed)

    def outputs(self, path: Path) -> None:
        """Its heads, into a file."""
        if not self.failure:
            self._ask(f"outputs {path}")

    def stop(self) -> None:
        """Ends the process."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()

    def _ask(self, command: str) -> str:
        self._write(command)
        return self._answer(ANSWER_SECONDS)

    def _write(self, command: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{command}\n")
        self.process.stdin.flush()

    def _answer(self, seconds: float) -> str:
        timer = threading.Timer(seconds, self.process.kill)
        timer.start()
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        timer.cancel()
        if not line:
            time.sleep(0.1)
            self.failure = (self.said or ["it ended, or took too long"])[-1][:300]
        return line.strip()

    def summary(self) -> dict[str, Any]:
        """What it took, in milliseconds."""
        told: dict[str, Any] = {
            "engine": self.entry.engine,
            "table": self.entry.table,
            "threads": self.entry.threads,
            "processor": self.entry.processor,
            "batch": self.entry.batch,
            "version": self.version,
            "samples": len(self.wall),
        }
        if self.failure or not self.wall:
            return {**told, "failure": self.failure or "it was not asked"}
        return {
            **told,
            "median_ms": statistics.median(self.wall),
            "least_ms": min(self.wall),
            "cpu_least_ms": min(self.cpu),
        }


def race(
    entries: list[Entry], folder: Path, mask: Path | None, *, rounds: int, seconds: float, heads: Path | None = None
) -> list[dict[str, Any]]:
    """Rounds in which every contender runs once, until ``rounds`` or ``seconds`` are over; each starts at another one.

    ``heads``: a folder for the outputs of each.
    """
    contenders = [Contender(entry, folder, mask) for entry in entries]
    try:
        for first in range(0, len(contenders), AT_ONCE):
            together = contenders[first : first + AT_ONCE]
            for contender in together:
                contender.start()
            for contender in together:
                contender.ready()
        end = time.monotonic() + seconds
        for number in range(rounds):
            if number >= FEWEST and time.monotonic() > end:
                break
            turn = number % len(contenders)
            for contender in contenders[turn:] + contenders[:turn]:
                contender.run()
        if heads is not None:
            heads.mkdir(parents=True, exist_ok=True)
            for contender in contenders:
                if contender.entry.threads == 1:
                    contender.outputs(heads / f"{contender.entry.key.replace(' ', '-')}.npz")
    finally:
        for contender in contenders:
            contender.stop()
    return [contender.summary() for contender in contenders]


def together(entries: list[Entry], folder: Path, mask: Path | None, seconds: float) -> float:
    """Pictures a second of all of them, running at the same time."""
    contenders = [Contender(entry, folder, mask) for entry in entries]
    try:
        for contender in contenders:
            contender.start()
        for contender in contenders:
            contender.ready()
        for contender in contenders:
            contender.begin_loop(seconds)
        return sum(contender.rate() for contender in contenders)
    finally:
        for contender in contenders:
            contender.stop()
