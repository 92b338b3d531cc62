"""Counters and latencies since the start; plain numbers that add up."""

from __future__ import annotations

import collections
import threading
from typing import Any

DEVICE = "device"  # the reason for failing that is no progress: a device that fails everything does no work


class LatencySummary:
    """Count, mean and maximum of one stage, in milliseconds."""

    def __init__(self) -> None:
        self.count = 0
        self.total_ms = 0.0
        self.max_ms = 0.0

    def add(self, milliseconds: float) -> None:
        """One more measurement."""
        self.count += 1
        self.total_ms += milliseconds
        self.max_ms = max(self.max_ms, milliseconds)

    def snapshot(self) -> dict[str, float]:
        """Plain values: count, mean_ms, max_ms."""
        mean = self.total_ms / self.count if self.count else 0.0
        return {"count": self.count, "mean_ms": round(mean, 3), "max_ms": round(self.max_ms, 3)}


class Metrics:
    """What the pipeline counts, by source, and how long the stages take. Safe for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._published: collections.Counter[str] = collections.Counter()
        self._failed: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
        self._invalid: collections.Counter[str] = collections.Counter()
        self._stages: dict[str, LatencySummary] = collections.defaultdict(LatencySummary)
        self.progress = 0

    def count_published(self, source_id: str, stages_ms: dict[str, float]) -> None:
        """A frame's message was handed to the publisher."""
        with self._lock:
            self._published[source_id] += 1
            self.progress += 1
            for stage, milliseconds in stages_ms.items():
                self._stages[stage].add(milliseconds)

    def count_progress(self) -> None:
        """A frame was finished without being published."""
        with self._lock:
            self.progress += 1

    def count_failed(self, source_id: str, reason: str) -> None:
        """A frame was lost to an error: of the device, or of its own, which others do not share."""
        with self._lock:
            self._failed[source_id][reason] += 1
            self.progress += reason != DEVICE

    def count_invalid(self, source_id: str, candidates: int) -> int:
        """Candidates of a frame were thrown away because a number in them was not finite. How many there were
        before."""
        with self._lock:
            before = self._invalid[source_id]
            self._invalid[source_id] += candidates
            return before

    def invalid(self, source_id: str) -> int:
        """Candidates of a source that were thrown away because a number in them was not finite."""
        return self._invalid[source_id]

    def published(self, source_id: str) -> int:
        """Frames of a source that were published."""
        return self._published[source_id]

    def failed(self, source_id: str) -> dict[str, int]:
        """Frames of a source that failed, by reason."""
        with self._lock:
            return dict(self._failed[source_id])

    def published_total(self) -> int:
        """Frames of all sources that were published."""
        with self._lock:
            return sum(self._published.values())

    def stages(self) -> dict[str, Any]:
        """Latency of each stage since the start."""
        with self._lock:
            return {name: summary.snapshot() for name, summary in self._stages.items()}
