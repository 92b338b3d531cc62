"""Soak test: the daemon on a looping clip and a real RTSP stream whose server is taken away twice.

    python benchmarks/soak.py --model MODEL.cambricon --clip CLIP [--minutes 10] [--json FILE]

Watches from outside, as a subscriber and through /proc: resident memory over time, gaps in the sequence numbers, the
balance of the counters (frames_read == published + dropped + failed), the states of both sources, the time that SIGTERM
takes. Prints a line every 10 seconds and a verdict; exits with 1 if any promise was broken.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from mlu_agent.client import Subscriber

ROOT = Path(__file__).resolve().parent.parent
SYSTEM_PYTHON = "/usr/bin/python3"
SAMPLE_S = 2.0
REPORT_S = 10.0
WARM_UP_SHARE = 0.2  # of the time: allocators and decoders settle, also after the first reconnection
GROWTH_LIMIT_KIB = 8 * 1024
STOP_LIMIT_S = 5.0
OUTAGE_S = 6.0


class Server:
    """The RTSP server as a process that is killed and started again on the same port."""

    def __init__(self, clip: Path) -> None:
        self._clip = clip
        self._port = "0"
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    def start(self) -> None:
        """Returns when it listens."""
        script = str(ROOT / "tests" / "rtsp_server.py")
        command = [SYSTEM_PYTHON, script, "--port", self._port, "--file", str(self._clip), "--until-eof"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().split()[1]
        self._port = self.url.split(":")[2].split("/")[0]

    def stop(self) -> None:
        """Kills it, as a camera whose cable is pulled."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@dataclasses.dataclass
class Seen:
    """What the subscriber saw of one source."""

    frames: int = 0
    gaps: int = 0
    next_sequence: int | None = None
    states: list[str] = dataclasses.field(default_factory=list)
    end: dict[str, Any] | None = None
    newest: dict[str, int] = dataclasses.field(default_factory=dict)

    def take(self, message: dict[str, Any]) -> None:
        """Counts one message."""
        if message["kind"] == "frame":
            if self.next_sequence is not None and message["seq"] != self.next_sequence:
                self.gaps += 1
            self.next_sequence = message["seq"] + 1
            self.frames += 1
            self.newest = message["counters"]
        elif message["kind"] == "state" and (not self.states or self.states[-1] != message["state"]):
            self.states.append(message["state"])
        elif message["kind"] == "end":
            self.end = message


class Soak:
    """One run."""

    def __init__(self, arguments: argparse.Namespace, folder: Path) -> None:
        self.seconds = arguments.minutes * 60
        self.server = Server(arguments.clip)
        self.server.start()
        endpoint = f"ipc://{folder}/soak.sock"
        config = folder / "soak.toml"
        config.write_text(
            f'[agent]\nbox = "soak"\n[model]\npath = "{arguments.model.resolve()}"\nruntime = "{arguments.runtime}"\n'
            f'[publish]\nendpoint = "{endpoint}"\nhigh_water_mark = 100000\n'
            f'[[source]]\nid = "clip"\npath = "{arguments.clip.resolve()}"\nloop = true\n'
            f'[[source]]\nid = "rtsp"\nurl = "{self.server.url}"\n'
        )
        self.subscriber = Subscriber(endpoint, high_water_mark=1_000_000)
        self.log = (folder / "daemon.log").open("w")
        command = [sys.executable, "-m", "mlu_agent.cli", "run", "-c", str(config), "--wait-for-subscriber", "30"]
        self.daemon = subprocess.Popen(command, stdout=self.log, stdin=subprocess.DEVNULL)
        self.seen = {"clip": Seen(), "rtsp": Seen()}
        self.memory: list[tuple[float, int]] = []
        self.stop_s = 0.0

    def run(self) -> None:
        """The whole time, with two outages of the server in it."""
        start = time.monotonic()
        outages = [self.seconds / 3, self.seconds * 2 / 3]
        back: float | None = None
        next_sample = next_report = 0.0
        while (now := time.monotonic() - start) < self.seconds and self.daemon.poll() is None:
            self._receive(0.2)
            if outages and now >= outages[0]:
                outages.pop(0)
                self.server.stop()
                back = now + OUTAGE_S
                print(f"{now:6.0f} s  RTSP server killed", flush=True)
            if back is not None and now >= back:
                self.server.start()
                back = None
                print(f"{now:6.0f} s  RTSP server started again", flush=True)
            if now >= next_sample:
                next_sample = now + SAMPLE_S
                self.memory.append((now, resident_kib(self.daemon.pid)))
            if now >= next_report:
                next_report = now + REPORT_S
                self._report(now)
        self._stop()

    def _receive(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            message = self.subscriber.receive(left)
            if message is None:
                return
            source = message.get("source")
            if source in self.seen:
                self.seen[source].take(message)

    def _report(self, now: float) -> None:
        counts = "  ".join(
            f"{name}: {seen.frames} frames, {seen.gaps} gaps, {seen.states[-1] if seen.states else '-'}"
            for name, seen in self.seen.items()
        )
        print(f"{now:6.0f} s  RSS {self.memory[-1][1] / 1024:.1f} MiB  {counts}", flush=True)

    def _stop(self) -> None:
        start = time.monotonic()
        self.daemon.send_signal(signal.SIGTERM)
        while self.daemon.poll() is None and time.monotonic() - start < 30:
            self._receive(0.02)
        self.stop_s = time.monotonic() - start
        self._receive(1.0)

    def close(self) -> None:
        """Ends what still runs."""
        self.server.stop()
        if self.daemon.poll() is None:
            self.daemon.kill()
        self.daemon.wait()
        self.subscriber.close()
        self.log.close()

    def growth_kib(self) -> int:
        """Median of the last tenth of the samples less that of the tenth after the warm-up."""
        settled = [kib for at, kib in self.memory if at >= self.seconds * WARM_UP_SHARE]
        tenth = max(1, len(settled) // 10)
        return int(statistics.median(settled[-tenth:]) - statistics.median(settled[:tenth])) if settled else 0

    def violations(self) -> list[str]:
        """What was promised and not kept."""
        found = []
        if self.daemon.returncode != 0:
            found.append(f"the daemon ended with {self.daemon.returncode}")
        if self.stop_s > STOP_LIMIT_S:
            found.append(f"SIGTERM took {self.stop_s:.1f} s")
        if self.growth_kib() > GROWTH_LIMIT_KIB:
            found.append(f"resident memory grew by {self.growth_kib()} KiB after the warm-up")
        for name, seen in self.seen.items():
            found += [f"{name}: {problem}" for problem in source_violations(seen)]
        changes = self.seen["rtsp"].states
        if changes.count("lost") < 2 or changes.count("live") < 3:
            found.append(f"rtsp: two outages must show as lost and live again, the states were {changes}")
        if set(self.seen["clip"].states) & {"lost", "stalled", "failed"}:
            found.append(f"clip: disturbed by the other source, the states were {self.seen['clip'].states}")
        return found

    def result(self) -> dict[str, Any]:
        """Figures of the run."""
        return {
            "seconds": self.seconds,
            "rss_mib": [
                [round(at), round(kib / 1024, 1)] for at, kib in self.memory[:: max(1, len(self.memory) // 40)]
            ],
            "rss_growth_kib": self.growth_kib(),
            "sigterm_s": round(self.stop_s, 2),
            "exit_code": self.daemon.returncode,
            "sources": {
                name: {
                    "frames": seen.frames,
                    "gaps": seen.gaps,
                    "states": seen.states,
                    "end": (seen.end or {}).get("counters"),
                }
                for name, seen in self.seen.items()
            },
            "violations": self.violations(),
        }


def source_violations(seen: Seen) -> list[str]:
    """Gaps, missing end, counters that do not add up."""
    found = []
    if seen.gaps:
        found.append(f"{seen.gaps} gaps in the sequence numbers")
    if not seen.frames:
        found.append("no frame at all")
    if seen.end is None:
        return [*found, "no end message"]
    counters = seen.end["counters"]
    dropped = sum(value for key, value in counters.items() if key.startswith("dropped_"))
    if counters["frames_read"] != counters["published"] + dropped + counters["failed"]:
        found.append(f"the counters do not add up: {counters}")
    if seen.end["frames"] != seen.next_sequence or counters["published"] != seen.frames:
        found.append(
            f"{seen.frames} frames arrived, the last {seen.next_sequence}, but the end says {seen.end['frames']}"
        )
    return found


def resident_kib(pid: int) -> int:
    """Resident memory of a process; 0 once it has ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def main() -> int:
    """Runs the soak; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--clip", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--runtime", default="simulator")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mlu-soak-") as folder:
        soak = Soak(arguments, Path(folder))
        try:
            soak.run()
        finally:
            soak.close()
        result = soak.result()
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({key: value for key, value in result.items() if key != "rss_mib"}, indent=1))
    for violation in result["violations"]:
        print(f"soak: {violation}", file=sys.stderr)
    print("soak: every promise was kept" if not result["violations"] else "soak: FAILED")
    return 1 if result["violations"] else 0


if __name__ == "__main__":
    sys.exit(main())
