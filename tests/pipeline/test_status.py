"""How everything is, as values: made from what the daemon holds, by one function."""

from __future__ import annotations

import dataclasses
import json
import time
from typing import TYPE_CHECKING

from tests.pipeline.runs import folder_source, run_to_end

from mlu_agent.config import SourceConfig
from mlu_agent.daemon.status import MAX_CHANGES, RECENT_S, SERVING, AgentNow, Changes, Recent, take_status
from mlu_agent.latency import Latency
from mlu_agent.ledger import Ledger

if TYPE_CHECKING:
    from pathlib import Path

    from mlu_agent.daemon.status import Status
    from mlu_agent.ledger import Snapshot

AGENT = AgentNow("1", "box", "boot", 7, 0, 1.0, runtime="simulator", phase=SERVING)


class One:
    """A source as far as rates are concerned."""

    def __init__(self, name: str) -> None:
        self.source_id = name
        self.account = Ledger().source(name)

    def frames(self, read: int, published: int) -> None:
        self.account.count_read(read)
        for _ in range(published):
            self.account.count_published({"wait": 3.0, "device": 4.0})


def rates(recent: Recent, one: One, now: float) -> tuple[float, float, float]:
    return recent.of(now, one.source_id, one.account.counters(), one.account.stages())


def test_before_anything_is_there_the_agent_alone_is_told():
    """While the start goes on there are neither models nor sources: the agent says what it waits for."""
    agent = AgentNow("1", "box", "boot", 7, 0, 1.0, reason="waiting: no model")
    status = take_status(agent, None, None, Recent(), Changes())
    assert (status.sources, status.models) == ((), ())
    assert status.line() == "starting: waiting: no model"


def test_it_tells_models_sources_sinks_and_what_became_of_frames(make, model_path: Path, pictures: Path):
    """Each source with its state, its counters and the latency of each stage; each model with where it runs."""
    pipeline = make(model_path, folder_source(pictures))
    run_to_end(pipeline)
    status: Status = take_status(AGENT, pipeline, pipeline._outlet, Recent(), Changes())
    (source,), (model,), (sink,) = status.sources, status.models, status.sinks
    assert (source.id, source.kind, source.state, source.model) == ("folder", "path", "ended", model.name)
    assert source.counters["published"] == 30 == source.latencies["device"].count
    assert (model.runtime, model.health.state, status.device.state) == ("simulator", "ok", "ok")
    assert len(model.sha256) == 64
    assert model.path.endswith(".cambricon")
    assert sink.counters["messages"] >= 30
    assert status.line() == "0 of 1 sources live, 0.0 frames/s on the simulator"


def test_it_is_json_and_shows_no_password(make, model_path: Path):
    """What programs read holds plain values alone; an address is shown as it may be."""
    camera = SourceConfig("gate", "url", "rtsp://admin:secret@127.0.0.1:9/x")
    pipeline = make(model_path, camera)
    text = json.dumps(take_status(AGENT, pipeline, pipeline._outlet, Recent(), Changes()).as_dict())
    assert "secret" not in text
    assert json.loads(text)["sources"][0]["location"] == "rtsp://***@127.0.0.1:9/x"
    assert pipeline.stop(5)


def test_rates_are_those_of_the_last_seconds():
    """What happened more than ten seconds ago does not count; a source that is new has none yet."""
    assert RECENT_S == 10.0
    recent, one = Recent(), One("a")
    assert rates(recent, one, 0.0) == (0.0, 0.0, 0.0)
    one.frames(1000, 1000)
    recent.look(100.0, [one])
    for second in range(1, int(RECENT_S) + 1):
        one.frames(20, 10)
        recent.look(100.0 + second, [one])
    assert rates(recent, one, 100.0 + RECENT_S) == (20.0, 10.0, 7.0)
    for second in range(1, int(RECENT_S) + 2):
        recent.look(100.0 + RECENT_S + second, [one])
    assert rates(recent, one, 101.0 + 2 * RECENT_S) == (0.0, 0.0, 0.0)


def test_samples_are_taken_once_a_second_and_of_sources_that_are_there():
    """However often the main loop turns, memory does not grow; a source that is gone is forgotten."""
    recent, one, two = Recent(), One("a"), One("b")
    for turn in range(100):
        recent.look(turn * 0.001, [one, two])
    assert [len(kept) for kept in recent._samples.values()] == [1, 1]
    for second in range(50):
        recent.look(float(second), [one])
    assert {name: len(kept) for name, kept in recent._samples.items()} == {"a": int(RECENT_S) + 1}


def test_the_last_changes_are_kept_the_newest_first():
    """What was asked for, by whom, and what it came to: a bounded number of them."""
    changes = Changes()
    for number in range(MAX_CHANGES + 3):
        changes.note(f"reload {number}", "uid 0", ok=number % 2 == 0, came_to="done")
    kept = changes.newest_first()
    assert len(kept) == MAX_CHANGES
    assert (kept[0].what, kept[0].who, kept[0].ok) == (f"reload {MAX_CHANGES + 2}", "uid 0", True)
    assert kept[0].when_ns <= time.time_ns()


def test_a_reason_for_dropping_is_told_where_there_was_one(make, model_path: Path, pictures: Path):
    """By its own word, without those that never happened."""
    pipeline = make(model_path, folder_source(pictures))
    pipeline.sources["folder"].account.count_dropped("dropped_max_fps", 3)
    (source,) = take_status(AGENT, pipeline, pipeline._outlet, Recent(), Changes()).sources
    assert source.dropped == {"max_fps": 3}
    assert source.latencies == {} or all(isinstance(one, Latency) for one in source.latencies.values())
    assert pipeline.stop(5)


def test_sources_that_come_and_go_meanwhile_are_told_or_left_out(make, model_path: Path, pictures: Path, monkeypatch):
    """Whoever scrapes the figures does it in a thread of his own: what a reload changes just then is no error."""
    pipeline = make(model_path, folder_source(pictures))
    real = pipeline.ledger.snapshot

    def snapshot() -> Snapshot:
        """As taken after another source came, and before the first one's account was closed or after it."""
        if len(pipeline.sources) == 1:
            pipeline.add(folder_source(pictures, "new"))
        taken = real()
        return dataclasses.replace(taken, sources={name: all_ for name, all_ in taken.sources.items() if name != gone})

    monkeypatch.setattr(pipeline.ledger, "snapshot", snapshot)
    gone = ""
    assert [one.id for one in take_status(AGENT, pipeline, pipeline._outlet, Recent(), Changes()).sources] == ["folder"]
    gone = "folder"
    assert [one.id for one in take_status(AGENT, pipeline, pipeline._outlet, Recent(), Changes()).sources] == ["new"]
    assert pipeline.stop(5)
