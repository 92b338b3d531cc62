"""The daemon as a process of its own, with a real model, a real socket and real sources."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Callable

import cv2
import numpy as np
import pytest
from tests.models import small_bundle


@pytest.fixture(scope="session")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A one-core model of batch 1."""
    return small_bundle(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 frames of moving noise."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25.0, (160, 120))
    noise = np.random.default_rng(1).integers(0, 255, (120, 160, 3), np.uint8)
    for number in range(40):
        writer.write(np.roll(noise, 4 * number, axis=1))
    writer.release()
    return path


@pytest.fixture
def cli(simulator_path: Path):
    """Runs mlu-agent in a process of its own."""

    def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "MLU_AGENT_SIMULATOR": str(simulator_path), **environment}
        command = [sys.executable, "-m", "mlu_agent.cli", *map(str, arguments)]
        done = subprocess.run(
            command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120, env=env, check=False
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return run


class Daemon:
    """``mlu-agent run`` as a process; its log lines are collected."""

    def __init__(self, config: Path, simulator: Path, code: str, *arguments: str, **environment: str) -> None:
        program = ["-c", code] if code else ["-m", "mlu_agent.cli"]
        command = [sys.executable, *program, "run", "-c", str(config), *arguments]
        env = {**os.environ, "MLU_AGENT_SIMULATOR": str(simulator), **environment}
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, env=env
        )
        self.lines: list[dict[str, Any]] = []
        self.errors = ""
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(json.loads(line))
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def wait_for_log(self, event: str, timeout: float = 60, **fields: Any) -> dict[str, Any]:
        """The first log line with that event and those fields, past or to come."""

        def found() -> dict[str, Any] | None:
            for line in self.lines:
                if line.get("event") == event and all(line.get(key) == value for key, value in fields.items()):
                    return line
            return None

        with self._changed:
            self._changed.wait_for(lambda: found() or not self._reader.is_alive(), timeout)
            line = found()
        assert line is not None, f"no log line {event!r} {fields}; the log: {self.lines}"
        return line

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Sends a signal and returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.wait()

    def wait(self, timeout: float = 60) -> int:
        """Waits for the end by itself."""
        code = self.process.wait(timeout)
        self._reader.join(10)
        assert self.process.stderr is not None
        self.errors += self.process.stderr.read() if not self.process.stderr.closed else ""
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()
        return code


@pytest.fixture
def run_daemon(tmp_path: Path, model_path: Path, simulator_path: Path):
    """A function from TOML of sources (and more) to a running Daemon; what is left ends with the test."""
    daemons: list[Daemon] = []

    def run(
        sources: str,
        *arguments: str,
        publish: str = "",
        code: str = "",
        environment: dict[str, str] | None = None,
        model: Path | str = model_path,
        config: str = "",
    ) -> Daemon:
        written = tmp_path / f"agent{len(daemons)}.toml"
        endpoint = "" if "endpoint" in publish else f'endpoint = "ipc://{tmp_path}/out.sock"\n'
        # nothing may be lost between daemon and listener, or gaps would not be the daemon's
        endpoint += "" if "high_water_mark" in publish else "high_water_mark = 100000\n"
        written.write_text(
            f'[agent]\nbox = "testbox"\n[model]\npath = "{model}"\nruntime = "simulator"\n'
            f"[publish]\nheartbeat_s = 0.2\n{endpoint}{publish}\n{sources}"
        )
        daemons.append(
            Daemon(Path(config) if config else written, simulator_path, code, *arguments, **(environment or {}))
        )
        return daemons[-1]

    yield run
    for daemon in daemons:
        if daemon.process.poll() is None:
            daemon.process.kill()
            daemon.wait()


class Listener:
    """Collects messages in a thread until told to stop."""

    def __init__(self, endpoint: str) -> None:
        from mlu_agent.client import Subscriber

        self.messages: list[dict[str, Any]] = []
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._subscriber = Subscriber(endpoint, high_water_mark=100_000)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while not self._stop.is_set():
            message = self._subscriber.receive(0.1)
            if message is not None:
                with self._changed:
                    self.messages.append(message)
                    self._changed.notify_all()
        self._subscriber.close()

    def of_kind(self, kind: str, source: str | None = None) -> list[dict[str, Any]]:
        """The messages so far of a kind, and of one source."""
        return [m for m in list(self.messages) if m["kind"] == kind and source in (None, m.get("source"))]

    def wait_for(self, condition: Callable[[], Any], timeout: float = 60) -> Any:
        """Waits until the condition holds; it is looked at after every message."""
        end = time.monotonic() + timeout
        with self._changed:
            assert self._changed.wait_for(condition, end - time.monotonic()), [m["kind"] for m in self.messages[-20:]]
        return condition()

    def stop(self) -> None:
        """Ends the thread."""
        self._stop.set()
        self._thread.join(10)


@pytest.fixture
def listen():
    """A function from an endpoint to a Listener."""
    listeners: list[Listener] = []

    def start(endpoint: str) -> Listener:
        listeners.append(Listener(endpoint))
        return listeners[-1]

    yield start
    for listener in listeners:
        listener.stop()


@pytest.fixture
def endpoint(tmp_path: Path) -> str:
    """Where the daemon of run_daemon publishes unless told otherwise."""
    return f"ipc://{tmp_path}/out.sock"
