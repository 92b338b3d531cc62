"""What the soak test sees of the daemon: its process in /proc, its heartbeats, and each source's messages."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np

WARM_UP_SHARE = 0.2  # of the time: allocators and decoders settle, also after the first reconnections
WARM_UP_MOST_S = 600.0
GROWTH_LIMIT_MB = 8.0  # over the whole run: a slope says little of a short one
SLOPE_LIMIT_MB_H = 4.0  # of a run of at least SLOPE_FROM_S
SLOPE_FROM_S = 1800.0
SPREAD = 2  # descriptors and threads by which a quarter may differ: one camera is away in some samples
HEARTBEAT_LIMIT_S = 3.0


class Sample(NamedTuple):
    """Of the process; ``at`` in seconds since the start, ``rss_mb`` in 10^6 bytes."""

    at: float
    rss_mb: float
    descriptors: int
    threads: int


class Process:
    """The daemon, and samples of it."""

    def __init__(self, command: list[str], environment: dict[str, str], log: TextIO) -> None:
        environment = {**os.environ, **environment}
        self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.samples: list[Sample] = []

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    @property
    def code(self) -> int | None:
        """Its exit status."""
        return self._process.poll()

    def send(self, number: int) -> None:
        """Sends a signal."""
        self._process.send_signal(number)

    def close(self) -> None:
        """Ends it, however."""
        if self.alive:
            self._process.kill()
        self._process.wait()

    def sample(self, at: float) -> None:
        """Takes one; none of a process that just ended."""
        folder = Path("/proc", str(self._process.pid))
        try:
            pages = int((folder / "statm").read_text().split()[1])
            descriptors = sum(1 for _ in (folder / "fd").iterdir())
            threads = sum(1 for _ in (folder / "task").iterdir())
        except (OSError, IndexError):
            return
        megabytes = pages * os.sysconf("SC_PAGE_SIZE") / 1e6
        self.samples.append(Sample(round(at, 1), round(megabytes, 2), descriptors, threads))

    @property
    def newest(self) -> str:
        """For the report."""
        last = self.samples[-1]
        return f"RSS {last.rss_mb:.1f} MB, {last.descriptors} descriptors, {last.threads} threads"

    def settled(self) -> list[Sample]:
        """The samples after the warm-up."""
        end = self.samples[-1].at if self.samples else 0.0
        return [sample for sample in self.samples if sample.at >= min(end * WARM_UP_SHARE, WARM_UP_MOST_S)]

    def slope_mb_h(self) -> float:
        """Least squares."""
        settled = self.settled()
        if len(settled) < 2:
            return 0.0
        slope, _ = np.polyfit([one.at for one in settled], [one.rss_mb for one in settled], 1)
        return float(slope) * 3600

    def quarters(self, name: str) -> tuple[float, float]:
        """The medians of the first and of the last quarter."""
        values = [getattr(sample, name) for sample in self.settled()]
        quarter = max(1, len(values) // 4)
        return statistics.median(values[:quarter]), statistics.median(values[-quarter:])

    def violations(self) -> list[str]:
        """Memory that grew, descriptors and threads that became more."""
        if not self.samples:
            return ["the daemon ended at once"]
        found = []
        first, last = self.quarters("rss_mb")
        if last - first > GROWTH_LIMIT_MB:
            found.append(f"resident memory grew from {first:.1f} to {last:.1f} MB after the warm-up")
        if self.samples[-1].at >= SLOPE_FROM_S and self.slope_mb_h() > SLOPE_LIMIT_MB_H:
            found.append(f"resident memory grows by {self.slope_mb_h():.2f} MB/h")
        for name in ("descriptors", "threads"):
            first, last = self.quarters(name)
            if last > first + SPREAD:
                found.append(f"{name} grew from {first:g} to {last:g}")
        return found

    def result(self) -> dict[str, Any]:
        """Figures."""
        if not self.samples:
            return {}
        settled = self.settled()
        figures: dict[str, Any] = {
            "rss_slope_mb_per_h": round(self.slope_mb_h(), 2),
            "rss_mb_first_last_quarter": self.quarters("rss_mb"),
            "rss_mb_most": max(sample.rss_mb for sample in self.samples),
        }
        for name in ("descriptors", "threads"):
            values = [getattr(sample, name) for sample in settled]
            figures[f"{name}_first_last_quarter"] = self.quarters(name)
            figures[f"{name}_least_most"] = (min(values), max(values))
        return figures


def unbalanced(counters: dict[str, int]) -> int:
    """Frames that are missing in the counters' sum."""
    whole = counters["published"] + counters["dropped"] + counters["failed"] + counters["in_flight"]
    return counters["frames_read"] - whole


@dataclass
class Heartbeats:
    """The signs of life and what they count of the device."""

    count: int = 0
    longest_s: float = 0.0
    unbalanced: int = 0
    newest: dict[str, int] = field(default_factory=dict)
    _last: float = 0.0

    def take(self, message: dict[str, Any]) -> None:
        """One of them."""
        now = time.monotonic()
        if self._last:
            self.longest_s = max(self.longest_s, now - self._last)
        self._last = now
        self.count += 1
        self.newest = message["counters"]
        self.unbalanced += unbalanced(self.newest) != 0

    @property
    def device(self) -> dict[str, int]:
        """What was done for the device."""
        return {name: value for name, value in self.newest.items() if name.startswith("device_")}

    def __str__(self) -> str:
        return f"{self.count} heartbeats {self.device}"

    def violations(self) -> list[str]:
        """Sums that were wrong, and silence."""
        found = [f"the counters did not add up in {self.unbalanced} heartbeats"] if self.unbalanced else []
        if self.longest_s > HEARTBEAT_LIMIT_S:
            found.append(f"{self.longest_s:.1f} s without a heartbeat")
        return found

    def result(self) -> dict[str, Any]:
        """Figures."""
        return {
            "heartbeats": self.count,
            "heartbeats_unbalanced": self.unbalanced,
            "longest_without_heartbeat_s": round(self.longest_s, 1),
            "device": self.device,
        }


@dataclass
class Seen:
    """What the subscriber saw of one source."""

    frames: int = 0
    missing: int = 0
    unbalanced: int = 0
    backwards: int = 0
    next_sequence: int = 0
    last_frame: float = 0.0
    states: list[str] = field(default_factory=list)
    end: dict[str, Any] | None = None

    @property
    def state(self) -> str:
        """The newest."""
        return self.states[-1] if self.states else "-"

    def take(self, message: dict[str, Any]) -> None:
        """Counts one message."""
        if message["kind"] == "frame":
            self.missing += max(0, message["seq"] - self.next_sequence)
            self.backwards += message["seq"] < self.next_sequence
            self.next_sequence = message["seq"] + 1
            self.frames += 1
            self.last_frame = time.monotonic()
        elif message["kind"] == "state" and self.state != message["state"]:
            self.states.append(message["state"])
        elif message["kind"] == "end":
            self.end = message
        self.unbalanced += unbalanced(message["counters"]) != 0

    def violations(self, *, may_be_lost: bool) -> list[str]:
        """Gaps that nothing explains, a missing end, sums that are wrong, states of a source that nobody touched."""
        if self.end is None:
            return [f"no end message; {self.frames} frames"]
        found = []
        counters = self.end["counters"]
        missing = self.missing + self.end["frames"] - self.next_sequence
        if missing != counters["failed"]:
            found.append(f"{missing} frames are missing, {counters['failed']} failed: the others are not explained")
        if self.backwards:
            found.append(f"{self.backwards} frames came twice or out of order")
        if self.unbalanced or unbalanced(counters):
            found.append(f"the counters did not add up in {self.unbalanced} messages")
        if counters["published"] != self.frames or not self.frames:
            found.append(f"{self.frames} frames arrived, {counters['published']} were published")
        if not may_be_lost and set(self.states) - {"connecting", "live", "ended"}:
            found.append(f"disturbed by others: it was {', '.join(self.states)}")
        return found

    def result(self) -> dict[str, Any]:
        """Figures."""
        counters = (self.end or {}).get("counters", {})
        return {
            "frames": self.frames,
            "missing": self.missing,
            "failed": counters.get("failed"),
            "reconnects": counters.get("reconnects"),
            "states": {name: self.states.count(name) for name in sorted(set(self.states))},
        }
