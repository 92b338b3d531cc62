"""Models and sources that come, change and go while frames flow: none is lost, doubled or out of order."""

from __future__ import annotations

import dataclasses
import threading
import time
from typing import TYPE_CHECKING, Any, Callable

import pytest
from tests.models import small_bundle
from tests.pipeline.runs import counted, folder_source

from mlu_agent import cnrt
from mlu_agent.config import ModelConfig, PublishConfig, ServiceConfig, SourceConfig
from mlu_agent.daemon.models import InService, serve
from mlu_agent.engine import Engine
from mlu_agent.model.bundle import load_bundle

if TYPE_CHECKING:
    from pathlib import Path

    from mlu_agent.cnrt import Library
    from mlu_agent.daemon.pipeline import Pipeline

LIVE = SourceConfig("live", "synthetic", "64x48@200", realtime=True)


class Heard:
    """What a pipeline's outlet is handed: of each source sequence numbers and the name of the model, in order."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.frames: dict[str, list[tuple[int, float]]] = {}
        self.ends: list[str] = []
        self.heartbeats: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        pipeline._outlet.send = self.send

    def send(self, _topic: str, message: dict[str, Any]) -> None:
        with self._lock:
            if message["kind"] == "frame":
                seen = message["seq"], message["model"]["thresholds"]["confidence"]
                self.frames.setdefault(message["source"], []).append(seen)
            elif message["kind"] == "end":
                self.ends.append(message["source"])
            elif message["kind"] == "heartbeat":
                self.heartbeats.append(message)

    def count(self, source_id: str) -> int:
        return len(self.frames.get(source_id, ()))


@pytest.fixture
def another(library: Library, tmp_path: Path):
    """A function from a confidence to a model in service, by which messages tell it from others; closed at the end."""
    path = small_bundle(tmp_path)
    made: list[InService] = []

    def build(pipeline: Pipeline, confidence: float, name: str = "main", model: Path = path) -> InService:
        config = ModelConfig(model, confidence=confidence, name=name)
        engine = Engine(library, model, cores=1)
        served = serve(load_bundle(model), engine, config, pipeline.ledger, pipeline._log)
        served.self_test()
        made.append(InService(config, served))
        return made[-1]

    yield build
    for one in made:
        one.served.engine.close()


def until(pipeline: Pipeline, condition: Callable[[], bool]) -> None:
    """Turns the main loop."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        assert pipeline.failure is None
        pipeline.tick(time.monotonic())
        time.sleep(0.002)


def check_order(heard: Heard, source_id: str) -> None:
    """From 0, each once, in order."""
    numbers = [number for number, _ in heard.frames[source_id]]
    assert numbers == list(range(len(numbers)))


def test_models_take_turns_between_two_frames(make, model_path: Path, pictures: Path, another):
    """Ten swaps under a file source and a live one: each frame was looked at by one model, in order, none is lost."""
    pipeline = make(model_path, SourceConfig("file", "path", str(pictures), loop=True), LIVE)
    heard = Heard(pipeline)
    pipeline.start()
    confidences = [round(0.5 + number / 100, 2) for number in range(10)]

    def go_on() -> None:
        before = {name: heard.count(name) for name in ("file", "live")}
        until(pipeline, lambda: all(heard.count(name) > count + 5 for name, count in before.items()))

    go_on()
    for confidence in confidences:
        retired = pipeline.swap(another(pipeline, confidence))
        until(pipeline, retired.is_set)
        go_on()
    assert pipeline.stop(10)
    for name in ("file", "live"):
        check_order(heard, name)
        models = [model for _, model in heard.frames[name]]
        assert list(dict.fromkeys(models)) == [0.6, *confidences]
        assert models == sorted(models, key=models.index)  # none comes back
    file = counted(pipeline)["file"]
    assert file["frames_read"] == file["published"] + file.get("dropped_stopping", 0)
    assert heard.ends == ["file", "live"]


def test_frames_in_flight_come_out_of_the_old_model_before_those_of_the_new_one(
    make, model_path: Path, pictures: Path, another, monkeypatch: pytest.MonkeyPatch
):
    """Also where the new one is faster: its results wait."""
    pipeline = make(model_path, SourceConfig("file", "path", str(pictures), loop=True))
    heard, old = Heard(pipeline), pipeline.models.main.engine
    wait = cnrt.Notifier.wait
    monkeypatch.setattr(cnrt.Notifier, "wait", lambda self: (time.sleep(0.05 * (not retired.is_set())), wait(self)))
    retired = threading.Event()
    pipeline.start()
    until(pipeline, lambda: old.in_flight >= 4)
    new = another(pipeline, 0.9)
    retired = pipeline.swap(new)
    until(pipeline, lambda: old.closed)  # nothing goes there any more
    in_flight = old.in_flight
    until(pipeline, lambda: retired.is_set() and heard.count("file") > 30)
    assert in_flight >= 2
    assert old.in_flight == 0
    assert pipeline.stop(10)
    check_order(heard, "file")
    assert [model for _, model in heard.frames["file"]] == sorted(model for _, model in heard.frames["file"])


def test_a_model_is_swapped_while_no_frame_comes(make, model_path: Path, pictures: Path, another):
    """Nothing has to be submitted for the old one to go; and there is no second swap before it has."""
    pipeline = make(model_path, SourceConfig("slow", "synthetic", "64x48@0.01", realtime=True))
    pipeline.start()
    until(pipeline, lambda: counted(pipeline)["slow"]["published"] == 1)
    first, second = another(pipeline, 0.7), another(pipeline, 0.8)
    retired = pipeline.swap(first)
    assert retired.wait(20)
    assert pipeline.swap(second).wait(20)
    assert pipeline.models.main is second.served
    assert pipeline.stop(10)


def test_a_stop_in_the_middle_of_a_swap_delivers_what_both_models_have(make, model_path: Path, pictures: Path, another):
    """All that was taken comes out, in order."""
    pipeline = make(model_path, SourceConfig("file", "path", str(pictures), loop=True))
    heard = Heard(pipeline)
    pipeline.start()
    until(pipeline, lambda: heard.count("file") > 5)
    pipeline.swap(another(pipeline, 0.9))
    assert pipeline.stop(10)
    check_order(heard, "file")
    file = counted(pipeline)["file"]
    assert file["in_flight"] == file["failed"] == 0


def test_a_model_comes_and_goes_with_its_sources(make, model_path: Path, pictures: Path, another):
    """While another one's sources go on."""
    pipeline = make(model_path, SourceConfig("stays", "path", str(pictures), loop=True))
    heard = Heard(pipeline)
    pipeline.start()
    for _ in range(3):
        pipeline.add_model(another(pipeline, 0.9, "more"))
        before = heard.count("comes")
        pipeline.add(SourceConfig("comes", "path", str(pictures), loop=True, model="more"))
        until(pipeline, lambda before=before: heard.count("comes") > before + 10)
        assert [worker.name for worker in pipeline.workers()] == [
            "model main", "model more", "source stays", "source comes",
        ]  # fmt: skip
        pipeline.remove("comes")
        retired = pipeline.remove_model("more")
        until(pipeline, lambda retired=retired: retired.is_set() and "comes" not in pipeline.sources)
    before = heard.count("stays")
    until(pipeline, lambda: heard.count("stays") > before + 10)
    assert {model for _, model in heard.frames["comes"]} == {0.9}
    assert pipeline.stop(10)
    for name in ("stays", "comes"):
        check_order(heard, name)
    assert heard.ends.count("comes") == 3


def test_a_source_begins_anew_and_its_numbers_go_on(make, model_path: Path, pictures: Path):
    """Another place in the place of an old one: one account, one row of sequence numbers; no ``end`` but a file's."""
    pipeline = make(model_path, folder_source(pictures, "file"), LIVE)
    heard = Heard(pipeline)
    pipeline.start()
    until(pipeline, lambda: heard.ends == ["file"])
    for times in (2, 3):
        pipeline.remove("file", folder_source(pictures, "file"))
        pipeline.remove("live", LIVE)
        until(pipeline, lambda times=times: len(heard.ends) == times)
    before = heard.count("live")
    until(pipeline, lambda: heard.count("live") > before + 5)
    assert pipeline.stop(10)
    assert heard.ends == ["file", "file", "file", "live"]
    check_order(heard, "file")
    check_order(heard, "live")
    assert counted(pipeline)["file"]["published"] == heard.count("file") == 90


def test_options_change_while_a_source_runs(make, model_path: Path):
    """Its rate, and what it wants of the model: it reads on, and the next frames have it."""
    pipeline = make(model_path, LIVE)
    heard, source = Heard(pipeline), pipeline.sources["live"]
    pipeline.start()
    until(pipeline, lambda: heard.count("live") > 5)
    assert "dropped_max_fps" not in counted(pipeline)["live"]
    source.adjust(dataclasses.replace(LIVE, max_fps=20.0, confidence=0.9))
    until(pipeline, lambda: heard.frames["live"][-1][1] == 0.9)
    until(pipeline, lambda: counted(pipeline)["live"].get("dropped_max_fps", 0) > 5)
    source.adjust(LIVE)
    before = heard.count("live")
    until(pipeline, lambda: heard.frames["live"][-1][1] == 0.6 and heard.count("live") > before + 20)
    dropped = counted(pipeline)["live"]["dropped_max_fps"]
    until(pipeline, lambda: heard.count("live") > before + 40)
    assert counted(pipeline)["live"]["dropped_max_fps"] == dropped
    assert pipeline.sources["live"] is source
    assert pipeline.stop(10)
    check_order(heard, "live")


def test_thresholds_and_publishing_change_in_place(make, model_path: Path, pictures: Path):
    """The next frames have them, heartbeats the new distance; nothing begins anew."""
    pipeline = make(model_path, SourceConfig("file", "path", str(pictures), loop=True))
    heard, model = Heard(pipeline), pipeline.models["main"]
    pipeline.start()
    until(pipeline, lambda: heard.count("file") > 5)
    model.adjust(dataclasses.replace(model.config, confidence=1.0), ServiceConfig())
    until(pipeline, lambda: heard.frames["file"][-1][1] == 1.0)
    pipeline.configure(PublishConfig(heartbeat_s=0.2, empty_frames=False))
    until(pipeline, lambda: counted(pipeline)["file"].get("dropped_empty", 0) > 5)
    until(pipeline, lambda: heard.heartbeats[-1]["interval_s"] == 0.2)
    assert pipeline.models["main"] is model
    assert pipeline.stop(10)
    models = [confidence for _, confidence in heard.frames["file"]]
    assert models == sorted(models)


def test_heartbeats_tell_of_the_worst_of_several_devices(make, model_path: Path, pictures: Path, another):
    """A subscriber has to look at one word, whichever model it is about."""
    pipeline = make(model_path, SourceConfig("file", "path", str(pictures), loop=True))
    heard, more = Heard(pipeline), another(pipeline, 0.9, "more")
    pipeline.start()
    pipeline.add_model(more)
    until(pipeline, lambda: heard.heartbeats)
    assert heard.heartbeats[-1]["device"]["state"] == "ok"
    assert more.served.recovery is not None
    more.served.recovery.suspect("the outputs of a frame were wrong")
    pipeline.configure(PublishConfig(heartbeat_s=0.1))
    until(pipeline, lambda: heard.heartbeats[-1]["device"]["state"] == "suspect")
    assert pipeline.stop(10)
