"""How everything is, as values that never change: what the control socket, `mlu-agent status`, the service manager's
line and whoever exports figures read. ``take_status`` makes them from what the daemon holds, in any thread."""

from __future__ import annotations

import collections
import dataclasses
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..config import shown
from ..engine.health import LOST, Health, worst
from ..errors import DeviceLost
from ..latency import Latency
from ..sources import SourceState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..ledger import Snapshot
    from ..publish.sink import Outlet
    from ..sources import Source
    from .models import Served
    from .pipeline import Pipeline

STARTING, SERVING, STOPPING = "starting", "serving", "stopping"
RECENT_S = 10.0  # rates are those of about so many seconds
SAMPLE_S = 1.0
MAX_CHANGES = 16


@dataclass(frozen=True)
class AgentNow:
    """The process. ``config``: the path of its configuration, "" where it came from none. ``phase``: "starting",
    "serving" or "stopping", with ``reason``: what it waits for or why it ends, "" where it serves."""

    version: str
    box: str
    boot_id: str
    pid: int
    started_ns: int
    uptime_s: float
    config: str = ""
    endpoint: str = ""
    runtime: str = ""
    phase: str = STARTING
    reason: str = ""
    log_level: str = ""
    log_lost: int = 0


@dataclass(frozen=True)
class ModelNow:
    """A model in service. ``name``: in the configuration; ``model``: what its manifest calls it. ``change``: what the
    last change of it came to, None if there was none. ``refused``: why the last good bundle serves, and
    not what lies at ``path``; "" where that does."""

    name: str
    model: str
    path: str
    sha256: str
    runtime: str
    device: str
    cores: int
    slots: int
    health: Health
    counters: Mapping[str, int]
    change: Change | None = None
    refused: str = ""


@dataclass(frozen=True)
class SourceNow:
    """A source. ``location``: as it may be shown. ``fps_read``, ``fps_published`` and ``latency_ms`` (a frame's
    way, all stages together) are those of the last seconds; ``latencies`` of each stage since the start, ``way``
    of all together; ``failed``: frames, by reason."""

    id: str
    kind: str
    location: str
    model: str
    state: str
    reason: str
    code: str
    since_ns: int
    fps_read: float
    fps_published: float
    latency_ms: float
    counters: Mapping[str, int]
    latencies: Mapping[str, Latency]
    way: Latency
    failed: Mapping[str, int]

    @property
    def dropped(self) -> dict[str, int]:
        """Frames that were dropped, by reason without its "dropped_"; reasons that there were."""
        return {
            name[len("dropped_") :]: count
            for name, count in self.counters.items()
            if name.startswith("dropped_") and count
        }


@dataclass(frozen=True)
class SinkNow:
    """Where messages go, and what became of them."""

    name: str
    endpoint: str
    counters: Mapping[str, int]


@dataclass(frozen=True)
class Change:
    """Something that was asked for: what, when (wall clock), by whom, and what it came to."""

    what: str
    when_ns: int
    who: str
    ok: bool
    came_to: str


@dataclass(frozen=True)
class Status:
    """All of it. ``device``: the worst of all models' devices. ``changes``: the last ones, the newest first."""

    agent: AgentNow
    models: tuple[ModelNow, ...] = ()
    sources: tuple[SourceNow, ...] = ()
    sinks: tuple[SinkNow, ...] = ()
    device: Health = field(default_factory=Health)
    changes: tuple[Change, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For JSON: maps, lists, texts, numbers; a latency as count, mean_ms and max_ms."""
        made: dict[str, Any] = _plain(self)
        return made

    def line(self) -> str:
        """One line for people."""
        if self.agent.phase != SERVING:
            return f"{self.agent.phase}: {self.agent.reason}" if self.agent.reason else self.agent.phase
        live = sum(source.state == SourceState.LIVE.value for source in self.sources)
        rate = sum(source.fps_published for source in self.sources)
        return f"{live} of {len(self.sources)} sources live, {rate:.1f} frames/s on the {self.agent.runtime}"


def _plain(value: Any) -> Any:
    if isinstance(value, Latency):
        return value.summary()
    if dataclasses.is_dataclass(value):
        return {one.name: _plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return value


class Changes:
    """What was asked for since the start, the last MAX_CHANGES; any thread may note one."""

    def __init__(self) -> None:
        self._all: collections.deque[Change] = collections.deque(maxlen=MAX_CHANGES)

    def note(self, what: str, who: str, *, ok: bool, came_to: str) -> None:
        """Something was asked for, ``who`` by, and came to this."""
        self._all.appendleft(Change(what, time.time_ns(), who, ok, came_to))

    def newest_first(self) -> tuple[Change, ...]:
        """All that are kept."""
        return tuple(self._all)


@dataclass(frozen=True)
class _Sample:
    when: float
    read: int
    published: int
    total_ms: float


class Recent:
    """How fast sources are just now, from samples of their counters; ``look`` by the main loop, ``of`` by anybody."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next = 0.0
        self._samples: dict[str, collections.deque[_Sample]] = {}

    def look(self, now: float, sources: Iterable[Source]) -> None:
        """Takes a sample of every source, if it is time; forgets sources that are gone. ``now``: monotonic seconds."""
        if now < self._next:
            return
        self._next = now + SAMPLE_S
        taken = {one.source_id: _sample(now, one.account.counters(), one.account.stages()) for one in sources}
        with self._lock:
            for source_id in self._samples.keys() - taken.keys():
                del self._samples[source_id]
            for source_id, sample in taken.items():
                kept = self._samples.setdefault(source_id, collections.deque())
                kept.append(sample)
                while now - kept[0].when > RECENT_S:
                    kept.popleft()

    def of(
        self, now: float, source_id: str, counters: Mapping[str, int], stages: Mapping[str, Latency]
    ) -> tuple[float, float, float]:
        """Frames read a second, frames published a second, and milliseconds from grabbing a frame to its message."""
        with self._lock:
            kept = self._samples.get(source_id)
            before = kept[0] if kept else _Sample(now, 0, 0, 0.0)
        sample = _sample(now, counters, stages)
        seconds, published = max(now - before.when, 1e-9), sample.published - before.published
        if now <= before.when:
            return 0.0, 0.0, 0.0
        latency = (sample.total_ms - before.total_ms) / published if published else 0.0
        return (sample.read - before.read) / seconds, published / seconds, latency


def _sample(now: float, counters: Mapping[str, int], stages: Mapping[str, Latency]) -> _Sample:
    total_ms = sum(latency.total_ms for latency in stages.values())
    return _Sample(now, counters["frames_read"], counters["published"], total_ms)


def take_status(
    agent: AgentNow, pipeline: Pipeline | None, outlet: Outlet | None, recent: Recent, changes: Changes
) -> Status:
    """How everything is now; any thread may ask. Before the start is over there is no pipeline yet."""
    if pipeline is None or outlet is None:
        return Status(agent, changes=changes.newest_first())
    held = list(pipeline.sources.values())  # before the snapshot: one that comes in between has no account in it
    snapshot = pipeline.ledger.snapshot()
    now = time.monotonic()
    newest = changes.newest_first()
    models = tuple(_model_now(name, served, snapshot, newest) for name, served in pipeline.models.items())
    sources = tuple(
        _source_now(source, pipeline.models.name_of(source.config), snapshot, recent, now)
        for source in held
        if source.source_id in snapshot.sources  # else it has just gone
    )
    sinks = tuple(SinkNow(sink.name, sink.endpoint, snapshot.sinks.get(sink.name, {})) for sink in outlet.sinks)
    lost = pipeline.failure
    device = worst(model.health for model in models)
    if isinstance(lost, DeviceLost):
        device = Health(LOST, lost.message)
    return Status(agent, models, sources, sinks, device, newest)


def _model_now(name: str, served: Served, snapshot: Snapshot, changes: Iterable[Change]) -> ModelNow:
    return ModelNow(
        name=name,
        model=served.spec.name,
        path=str(served.spec.path if served.spec.packed is None else served.spec.packed.path),
        sha256=served.spec.sha256,
        runtime=served.info.runtime,
        device=served.engine.device.name,
        cores=served.engine.cores,
        slots=served.engine.slots,
        health=served.health(),
        counters=snapshot.models.get(name, {}),
        change=next((one for one in changes if one.what == f"swap {name}"), None),
        refused="" if served.spec.packed is None else served.spec.packed.refused,
    )


def _source_now(source: Source, model: str, snapshot: Snapshot, recent: Recent, now: float) -> SourceNow:
    config, status = source.config, source.status
    counters, stages = snapshot.sources[config.id], snapshot.stages[config.id]
    fps_read, fps_published, latency_ms = recent.of(now, config.id, counters, stages)
    return SourceNow(
        id=config.id,
        kind=config.kind,
        location=shown(config.location),
        model=model,
        state=status.state.value,
        reason=status.reason,
        code=status.code,
        since_ns=status.since_ns,
        fps_read=round(fps_read, 2),
        fps_published=round(fps_published, 2),
        latency_ms=round(latency_ms, 2),
        counters=counters,
        latencies=stages,
        way=snapshot.ways[config.id],
        failed=snapshot.failed[config.id],
    )
