"""How everything is, as Prometheus reads it: the door to ``prometheus_client``, an extra of the agent.

``METRICS`` is all there is; docs/watching.md tells each. Every label's values are bounded: by the configuration's
sources and models, and by words of the program. A source that was removed is in the next answer no more.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

from ..engine.health import LOST, OK, RECOVERING, SUSPECT
from ..errors import UserError
from ..latency import BUCKETS_MS
from ..ledger import DEVICE_FAULTS, RECOVERY_STEPS
from ..sources import SourceState
from .scrapes import Scrapes
from .status import SERVING, STARTING, STOPPING

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Iterable, Iterator

    from ..config import MetricsConfig
    from ..latency import Latency
    from .status import Status

EXTRA = "install the extra that gives figures out: pip install 'mlu-agent[metrics]'"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
GAUGE, COUNTER, HISTOGRAM = "gauge", "counter", "histogram"
PREFIX = "mlu_agent_"
_FRAMES = ("frames_read", "published", "failed", "in_flight", "dropped")  # counters with a metric of their own


class Metric(NamedTuple):
    """``name``: without the prefix, of a counter without its "_total"."""

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str

    @property
    def full_name(self) -> str:
        """As Prometheus has it."""
        return PREFIX + self.name + ("_total" if self.kind == COUNTER else "")


METRICS = (
    Metric("info", GAUGE, ("version", "box", "runtime"), "1, of the agent that runs"),
    Metric("start_time_seconds", GAUGE, (), "When the agent was started, Unix time"),
    Metric("phase", GAUGE, ("phase",), "1 for the phase that it is in: starting, serving or stopping"),
    Metric("log_lines_lost", COUNTER, (), "Log lines that nobody took in time"),
    Metric("model_info", GAUGE, ("model", "name", "sha256", "runtime", "device"), "1, of each model in service"),
    Metric("model_last_good", GAUGE, ("model",), "1 where the configured bundle is refused, and the last good serves"),
    Metric("model_slots", GAUGE, ("model",), "Invocations that the model may have on its device at once"),
    Metric("device_state", GAUGE, ("model", "state"), "1 for the state of its device: ok, recovering, suspect or lost"),
    Metric("device_faults", COUNTER, ("model", "fault"), "What the device did wrong without saying so"),
    Metric("device_recoveries", COUNTER, ("model", "step"), "What was tried when the device failed"),
    Metric("source_info", GAUGE, ("source", "kind", "model"), "1, of each source of frames"),
    Metric("source_state", GAUGE, ("source", "state"), "1 for the state that the source is in"),
    Metric("source_state_since_seconds", GAUGE, ("source",), "When that state began, Unix time"),
    Metric("frames_read", COUNTER, ("source",), "Frames that the source gave"),
    Metric("frames_published", COUNTER, ("source",), "Frames whose message was handed to all sinks"),
    Metric("frames_dropped", COUNTER, ("source", "reason"), "Frames that were left out"),
    Metric("frames_failed", COUNTER, ("source", "reason"), "Frames that were lost to an error"),
    Metric("frames_in_flight", GAUGE, ("source",), "Frames that were read, and are neither published nor lost yet"),
    Metric("source_events", COUNTER, ("source", "event"), "What else is counted of it, such as reconnects and stalls"),
    Metric("stage_seconds", HISTOGRAM, ("source", "stage"), "How long each stage of published frames took"),
    Metric("frame_seconds", HISTOGRAM, ("source",), "How long published frames took, all stages together"),
    Metric("messages", COUNTER, ("sink",), "Messages handed to the sink"),
    Metric("message_bytes", COUNTER, ("sink",), "Bytes of those messages"),
    Metric("messages_lost", COUNTER, ("sink",), "Messages that the sink lost"),
    Metric("listeners_cut_off", COUNTER, ("sink",), "Connections that were ended or refused for what they cost"),
    Metric("change_ok", GAUGE, ("change",), "Whether the last change of that kind succeeded, such as reload and swap"),
    Metric("change_time_seconds", GAUGE, ("change",), "When that was, Unix time"),
)  # fmt: skip
CHANGES = 8  # kinds of change that are told apart, the newest


def require(config: MetricsConfig) -> None:
    """UserError where figures are wanted and the extra is not installed."""
    if config.listen and importlib.util.find_spec("prometheus_client") is None:
        raise UserError(f"metrics.listen is set, and nothing here can make its figures; {EXTRA}")


def open_metrics(
    config: MetricsConfig, status: Callable[[], Status], log: Any, exits: contextlib.ExitStack
) -> Scrapes | None:
    """Gives out how everything is, until ``exits`` closes; None where nobody wants it. UserError without the extra."""
    require(config)
    if not config.listen:
        return None
    scrapes = Scrapes(config, lambda: render(status()), CONTENT_TYPE, log)
    exits.callback(scrapes.close)
    return scrapes


def render(status: Status) -> bytes:
    """All figures in Prometheus' text format."""
    from prometheus_client import generate_latest  # noqa: PLC0415 - an extra

    made: bytes = generate_latest(_Figures(status))
    return made


class _Figures:
    """What ``prometheus_client`` takes for a registry."""

    def __init__(self, status: Status) -> None:
        self._status = status

    def collect(self) -> Iterator[Any]:
        """A family for each metric, and those of the process."""
        from prometheus_client.process_collector import ProcessCollector  # noqa: PLC0415 - an extra

        values = _values(self._status)
        for metric in METRICS:
            yield _family(metric, values.get(metric.name, ()))
        yield from ProcessCollector(registry=None).collect()


def _values(status: Status) -> dict[str, list[tuple[tuple[str, ...], Any]]]:
    """The rows of each metric by its name: the labels' values, and the figure."""
    values: dict[str, list[tuple[tuple[str, ...], Any]]] = {metric.name: [] for metric in METRICS}

    def add(name: str, value: float | Latency, *labels: str) -> None:
        values[name].append((labels, value))

    agent = status.agent
    add("info", 1, agent.version, agent.box, agent.runtime)
    add("start_time_seconds", agent.started_ns / 1e9)
    for phase in (STARTING, SERVING, STOPPING):
        add("phase", phase == agent.phase, phase)
    add("log_lines_lost", agent.log_lost)
    _add_models(status, add)
    _add_sources(status, add)
    for sink in status.sinks:
        for name, key in (
            ("messages", "messages"),
            ("message_bytes", "bytes"),
            ("messages_lost", "lost"),
            ("listeners_cut_off", "cut_off"),
        ):
            add(name, sink.counters.get(key, 0), sink.name)
    last: dict[str, Any] = {}
    for change in status.changes:
        last.setdefault(change.what.split(" ")[0], change)
    for what, change in list(last.items())[:CHANGES]:
        add("change_ok", change.ok, what)
        add("change_time_seconds", change.when_ns / 1e9, what)
    return values


def _add_models(status: Status, add: Any) -> None:
    for model in status.models:
        add("model_info", 1, model.name, model.model, model.sha256, model.runtime, model.device)
        add("model_slots", model.slots, model.name)
        add("model_last_good", bool(model.refused), model.name)
        for state in (OK, RECOVERING, SUSPECT, LOST):
            add("device_state", state == model.health.state, model.name, state)
        for name, keys in (("device_faults", DEVICE_FAULTS), ("device_recoveries", RECOVERY_STEPS)):
            for key in keys:
                add(name, model.counters.get(key, 0), model.name, key)


def _add_sources(status: Status, add: Any) -> None:
    for source in status.sources:
        counters, one = source.counters, source.id
        add("source_info", 1, one, source.kind, source.model)
        for state in SourceState:
            add("source_state", state.value == source.state, one, state.value)
        add("source_state_since_seconds", source.since_ns / 1e9, one)
        add("frames_read", counters["frames_read"], one)
        add("frames_published", counters["published"], one)
        add("frames_in_flight", counters["in_flight"], one)
        for reason, count in source.dropped.items():
            add("frames_dropped", count, one, reason)
        for reason, count in source.failed.items():
            add("frames_failed", count, one, reason)
        for event, count in counters.items():
            if event not in _FRAMES and not event.startswith("dropped_"):
                add("source_events", count, one, event)
        for stage, latency in source.latencies.items():
            add("stage_seconds", latency, one, stage)
        add("frame_seconds", source.way, one)


def _family(metric: Metric, rows: Iterable[tuple[tuple[str, ...], Any]]) -> Any:
    from prometheus_client import core  # noqa: PLC0415 - an extra

    kind = {
        GAUGE: core.GaugeMetricFamily,
        COUNTER: core.CounterMetricFamily,
        HISTOGRAM: core.HistogramMetricFamily,
    }[metric.kind]
    family = kind(PREFIX + metric.name, metric.help, labels=metric.labels)
    for labels, value in rows:
        if metric.kind == HISTOGRAM:
            family.add_metric(labels, buckets=_buckets(value), sum_value=value.total_ms / 1000)
        else:
            family.add_metric(labels, float(value))
    return family


def _buckets(latency: Latency) -> list[tuple[str, float]]:
    """Cumulative, with their upper bounds in seconds."""
    bounds = [*(f"{bound / 1000:g}" for bound in BUCKETS_MS), "+Inf"]
    total, made = 0, []
    for bound, count in zip(bounds, latency.buckets):
        total += count
        made.append((bound, float(total)))
    return made
