"""A model in service: pictures in, groups and detections out, in order, and when it has to be given up."""

from __future__ import annotations

import dataclasses
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.models import small_bundle
from tests.pipeline.runs import folder_source, run_to_end

from mlu_agent import cnrt
from mlu_agent.config import Config, ModelConfig
from mlu_agent.daemon.models import InService, Models, serve
from mlu_agent.daemon.pipeline import Pipeline
from mlu_agent.engine import Engine
from mlu_agent.engine.served import ServedModel
from mlu_agent.errors import RuntimeFailure
from mlu_agent.ledger import Ledger
from mlu_agent.model.bundle import load_bundle

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlu_agent.cnrt import Library


@pytest.fixture
def served(library: Library, model_path: Path) -> Iterator[ServedModel[int]]:
    """A small model on two cores, whose groups are numbers."""
    spec = load_bundle(model_path)
    with Engine(library, model_path, cores=2) as engine:
        yield ServedModel(spec, engine, spec.thresholds)


def submit(served: ServedModel[int], number: int) -> Any:
    slot = served.engine.acquire(30)
    assert slot is not None
    letterbox = served.place(np.full((24, 40, 3), number * 9, np.uint8), slot, 0)
    served.submit(slot, number)
    return letterbox


def test_groups_come_back_in_order_and_are_pending_until_released(served: ServedModel[int]):
    """What is collected is still pending, so that nothing pending means that everything has left."""
    letterboxes = [submit(served, number) for number in range(4)]
    for number, letterbox in enumerate(letterboxes):
        done = served.collect()
        assert done is not None
        assert done.slot is not None
        assert (done.group, served.pending) == (number, 4 - number)
        served.read(done.slot, 0, letterbox)
        served.release(done)
    assert served.pending == 0


def test_a_failure_comes_with_the_group_that_it_cost(served: ServedModel[int], monkeypatch: pytest.MonkeyPatch):
    """Without a recovery it is told at once; the slot is free again."""
    submit(served, 7)

    def fail(_self: object) -> None:
        raise RuntimeFailure("injected")

    monkeypatch.setattr(cnrt.Notifier, "wait", fail)
    done = served.collect()
    assert done is not None
    assert (done.group, done.slot) == (7, None)
    assert isinstance(done.failure, RuntimeFailure)
    served.release(done)
    assert served.pending == 0
    monkeypatch.undo()
    for number in range(served.engine.slots):
        submit(served, number)


def test_a_submission_that_fails_leaves_nothing_pending(served: ServedModel[int], monkeypatch: pytest.MonkeyPatch):
    """The slot is still the caller's, and no later group is taken for this one."""

    def fail(*_: object) -> None:
        raise RuntimeFailure("injected")

    monkeypatch.setattr(cnrt.Notifier, "place", fail)
    with pytest.raises(RuntimeFailure, match="injected"):
        submit(served, 1)
    assert served.pending == 0


def test_two_models_serve_in_one_process_and_each_frame_names_its_own(
    make, library: Library, model_path: Path, pictures: Path, tmp_path: Path
):
    """Each has threads, mailboxes and a device deadline of its own; nothing of one is told of the other."""
    other = small_bundle(tmp_path)
    first = make(model_path)  # closes what it opened
    ledger = Ledger()
    sent: list[tuple[str, str]] = []
    arrived = threading.Lock()

    def keep(topic: str, message: dict[str, Any]) -> None:
        if message["kind"] == "frame":
            with arrived:
                sent.append((topic, message["model"]["thresholds"]["confidence"]))

    to_second = dataclasses.replace(folder_source(pictures, "second"), model="other")
    sources = (folder_source(pictures, "first"), to_second)
    with Engine(library, other, cores=1) as engine:
        spec = load_bundle(other)
        config_of_other = ModelConfig(other, confidence=0.75, name="other")
        served = serve(spec, engine, config_of_other, ledger, first._log)
        models = Models([first.models["main"], InService(config_of_other, served)])
        first._outlet.send = keep
        both = Config("box", (first.models["main"].config, config_of_other), sources)
        both = Pipeline(both, models, first._outlet, ledger, first._log)
        counters = run_to_end(both)
    assert {name: one["published"] for name, one in counters.items()} == {"first": 30, "second": 30}
    usual = load_bundle(model_path).thresholds.confidence
    assert set(sent) == {("1/frame/first", usual), ("1/frame/second", 0.75)}
