"""How the daemon ends when it is told to, in every state that it can be in, with cameras that are slow.

``benchmarks/stops.py`` prints a table of hundreds; a test takes one of each.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Callable, NamedTuple

from tests.faulty_cameras import Blackhole, Faults, RtspCamera, closed_port

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT_S = 5.0  # service.stop_timeout_s
PATIENCE_S = 90.0  # with a state to come, or an end: only what is broken waits so long
CAMERAS = 8
PIPE_SIZE = 1031  # F_SETPIPE_SZ, which fcntl has from Python 3.10 on
LOUD = "[log]\nsummary_s = 0.02\n"


class Stop(NamedTuple):
    """``code``: of the process, negative for a signal's number; ``seconds``: from the signal to its end; ``said``: its
    last line, of the log or of stderr."""

    code: int
    seconds: float
    said: str


class Running(NamedTuple):
    """A daemon on its way to a state; its folder holds ``log`` and the socket."""

    process: subprocess.Popen[bytes]
    folder: Path

    def has_said(self, *words: str) -> bool:
        """Whether one line of the log holds all of these."""
        lines = (self.folder / "log").read_text(errors="replace").splitlines()
        return any(all(word in line for word in words) for line in lines)


def catches_term(running: Running) -> bool:
    """Whether the program has come so far as to take signals over; before, the interpreter dies of them."""
    text = Path(f"/proc/{running.process.pid}/status").read_text(encoding="utf-8")
    _, _, caught = text.partition("SigCgt:")
    return bool(int(caught.split()[0], 16) >> (signal.SIGTERM - 1) & 1)


def _said(*words: str) -> Callable[[Running], bool]:
    return lambda running: running.has_said(*words)


@dataclass(frozen=True)
class State:
    """How a daemon is brought into a state.

    ``reached``: whether it is there; ``cameras``: which of those of ``Cameras``; ``faults``: of the simulator;
    ``late_s``: the signal comes up to so much later.
    """

    reached: Callable[[Running], bool]
    cameras: str = "slow"
    faults: str = ""
    model: bool = True
    options: tuple[str, ...] = ()
    more: str = ""
    log: str = "file"
    late_s: float = 0.5


READY = _said('"ready"')
STATES = {
    "starting": State(catches_term, late_s=0.0),
    "importing": State(catches_term),
    "loading": State(_said('"runtime"'), faults='function = "cnrtLoadModel"\nslow_ms = 2000\n'),
    "waiting for the model": State(_said('"waiting"'), model=False),
    "waiting for a subscriber": State(READY, options=("--wait-for-subscriber", "600")),
    "connecting": State(READY, cameras="silent"),
    "silent cameras": State(READY, cameras="mute"),
    "live": State(_said('"live"')),
    "stalled": State(_said('"stalled"'), cameras="half open"),
    "lost": State(_said('"lost"'), cameras="gone"),
    "reconnecting": State(_said('"lost"'), cameras="breaking"),
    "device busy": State(
        _said('"live"'),
        cameras="synthetic",
        faults='function = "cnrtInvokeRuntimeContext"\nat = "queue"\nslow_ms = 300\n',
    ),
    "log blocked": State(lambda running: (running.folder / "out.sock").exists(), more=LOUD, log="blocked", late_s=1.0),
    "log full": State(lambda running: (running.folder / "out.sock").exists(), more=LOUD, log="full"),
    "log without a reader": State(lambda running: (running.folder / "out.sock").exists(), more=LOUD, log="gone"),
}


class Cameras:
    """Eight of each kind, for all daemons together, the slow ones of ``fps``; a context manager."""

    def __init__(self, fps: float = 1.0) -> None:
        slow = [RtspCamera(fps=fps) for _ in range(CAMERAS)]
        self._servers = {
            "slow": slow,
            "silent": [Blackhole() for _ in range(CAMERAS)],
            "mute": [RtspCamera(fps=1.0, faults=Faults(silent_before_play=True)) for _ in range(CAMERAS)],
            "half open": [RtspCamera(fps=5.0, faults=Faults(half_open_after=2)) for _ in range(CAMERAS)],
            "breaking": [RtspCamera(fps=5.0, faults=Faults(drop_after=2)) for _ in range(CAMERAS)],
        }

    def sources(self, kind: str) -> str:
        """The configuration of its eight."""
        if kind == "synthetic":
            places = ['synthetic = "64x48@25"\nrealtime = true'] * CAMERAS
        elif kind == "gone":
            places = [f'url = "rtsp://127.0.0.1:{closed_port()}/stream"'] * CAMERAS
        else:
            places = [f'url = "{server.url}"' for server in self._servers[kind]]
        return "".join(f'[[source]]\nid = "camera-{number}"\n{place}\n' for number, place in enumerate(places))

    def __enter__(self) -> Cameras:
        for servers in self._servers.values():
            for server in servers:
                server.start()
        return self

    def __exit__(self, *_: object) -> None:
        for servers in self._servers.values():
            for server in servers:
                server.stop()


def stop(name: str, folder: Path, model: Path, simulator: Path, cameras: Cameras, seed: int = 0) -> Stop:
    """Brings a daemon into a state, tells it to stop, and waits for its end."""
    state = STATES[name]
    config = folder / "agent.toml"
    config.write_text(
        f'[model]\npath = "{model if state.model else folder / "none.cambricon"}"\nruntime = "simulator"\n'
        f'[publish]\nendpoint = "ipc://{folder}/out.sock"\n{state.more}{cameras.sources(state.cameras)}'
    )
    environment = {**os.environ, "MLU_AGENT_SIMULATOR": str(simulator)}
    environment.pop("NOTIFY_SOCKET", None)
    if state.faults:
        (folder / "faults.toml").write_text(f"[[fault]]\n{state.faults}")
        environment["CNRT_SIMULATOR_FAULTS"] = str(folder / "faults.toml")
    command = [sys.executable, "-m", "mlu_agent.cli", "run", "-c", str(config), *state.options]
    with _log(state.log, folder) as output, (folder / "errors").open("wb") as errors:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, env=environment, cwd=folder
        )
        try:
            return _stop(Running(process, folder), state, random.Random(seed).uniform(0.0, state.late_s))
        finally:
            process.kill()
            process.wait()


def _stop(running: Running, state: State, late_s: float) -> Stop:
    deadline = time.monotonic() + PATIENCE_S
    while not state.reached(running):
        if time.monotonic() > deadline or running.process.poll() is not None:
            raise RuntimeError(f"the state did not come: {running.process.poll()} {_last_words(running.folder)}")
        time.sleep(0.002)
    time.sleep(late_s)
    begin = time.monotonic()
    running.process.send_signal(signal.SIGTERM)
    code = running.process.wait(PATIENCE_S)
    return Stop(code, time.monotonic() - begin, _last_words(running.folder))


@contextlib.contextmanager
def _log(kind: str, folder: Path) -> Iterator[int]:
    """A descriptor for standard output; the log's file is there in any case."""
    (folder / "log").touch()
    if kind in ("file", "full"):
        with open(folder / "log" if kind == "file" else "/dev/full", "wb") as file:  # noqa: PTH123
            yield file.fileno()
        return
    reading, writing = os.pipe()
    fcntl.fcntl(writing, PIPE_SIZE, 4096)
    if kind == "gone":
        os.close(reading)
    try:
        yield writing
    finally:
        os.close(writing)
        if kind != "gone":
            os.close(reading)


def _last_words(folder: Path) -> str:
    lines = [*(folder / "log").read_bytes().splitlines(), *(folder / "errors").read_bytes().splitlines()]
    return lines[-1].decode(errors="replace") if lines else ""
