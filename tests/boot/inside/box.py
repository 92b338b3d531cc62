"""What the scenarios stand on: the console, the unit as systemd sees it, and a subscriber that listens all the time."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Callable

HERE = Path("/boot-test")
UNIT = "mlu-agent.service"
SOCKET = Path("/run/mlu-agent/detections.sock")
CONFIG = Path("/etc/mlu-agent/mlu-agent.toml")
CACHE = Path("/var/cache/mlu-agent")  # where the golden frame is recorded
DROP_IN = Path(f"/run/systemd/system/{UNIT}.d/boot-test.conf")
SOURCES = ("clip", "synthetic")


class Failed(Exception):
    """A promise that was not kept; the text says which."""


def say(line: str) -> None:
    """A line for whoever watches the machine."""
    with Path("/dev/console").open("w") as console:
        console.write(f"\nboot-test: {line}\n")


def run(*command: str, good: tuple[int, ...] = (0,), timeout: float = 120) -> str:
    """Runs a command; Failed unless it ends as expected."""
    done = subprocess.run(
        command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=timeout, check=False
    )
    if done.returncode not in good:
        last = (done.stdout + done.stderr).strip().splitlines()[-3:]
        raise Failed(f"{' '.join(command)[:80]} ended with {done.returncode}: {' / '.join(last)}")
    return done.stdout


def check(condition: object, otherwise: str) -> None:
    """Failed with the sentence, unless the condition holds."""
    if not condition:
        raise Failed(otherwise)


def wait_for(what: str, condition: Callable[[], Any], limit_s: float) -> float:
    """Seconds until the condition held; Failed after the limit."""
    start = time.monotonic()
    while not condition():
        check(time.monotonic() - start < limit_s, f"{what}: not within {limit_s:g} s")
        time.sleep(0.02)
    return time.monotonic() - start


def show(*names: str, unit: str = UNIT) -> dict[str, str]:
    """Properties of the unit."""
    text = run("systemctl", "show", unit, *(f"--property={name}" for name in names))
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def pid() -> int:
    """Of the unit's main process; 0: none."""
    return int(show("MainPID")["MainPID"])


def restarts() -> int:
    """How often systemd has started the unit again by itself."""
    return int(show("NRestarts")["NRestarts"])


def drop_in(*lines: str) -> None:
    """Lines for the unit's [Service] section until the next call, without any: as it was delivered."""
    DROP_IN.parent.mkdir(parents=True, exist_ok=True)
    DROP_IN.write_text("[Service]\n" + "\n".join(lines) + "\n")
    run("systemctl", "daemon-reload")


def journal(since: float) -> str:
    """What the unit said since then (of time.time())."""
    return run("journalctl", "--unit", UNIT, "--output", "cat", "--no-pager", f"--since=@{since:.6f}")


class Listener(threading.Thread):
    """A real subscriber; keeps when the newest frame of each source was published and arrived."""

    def __init__(self, endpoint: str = f"ipc://{SOCKET}") -> None:
        super().__init__(daemon=True)
        self._endpoint = endpoint
        self.arrived: dict[str, float] = {}
        self.published: dict[str, float] = {}
        self.gaps: dict[str, int] = {}
        self.longest: dict[str, float] = {}
        self.beat = 0.0
        self.heartbeat: dict[str, Any] = {}

    def run(self) -> None:
        """Until the process ends."""
        from mlu_client.subscriber import Subscriber

        with Subscriber(self._endpoint, high_water_mark=100_000) as messages:
            for message in messages:
                self.gaps = dict(messages.counters.lost)
                now = time.monotonic()
                if message["kind"] == "frame":
                    name = message["source"]
                    pause = now - self.arrived.get(name, now)
                    self.longest[name] = max(self.longest.get(name, 0.0), pause)
                    self.published[name] = message["t_publish_ns"] / 1e9
                    self.arrived[name] = now
                elif message["kind"] == "heartbeat":
                    self.beat, self.heartbeat = now, message

    def frames_after(self, wall: float, limit_s: float) -> float:
        """Seconds until each source has a frame that was published after ``wall`` (of time.time())."""
        return wait_for(
            "frames of all sources", lambda: all(self.published.get(name, 0.0) > wall for name in SOURCES), limit_s
        )

    def longest_pause(self, seconds: float) -> float:
        """Listens for so long; the longest time without a frame of one source, or of both."""
        self.longest = {}
        start = time.monotonic()
        time.sleep(seconds)
        now = time.monotonic()
        return max(max(self.longest.get(name, 0.0), now - self.arrived.get(name, start)) for name in SOURCES)


def say_log() -> None:
    """The unit's last words, for whoever looks for the reason."""
    command = ["journalctl", "--unit", UNIT, "--output", "cat", "--no-pager", "--lines", "12"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    for said in done.stdout.splitlines():
        say(f"      | {said[:240]}")


Scenario = Callable[[Listener], str]


def attempt(scenario: Scenario, listener: Listener) -> bool:
    """Runs one, says how it ended, and leaves the unit as it was delivered and serving."""
    name = scenario.__name__
    start = time.monotonic()
    try:
        line = f"ok    {name}: {scenario(listener)}"
    except Exception as error:  # whatever it is, the others are to run
        line = f"FAIL  {name}: {error if isinstance(error, Failed) else f'{type(error).__name__}: {error}'}"
    say(f"{line} [{time.monotonic() - start:.0f} s]")
    if line.startswith("FAIL"):
        say_log()
    return line.startswith("ok")


def settle(listener: Listener) -> None:
    """The unit as it was delivered, running and heard."""
    try:
        if DROP_IN.exists():
            DROP_IN.unlink()
            run("systemctl", "daemon-reload")
            run("systemctl", "stop", UNIT)
        run("systemctl", "reset-failed", UNIT)
        run("systemctl", "start", UNIT)
        listener.frames_after(time.time(), 60)
    except Failed as failed:
        say(f"FAIL  settle: {failed}")
        say_log()
        sys.exit(1)
