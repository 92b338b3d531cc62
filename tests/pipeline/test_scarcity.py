"""Changes while something that programs count on cannot be had: a thread, a device that gives back what it has."""

from __future__ import annotations

import dataclasses
import threading
import time
from typing import Any

import pytest
from tests.pipeline import test_changer
from tests.pipeline.test_changer import Box, config_of

from mlu_agent.config import SourceConfig
from mlu_agent.config.files import size_if_there
from mlu_agent.daemon.pipeline import Pipeline
from mlu_agent.daemon.snapshots import Snapshots
from mlu_agent.errors import DeviceLost, RuntimeFailure
from mlu_agent.sources import SourceState

box, other = test_changer.box, test_changer.other  # fixtures
NO_THREAD = "can't start new thread"
MORE = SourceConfig("more", "synthetic", "64x48@50", realtime=True)


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch):
    """A function: from now on no thread of that name can be had, until it is called with none."""
    start, refused = threading.Thread.start, [""]

    def scarce(self: threading.Thread) -> None:
        if self.name == refused[0]:
            raise RuntimeError(NO_THREAD)
        start(self)

    def of(name: str = "") -> None:
        refused[0] = name

    monkeypatch.setattr(threading.Thread, "start", scarce)
    return of


def said(box: Box, event: str) -> list[dict[str, Any]]:
    return [fields for said, fields in box.log.calls if said == event]


def fail(*_: object) -> None:
    raise RuntimeFailure("cnrtDestroyRuntimeContext failed")


def test_a_model_that_cannot_be_closed_costs_nobody_the_answer(box: Box, other, model_path):
    """The change is in force and answered, the failure logged, and the next change is made."""
    box.pipeline.models["main"]._exits.callback(fail)
    assert box.swap(other)["ok"]
    (closing,) = said(box, "a model could not be closed")
    assert closing == {"model": "main", "reason": "cnrtDestroyRuntimeContext failed"}
    assert box.swap(model_path)["ok"]
    assert box.changer.trouble == ""


def test_of_several_models_that_go_each_is_closed(box: Box, other):
    """Whatever the one before does."""
    base = config_of(box)
    assert box.reload(dataclasses.replace(base, models=(*base.models, box.model(other, name="more"))))["ok"]
    going = [box.pipeline.models[name] for name in ("main", "more")]
    for model in going:
        model._exits.callback(fail)
    assert box.reload(dataclasses.replace(base, models=(box.model(other),)))["ok"]
    assert all(model.served.engine.closed for model in going)
    assert len(said(box, "a model could not be closed")) == 2


def test_why_a_change_is_refused_is_told_though_what_was_loaded_cannot_be_closed(box: Box, other):
    """The reason is the second model's, not the failure of closing the first."""
    base, load = config_of(box), box.changer._load

    def loaded(model: Any, config: Any) -> Any:
        made = load(model, config)
        made._exits.callback(fail)
        return made

    box.changer._load = loaded
    wrong = box.model(other.parent / "none.cambricon", name="wrong")
    box.changer._is_another = lambda *_: False  # read for the first time as it is loaded
    answer = box.reload(dataclasses.replace(base, models=(*base.models, box.model(other, name="more"), wrong)))
    assert "model wrong: " in answer["error"]
    assert len(said(box, "a model could not be closed")) == 1


def test_a_source_for_which_no_thread_can_be_had_is_not_there(box: Box, refuse):
    """The reload is refused as a whole, and succeeds once there is a thread."""
    base = config_of(box)
    wanted = dataclasses.replace(base, sources=(*base.sources, MORE))
    refuse("source-more")
    assert f"it could not be begun ({NO_THREAD})" in box.reload(wanted)["error"]
    assert list(box.pipeline.sources) == ["file", "live"]
    assert set(box.pipeline._lines["main"].exchange.traffic()) == {"file", "live"}
    refuse()
    assert box.reload(wanted)["ok"]
    box.frames("more")


def test_a_source_that_begins_anew_waits_for_a_thread(box: Box, refuse):
    """The daemon goes on, says it once, and tries again."""
    base = config_of(box)
    again = dataclasses.replace(base.sources[1], location="96x48@200")
    refuse("source-live")
    assert box.reload(dataclasses.replace(base, sources=(base.sources[0], again)))["ok"]
    box.turn(lambda: said(box, "a source cannot begin yet"))
    box.frames("file")
    assert said(box, "a source cannot begin yet") == [{"source": "live", "reason": NO_THREAD}]
    refuse()
    box.frames("live")


def test_a_source_that_never_began_can_be_removed(box: Box, refuse):
    """It is over as soon as it is stopped, with its end."""
    base = config_of(box)
    again = dataclasses.replace(base.sources[1], location="96x48@200")
    refuse("source-live")
    assert box.reload(dataclasses.replace(base, sources=(base.sources[0], again)))["ok"]
    box.turn(lambda: said(box, "a source cannot begin yet"))
    assert box.reload(dataclasses.replace(base, sources=base.sources[:1]))["ok"]
    box.turn(lambda: list(box.pipeline.sources) == ["file"])
    assert box.heard.ends == ["live"]


def test_a_model_for_which_one_of_two_threads_can_be_had_leaves_none_behind(box: Box, other, refuse):
    """The feeder goes when there is no deliverer."""
    base = config_of(box)
    threads = threading.active_count()
    refuse("deliverer")
    more = dataclasses.replace(MORE, model="more")
    wanted = dataclasses.replace(
        base, models=(*base.models, box.model(other, name="more")), sources=(*base.sources, more)
    )
    assert NO_THREAD in box.reload(wanted)["error"]
    assert threading.active_count() == threads
    refuse()
    assert box.reload(wanted)["ok"]
    box.frames("more")


def test_a_snapshot_without_a_thread_costs_the_source_nothing(box: Box, refuse):
    """Whoever asked is told, and the place is free for the next."""
    snapshots = Snapshots(box.log)
    source = box.pipeline.sources["live"]
    answers: list[Any] = []
    refuse("snapshot")
    for number in range(6):
        assert snapshots.ask(source, answers.append, time.monotonic()) == ""
        box.turn(lambda number=number: len(answers) > number)
    assert answers[0] == {"ok": False, "error": f"source live: no picture can be made now ({NO_THREAD}); ask again"}
    assert source.status.state is SourceState.LIVE
    assert source.account.counters()["reconnects"] == 0


def test_the_frames_of_a_new_source_are_the_new_models(box: Box, other, monkeypatch: pytest.MonkeyPatch):
    """A reload that brings a source and another model for it: nothing is read before the model is there."""
    base, swap = config_of(box), Pipeline.swap

    def slow(self: Pipeline, model: Any) -> Any:
        time.sleep(0.2)  # a source that reads already gives ten frames
        return swap(self, model)

    monkeypatch.setattr(Pipeline, "swap", slow)
    model = box.model(other, confidence=0.77)
    assert box.reload(dataclasses.replace(base, models=(model,), sources=(*base.sources, MORE)))["ok"]
    box.frames("more")
    assert {confidence for _, confidence in box.heard.frames["more"]} == {0.77}


def test_reloads_that_wait_one_behind_the_other_are_one(box: Box, other):
    """All are answered, there is room for a swap, and what came after the swap is done after it."""
    gate = threading.Event()
    box.loading = lambda: gate.wait(30)
    answers: list[tuple[str, dict[str, Any]]] = []
    box.changer.swap("main", str(other), lambda given: answers.append(("first", given)))
    for _ in range(20):
        box.changer.reload(lambda given: answers.append(("early", given)))
    box.changer.swap("main", str(other), lambda given: answers.append(("second", given)))
    for _ in range(20):
        box.changer.reload(lambda given: answers.append(("late", given)))
    assert not answers
    gate.set()
    box.turn(lambda: not box.changer.busy)
    assert [name for name, _ in answers] == ["first", *["early"] * 20, "second", *["late"] * 20]
    assert all(given["ok"] for _, given in answers)
    assert [fields["what"] for fields in said(box, "changed")] == ["swap of main", "reload"] * 2


def test_the_end_waits_no_longer_than_it_is_told_to(box: Box, other):
    """A device that takes its time with a model: the thread is left behind, and the change never in force."""
    gate = threading.Event()
    box.loading = lambda: gate.wait(30)
    answers: list[dict[str, Any]] = []
    box.changer.swap("main", str(other), answers.append)
    before = box.pipeline.models["main"]
    box.changer.stop()
    assert box.pipeline.stop(10)
    assert not box.changer.join(0.05)
    gate.set()
    assert box.changer.join(10)
    assert "the agent stops" in answers[0]["error"]
    assert box.pipeline.models["main"] is before


def test_a_pipeline_is_not_finished_while_a_source_is_to_begin_anew(box: Box):
    """All its sources have ended, and one of them has a successor."""
    pipeline = box.pipeline
    pipeline._ended |= pipeline.sources.keys()
    assert pipeline.finished
    pipeline._leaving["live"] = config_of(box).sources[1]
    assert not pipeline.finished
    pipeline._leaving.clear()
    pipeline._ended.clear()


def test_a_model_that_goes_away_as_its_size_is_asked_for_is_told_by_who_reads_it(tmp_path):
    """A file that is being replaced is missing for a moment: that is no fault of the program."""
    assert size_if_there(tmp_path / "gone") == size_if_there("\0") == 0
    path = tmp_path / "there"
    path.write_bytes(b"four")
    assert size_if_there(path) == 4


def test_an_error_that_is_told_with_other_words_stays_what_it_is():
    """Status, hang and whether it may pass go with it."""
    lost = DeviceLost("cnrtInvoke failed", 632008, hung=True)
    lost.passes = True
    told = lost.told("model main: cnrtInvoke failed")
    assert (type(told), told.message, str(told)) == (DeviceLost, *["model main: cnrtInvoke failed"] * 2)
    assert (told.status, told.hung, told.passes) == (632008, True, True)
    assert lost.message == "cnrtInvoke failed"
