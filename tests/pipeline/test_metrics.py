"""Figures for Prometheus: what is told, to whom, and what it may cost."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from tests.pipeline.conftest import Log
from tests.pipeline.runs import folder_source, run_to_end

from mlu_agent.config import MetricsConfig, SourceConfig
from mlu_agent.daemon import metrics, scrapes
from mlu_agent.daemon.metrics import METRICS, open_metrics, render
from mlu_agent.daemon.scrapes import Scrapes
from mlu_agent.daemon.status import MAX_CHANGES, SERVING, AgentNow, Changes, Recent, Status, take_status
from mlu_agent.errors import UserError
from mlu_agent.sources import SourceState

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AGENT = AgentNow("1", "box", "boot", 7, int(5e9), 1.0, runtime="simulator", phase=SERVING, log_lost=3)
LISTEN = MetricsConfig("127.0.0.1:0")


def taken(pipeline: Any, changes: Changes | None = None) -> Status:
    return take_status(AGENT, pipeline, pipeline._outlet, Recent(), changes or Changes())


def samples(status: Status) -> dict[str, dict[tuple[str, ...], float]]:
    """As Prometheus' own parser reads it: by name, then by the labels' values, the source's or model's first."""
    from prometheus_client.parser import text_string_to_metric_families

    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(render(status).decode()):
        for sample in family.samples:
            labels = sorted(sample.labels, key=lambda label: (label not in ("source", "model"), label == "le", label))
            found.setdefault(sample.name, {})[tuple(sample.labels[label] for label in labels)] = sample.value
    return found


@pytest.mark.metrics
def test_it_tells_what_the_status_does(make, model_path: Path, pictures: Path):
    """Every counter of the ledger is there with the same number, states as one of all, latencies as histograms."""
    pipeline = make(model_path, folder_source(pictures))
    run_to_end(pipeline)
    changes = Changes()
    changes.note("swap main", "ctl", ok=True, came_to="loaded")
    changes.note("swap other", "ctl", ok=False, came_to="damaged")
    status = taken(pipeline, changes)
    found = samples(status)
    counters = dict(status.sources[0].counters)
    for name in ("read", "published"):
        assert found[f"mlu_agent_frames_{name}_total"] == {("folder",): 30}
    assert found["mlu_agent_frames_in_flight"] == {("folder",): 0}
    assert found["mlu_agent_source_events_total"][("folder", "reconnects")] == counters["reconnects"] == 0
    states = found["mlu_agent_source_state"]
    assert (states[("folder", "ended")], sum(states.values()), len(states)) == (1, 1, len(SourceState))
    assert found["mlu_agent_phase"] == {("starting",): 0, ("serving",): 1, ("stopping",): 0}
    stages = set(found["mlu_agent_stage_seconds_count"])
    assert stages == {("folder", stage) for stage in status.sources[0].latencies}
    assert found["mlu_agent_frame_seconds_count"] == {("folder",): 30}
    total_s = sum(latency.total_ms for latency in status.sources[0].latencies.values()) / 1000
    assert found["mlu_agent_frame_seconds_sum"][("folder",)] == pytest.approx(total_s)
    buckets = [found["mlu_agent_frame_seconds_bucket"][("folder", bound)] for bound in ("0.001", "10", "+Inf")]
    assert buckets == sorted(buckets)
    assert buckets[-1] == 30
    assert found["mlu_agent_device_state"][("main", "ok")] == 1
    assert found["mlu_agent_messages_total"][("zeromq",)] >= 30
    assert (found["mlu_agent_change_ok"], found["mlu_agent_log_lines_lost_total"]) == ({("swap",): 0}, {(): 3})
    assert found["process_resident_memory_bytes"][()] > 0


@pytest.mark.metrics
def test_the_number_of_figures_is_bounded_by_sources_and_models(make, model_path: Path, pictures: Path):
    """A source that is gone is told no more, whatever was asked for makes no figure of its own."""
    pipeline = make(model_path, folder_source(pictures), SourceConfig("other", "path", str(pictures)))
    assert pipeline.stop(5)
    changes = Changes()
    for number in range(MAX_CHANGES):
        changes.note(f"kind{number} of change", "ctl", ok=True, came_to="done")
    status = taken(pipeline, changes)
    both = samples(status)
    one = samples(dataclasses.replace(status, sources=status.sources[:1]))
    assert {labels[0] for labels in both["mlu_agent_source_state"]} == {"folder", "other"}
    assert {labels[0] for labels in one["mlu_agent_source_state"]} == {"folder"}
    assert len(both["mlu_agent_change_ok"]) == metrics.CHANGES
    assert sum(len(rows) for name, rows in both.items() if name.startswith("mlu_agent")) < 250


@pytest.mark.metrics
def test_every_metric_is_told_with_its_labels(make, model_path: Path, pictures: Path):
    """Names and labels are those of the list, which docs/watching.md tells one by one."""
    from prometheus_client.parser import text_string_to_metric_families

    pipeline = make(model_path, folder_source(pictures))
    run_to_end(pipeline)
    changes = Changes()
    changes.note("reload", "HUP", ok=True, came_to="done")
    status = taken(pipeline, changes)
    source = dataclasses.replace(status.sources[0], failed={"device": 1}, counters={
        **status.sources[0].counters, "dropped_newer": 2
    })  # fmt: skip
    found = {}
    for family in text_string_to_metric_families(render(dataclasses.replace(status, sources=(source,))).decode()):
        name = family.name + ("_total" if family.type == "counter" else "")
        found[name] = (family.type, family.documentation, set(family.samples[0].labels) - {"le"})
    ours = {metric.full_name: (metric.kind, metric.help, set(metric.labels)) for metric in METRICS}
    assert {name: row for name, row in found.items() if name.startswith("mlu_agent")} == ours


@pytest.mark.promtool
@pytest.mark.metrics
def test_promtool_finds_no_fault(make, model_path: Path, pictures: Path):
    """Prometheus' own checker of names, types and texts."""
    import subprocess

    pipeline = make(model_path, folder_source(pictures))
    run_to_end(pipeline)
    own = b"".join(line for line in render(taken(pipeline)).splitlines(keepends=True) if b"mlu_agent_" in line)
    done = subprocess.run(["promtool", "check", "metrics"], input=own, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_where_every_metric_is_told(root: Path):
    """docs/watching.md has a row for each, with its labels and its words, and no other."""
    rows = [
        line for line in (root / "docs" / "watching.md").read_text().splitlines() if line.startswith("| `mlu_agent_")
    ]
    assert rows == [
        f"| `{one.full_name}` | {one.kind} | {', '.join(f'`{label}`' for label in one.labels)} | {one.help} |"
        for one in METRICS
    ]


def test_nobody_is_served_unless_it_was_asked_for(monkeypatch: pytest.MonkeyPatch):
    """And without the extra it is said what to install."""
    with contextlib.ExitStack() as exits:
        assert open_metrics(MetricsConfig(), lambda: Status(AGENT), Log(), exits) is None
        monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
        with pytest.raises(
            UserError, match=r"install the extra that gives figures out: pip install 'mlu-agent\[metrics\]'"
        ):
            open_metrics(LISTEN, lambda: Status(AGENT), Log(), exits)


# ---- who asks -----------------------------------------------------------------------------------------------


class Served:
    """A running server; ``made`` counts how often its figures were made."""

    def __init__(self, config: MetricsConfig = LISTEN) -> None:
        self.made = 0
        self.log = Log()
        self.scrapes = Scrapes(config, self._make, "text/plain", self.log)
        while not self.scrapes.endpoint:
            time.sleep(0.001)
        host, _, port = self.scrapes.endpoint.rpartition(":")
        self.address = (host, int(port))

    def _make(self) -> bytes:
        self.made += 1
        return b"figures\n"

    def ask(self, method: str = "GET", path: str = "/metrics") -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(*self.address, timeout=20)
        connection.request(method, path)
        response = connection.getresponse()
        body = response.read()
        connection.close()
        return response.status, body

    def send(self, request: bytes) -> bytes:
        """All that comes back until the other end closes."""
        with socket.create_connection(self.address, timeout=20) as connection:
            connection.sendall(request)
            answer = b""
            with contextlib.suppress(ConnectionError):
                while piece := connection.recv(65536):
                    answer += piece
        return answer


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(scrapes, "REQUEST_S", 0.3)
    made = Served()
    yield made
    made.scrapes.close()


def test_get_metrics_is_all_that_is_answered(served: Served):
    """Anything else is told so, and a word that is none does not matter."""
    assert served.ask() == (200, b"figures\n")
    assert served.ask("HEAD") == (200, b"")
    assert served.ask(path="/metrics?a=1")[0] == 200
    assert served.ask(path="/etc/passwd")[0] == 404
    assert served.ask("POST")[0] == 405
    for request in (b"\r\n\r\n", b"GET /metrics\r\n\r\n", b"\xff\0 /metrics X\r\n\r\n", b"x" * scrapes.MAX_REQUEST):
        assert served.send(request).startswith(b"HTTP/1.1 400 "), request[:20]
    assert served.ask()[0] == 200


def test_figures_are_made_once_a_second_at_most(served: Served, monkeypatch: pytest.MonkeyPatch):
    """However often somebody asks; and then they are new."""
    monkeypatch.setattr(scrapes, "FRESH_S", 3600.0)
    for _ in range(5):
        assert served.ask()[0] == 200
    assert served.made == 1
    monkeypatch.setattr(scrapes, "FRESH_S", 0.0)
    served.ask()
    assert served.made == 2


def test_the_bounds_of_who_asks_for_figures():
    """As docs/watching.md promises them."""
    assert (scrapes.WORKERS, scrapes.MAX_REQUEST, scrapes.REQUEST_S) == (4, 8192, 5.0)
    assert (scrapes.FRESH_S, scrapes.RETRY_S, scrapes.PAUSE_S) == (1.0, 10.0, 0.01)
    with pytest.raises(TimeoutError):
        scrapes._left(time.monotonic() - 1.0)


def test_slow_connections_hold_nobody_up_for_long(served: Served):
    """One that says nothing, or a letter now and then, is ended in time; others wait for that long at most."""
    silent = [socket.create_connection(served.address, timeout=20) for _ in range(scrapes.WORKERS)]
    dripping = threading.Thread(target=_drip, args=(silent[0],))
    dripping.start()
    assert served.ask() == (200, b"figures\n")
    for connection in silent:
        with contextlib.suppress(ConnectionError):
            assert connection.recv(1) == b""
        connection.close()
    dripping.join(20)
    assert not dripping.is_alive()


def _drip(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection.send(b"x")
            time.sleep(0.01)


def test_an_address_that_is_taken_is_said_and_tried_again(monkeypatch: pytest.MonkeyPatch):
    """It decides nothing: the daemon goes on, and figures are there once the other one is gone."""
    monkeypatch.setattr(scrapes, "RETRY_S", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        log = Log()
        server = Scrapes(MetricsConfig(f"127.0.0.1:{port}"), lambda: b"", "text/plain", log)
        while not log.calls:
            time.sleep(0.001)
    while not server.endpoint:
        time.sleep(0.001)
    server.close()
    events = [event for event, _ in log.calls]
    assert events == ["figures cannot be given out", "figures are given out"]
    assert log.calls[0][1]["reason"] == "Address already in use"


@pytest.mark.parametrize("spare", [0, 1, 2, 4])
def test_with_too_few_threads_figures_are_given_out_by_fewer(spare: int, monkeypatch: pytest.MonkeyPatch):
    """By one, if no more can be had, and said; without any the daemon goes on all the same."""
    had, start = [], threading.Thread.start

    def few(thread: threading.Thread) -> None:
        if thread.name == "metrics":
            if len(had) >= spare:
                raise RuntimeError("can't start new thread")
            had.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", few)
    if spare == 0:
        log = Log()
        Scrapes(LISTEN, lambda: b"", "text/plain", log).close()
        assert [event for event, _ in log.calls] == ["figures cannot be given out: no thread can be had"]
        return
    served = Served()
    for _ in range(3):
        assert served.ask() == (200, b"figures\n")
    served.scrapes.close()
    said = [(event, fields.get("threads")) for event, fields in served.log.calls][1:]
    assert said == ([] if spare == 4 else [("figures are given out by fewer threads: no more can be had", spare)])


def test_a_fault_of_ours_is_said_and_ends_nothing(served: Served, monkeypatch: pytest.MonkeyPatch):
    """The next who asks is answered."""
    monkeypatch.setattr(served.scrapes, "_render", lambda: 1 // 0)
    assert served.ask()[0] == 500
    assert [event for event, _ in served.log.calls] == ["figures are given out", "figures could not be made"]
    monkeypatch.setattr(served.scrapes, "_render", lambda: b"again\n")
    assert served.ask() == (200, b"again\n")


def test_closing_takes_no_more_and_leaves_no_thread(served: Served):
    """All workers end, whether or not somebody came."""
    served.ask()
    served.scrapes.close()
    for thread in threading.enumerate():
        if thread.name == "metrics":
            thread.join(20)
            assert not thread.is_alive()
    with pytest.raises(ConnectionError):
        served.ask()
