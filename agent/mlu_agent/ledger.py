"""Every counter and every latency of a process, in one place, with one snapshot that whoever tells of them reads.

Each object that counts is handed its own account: a source, a model in service, a sink. For each source
    frames_read == published + dropped (by reason) + failed + in_flight
holds in every snapshot.
"""

from __future__ import annotations

import collections
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Callable, TypeVar

from .latency import Histogram, Latency

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DEVICE = "device"  # the reason for failing that is no progress: a device that fails everything does no work
DROPPED_EMPTY = "dropped_empty"
FILTERED = "filtered_candidates"
MISSED = "minimum_missed"
RECOVERY_STEPS = ("retry", "renew", "reopen")
DEVICE_FAULTS = ("wrong_time", "zero", "skipped", "stale", "corrupted")
MAX_CLOSED = 64  # accounts of sources, and of models, that are gone

Account = TypeVar("Account")


class SourceAccount:
    """What happened to the frames of one source. Safe for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._read = self._published = self._reconnects = self._stalls = self._unreadable = self._invalid = 0
        self._progress = self._numbered = 0
        self._failed: collections.Counter[str] = collections.Counter()
        self._dropped: collections.Counter[str] = collections.Counter()
        self._notes: collections.Counter[str] = collections.Counter()  # told once there is something to tell
        self._stages: dict[str, Histogram] = collections.defaultdict(Histogram)
        self._way = Histogram()

    def number(self) -> int:
        """The next frame's sequence number; they go on if the source comes again. One thread at a time."""
        self._numbered += 1
        return self._numbered - 1

    @property
    def numbered(self) -> int:
        """Sequence numbers given so far: the next frame's."""
        return self._numbered

    def count_read(self, count: int = 1) -> None:
        """Frames were read: before anybody else can see them, so that never more come out than went in."""
        with self._lock:
            self._read += count

    def count_published(self, stages_ms: Mapping[str, float], kind: str = "frame", without_data: int = 0) -> None:
        """A frame's message was handed to the sinks; ``stages_ms`` is how long each stage took, ``without_data`` how
        many of its tensors were too large, or of its detections came without their shape."""
        with self._lock:
            self._published += 1
            if kind != "frame":
                self._notes[f"published_{kind}"] += 1
            if without_data:
                name = "detections_without_shape" if kind == "frame" else "tensors_without_data"
                self._notes[name] += without_data
            self._progress += 1
            for stage, milliseconds in stages_ms.items():
                self._stages[stage].add(milliseconds)
            self._way.add(sum(stages_ms.values()))

    def count_empty(self) -> None:
        """A frame was finished, and left out because nothing was found in it."""
        with self._lock:
            self._dropped[DROPPED_EMPTY] += 1
            self._progress += 1

    def count_dropped(self, reason: str, count: int = 1) -> None:
        """Frames were read and will not be published."""
        if count:
            with self._lock:
                self._dropped[reason] += count

    def count_failed(self, reason: str) -> None:
        """A frame was lost to an error: of the device, or of its own, which others do not share."""
        with self._lock:
            self._failed[reason] += 1
            self._progress += reason != DEVICE

    def count_invalid(self, candidates: int) -> int:
        """Candidates of a frame were thrown away for numbers that are not finite. How many there were before."""
        with self._lock:
            before = self._invalid
            self._invalid += candidates
            return before

    def count_filtered(self, candidates: int) -> None:
        """Candidates of a frame were left out: of no class that the source wants, or not sure enough for it."""
        if candidates:
            with self._lock:
                self._notes[FILTERED] += candidates

    def count_missed(self, frames: int) -> None:
        """Frames of its guaranteed minimum that it had were not taken."""
        with self._lock:
            self._notes[MISSED] += frames

    def count_unreadable(self, count: int = 1) -> None:
        """Pictures were skipped because they cannot be decoded; they never were frames."""
        with self._lock:
            self._unreadable += count

    def count_reconnect(self) -> None:
        """The input was lost and will be opened again."""
        with self._lock:
            self._reconnects += 1

    def count_stall(self) -> None:
        """The input is connected and silent."""
        with self._lock:
            self._stalls += 1

    @property
    def progress(self) -> int:
        """Grows with every frame that was finished, whatever came of it but for a device that failed."""
        return self._progress

    def failed(self) -> dict[str, int]:
        """Frames that failed, by reason."""
        with self._lock:
            return dict(self._failed)

    def counters(self) -> dict[str, int]:
        """As a message has them; they add up."""
        with self._lock:
            dropped, failed = sum(self._dropped.values()), sum(self._failed.values())
            return {
                "frames_read": self._read,
                "published": self._published,
                "failed": failed,
                "in_flight": self._read - self._published - failed - dropped,
                "dropped": dropped,
                "reconnects": self._reconnects,
                "stalls": self._stalls,
                "unreadable": self._unreadable,
                "invalid_candidates": self._invalid,
                **self._notes,
                **self._dropped,
            }

    def stages(self) -> dict[str, Latency]:
        """The latencies of each stage, of the frames that were published."""
        with self._lock:
            return {stage: histogram.snapshot() for stage, histogram in self._stages.items()}

    def way(self) -> Latency:
        """All stages of a frame together, of the frames that were published."""
        with self._lock:
            return self._way.snapshot()


class ModelAccount:
    """What a model's device did wrong, and what was done because it failed; by the collecting thread alone. And how
    full its invocations are."""

    def __init__(self) -> None:
        self._counts = dict.fromkeys((*RECOVERY_STEPS, *DEVICE_FAULTS), 0)
        self._batches = self._frames = 0

    def count_batch(self, frames: int) -> None:
        """An invocation of so many frames begins; by the submitting thread alone."""
        self._batches += 1
        self._frames += frames

    def fill(self) -> dict[str, float]:
        """How full invocations are: how many there were, frames in all of them, and in one."""
        mean = round(self._frames / max(1, self._batches), 2)
        return {"invocations": self._batches, "frames": self._frames, "mean": mean}

    def count(self, what: str) -> int:
        """A step of the recovery is taken, or a fault was found; how often by now."""
        self._counts[what] += 1
        return self._counts[what]

    def steps(self) -> dict[str, int]:
        """How often each step of the recovery was taken."""
        return {step: self._counts[step] for step in RECOVERY_STEPS}

    def counters(self) -> dict[str, int]:
        """All of it."""
        return dict(self._counts)

    def take(self, other: ModelAccount) -> None:
        """Adds what another one counted."""
        self._batches += other._batches
        self._frames += other._frames
        for what, count in other._counts.items():
            self._counts[what] += count


class SinkAccount:
    """What was handed to a sink, and what it lost by failing. Safe for several threads.

    ``lost``     messages that the sink lost, for everybody.
    ``cut_off``  connections that were ended or refused for what they cost.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = dict.fromkeys(("messages", "bytes", "lost", "cut_off"), 0)

    def count_sent(self, size: int) -> None:
        """A message of so many bytes was handed over."""
        with self._lock:
            self._counts["messages"] += 1
            self._counts["bytes"] += size

    def count_lost(self) -> None:
        """A message was lost because the sink failed."""
        self._count("lost")

    def count_cut_off(self) -> None:
        """A listener's connection was ended, or refused, for what it cost."""
        self._count("cut_off")

    def _count(self, name: str) -> None:
        with self._lock:
            self._counts[name] += 1

    @property
    def lost(self) -> int:
        """Messages lost so far."""
        return self._counts["lost"]

    @property
    def cut_off(self) -> int:
        """Connections ended or refused so far."""
        return self._counts["cut_off"]

    def counters(self) -> dict[str, int]:
        """messages, bytes, lost, cut_off."""
        with self._lock:
            return dict(self._counts)


@dataclass(frozen=True)
class Earlier:
    """The sums of accounts that are kept no more."""

    sources: Mapping[str, int] = field(default_factory=dict)
    stages: Mapping[str, Latency] = field(default_factory=dict)
    models: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Snapshot:
    """All accounts at one time, by the names of their owners; each is consistent in itself."""

    sources: Mapping[str, Mapping[str, int]]
    stages: Mapping[str, Mapping[str, Latency]]  # by source, then by stage
    ways: Mapping[str, Latency]  # by source: all stages of a frame together
    failed: Mapping[str, Mapping[str, int]]  # by source, then by reason
    models: Mapping[str, Mapping[str, int]]  # by model: the steps of the recovery, and faults of the device
    sinks: Mapping[str, Mapping[str, int]]
    earlier: Earlier = Earlier()
    fills: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # by model

    @property
    def device(self) -> dict[str, int]:
        """What a device did wrong and what was done because it failed, each only there once it happened."""
        counts = _sum([self.earlier.models, *self.models.values()])
        return {f"device_{what}": count for what, count in counts.items() if count}

    @property
    def totals(self) -> dict[str, int]:
        """The counters of all sources together, after those of the device."""
        return _sum([self.device, self.earlier.sources, *self.sources.values()])

    @property
    def latencies(self) -> dict[str, Latency]:
        """Each stage over all sources."""
        stages: dict[str, Latency] = {}
        for source in (self.earlier.stages, *self.stages.values()):
            stages = _add(stages, source)
        return stages


class Ledger:
    """The accounts of a process; any thread may ask for one, and the first who does opens it.

    Sources and models come and go while it runs: of those that were closed the last MAX_CLOSED stay and go on if they
    come again, and what older ones counted is added up, so that no sum ever falls.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sources: dict[str, SourceAccount] = {}
        self._models: dict[str, ModelAccount] = {}
        self._sinks: dict[str, SinkAccount] = {}
        self._closed_sources: dict[str, None] = {}  # in the order in which they were closed
        self._closed_models: dict[str, None] = {}
        self._earlier = Earlier()

    def source(self, source_id: str) -> SourceAccount:
        """The account of a source; it goes on if the source comes again."""
        return self._open(self._sources, source_id, SourceAccount, self._closed_sources)

    def close_source(self, source_id: str) -> None:
        """The source is gone, and nothing of it in flight."""
        with self._lock:
            for name in _close(self._closed_sources, source_id):
                account = self._sources.pop(name)
                sources = _sum([self._earlier.sources, account.counters()])
                stages = _add(self._earlier.stages, account.stages())
                self._earlier = replace(self._earlier, sources=sources, stages=stages)

    def model(self, name: str) -> ModelAccount:
        """The account of a model in service; it goes on with another one of that name."""
        return self._open(self._models, name, ModelAccount, self._closed_models)

    def keep_models(self, names: Iterable[str]) -> None:
        """These are in service; whatever others there are is gone."""
        kept = set(names)
        with self._lock:
            gone = [name for name in self._models if name not in kept and name not in self._closed_models]
            for closed in [one for name in gone for one in _close(self._closed_models, name)]:
                models = _sum([self._earlier.models, self._models.pop(closed).counters()])
                self._earlier = replace(self._earlier, models=models)

    def sink(self, name: str) -> SinkAccount:
        """The account of a sink."""
        return self._open(self._sinks, name, SinkAccount, {})

    def snapshot(self) -> Snapshot:
        """All of it."""
        with self._lock:
            sources, models, sinks, earlier = dict(self._sources), dict(self._models), dict(self._sinks), self._earlier
        return Snapshot(
            {name: account.counters() for name, account in sources.items()},
            {name: account.stages() for name, account in sources.items()},
            {name: account.way() for name, account in sources.items()},
            {name: account.failed() for name, account in sources.items()},
            {name: account.counters() for name, account in models.items()},
            {name: account.counters() for name, account in sinks.items()},
            earlier,
            {name: account.fill() for name, account in models.items()},
        )

    def _open(
        self, accounts: dict[str, Account], name: str, make: Callable[[], Account], closed: dict[str, None]
    ) -> Account:
        with self._lock:
            closed.pop(name, None)
            return accounts.setdefault(name, make())


def _close(closed: dict[str, None], name: str) -> list[str]:
    """Notes that an account was closed; the names of those that are too old to be kept."""
    closed.pop(name, None)
    closed[name] = None
    old = list(closed)[:-MAX_CLOSED]
    for one in old:
        del closed[one]
    return old


def _add(one: Mapping[str, Latency], two: Mapping[str, Latency]) -> dict[str, Latency]:
    return {stage: one.get(stage, Latency()) + two.get(stage, Latency()) for stage in {**one, **two}}


def _sum(maps: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: collections.Counter[str] = collections.Counter()
    for one in maps:
        total.update(one)
    return dict(total)
