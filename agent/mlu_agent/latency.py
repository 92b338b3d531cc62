"""How long stages take: histograms that can be added."""

from __future__ import annotations

import bisect
from dataclasses import dataclass

# milliseconds; fixed, so that histograms of several boxes and of several days can be added
BUCKETS_MS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10000.0)


@dataclass(frozen=True)
class Latency:
    """The latencies of one stage, milliseconds: how many, their sum, the greatest, and how many lie in each bucket.

    ``buckets[i]`` counts those of at most BUCKETS_MS[i] that no bucket before has; the last one counts all the others.
    """

    count: int = 0
    total_ms: float = 0.0
    max_ms: float = 0.0
    buckets: tuple[int, ...] = (0,) * (len(BUCKETS_MS) + 1)

    def __add__(self, other: Latency) -> Latency:
        buckets = tuple(one + two for one, two in zip(self.buckets, other.buckets))
        return Latency(
            self.count + other.count, self.total_ms + other.total_ms, max(self.max_ms, other.max_ms), buckets
        )

    def summary(self) -> dict[str, float]:
        """For people: count, mean_ms, max_ms."""
        mean = self.total_ms / self.count if self.count else 0.0
        return {"count": self.count, "mean_ms": round(mean, 3), "max_ms": round(self.max_ms, 3)}


class Histogram:
    """Collects latencies; not locked."""

    def __init__(self) -> None:
        self._total_ms = self._max_ms = 0.0
        self._buckets = [0] * (len(BUCKETS_MS) + 1)

    def add(self, milliseconds: float) -> None:
        """One more measurement."""
        self._total_ms += milliseconds
        self._max_ms = max(self._max_ms, milliseconds)
        self._buckets[bisect.bisect_left(BUCKETS_MS, milliseconds)] += 1

    def snapshot(self) -> Latency:
        """What was collected so far."""
        return Latency(sum(self._buckets), self._total_ms, self._max_ms, tuple(self._buckets))
