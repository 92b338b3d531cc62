"""Sources of different importance before one slow device, as a pipeline shares it out."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, Any

import pytest
from tests.pipeline.runs import counted, folder_source

from mlu_agent import cnrt
from mlu_agent.config import SourceConfig

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def slow_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each invocation takes a hundredth of a second longer."""
    original = cnrt.Notifier.wait

    def slow(self: cnrt.Notifier) -> None:
        original(self)
        time.sleep(0.01)

    monkeypatch.setattr(cnrt.Notifier, "wait", slow)


def file(name: str, pictures: Path, **options: Any) -> SourceConfig:
    """A source that always has a frame."""
    return dataclasses.replace(folder_source(pictures, name), loop=True, **options)


def published(pipeline: Any, count: int) -> dict[str, int]:
    """By source, once all of them together are so many."""
    pipeline.start()
    deadline = time.monotonic() + 60
    while pipeline.ledger.snapshot().totals["published"] < count and time.monotonic() < deadline:
        time.sleep(0.01)
    assert pipeline.stop(10)
    assert {one["in_flight"] for one in counted(pipeline).values()} == {0}
    return {name: one["published"] for name, one in counted(pipeline).items()}


def test_a_file_that_always_has_a_frame_leaves_a_live_source_its_turns(make, model_path: Path, pictures: Path):
    """Neither starves, although a live frame waits until a lane is about to be free and a file's does not."""
    live = SourceConfig("live", "synthetic", "64x48@1000", realtime=True)
    shares = published(make(model_path, live, file("file", pictures)), 200)
    assert shares["live"] > 0.2 * sum(shares.values()), shares
    assert shares["file"] > 0.2 * sum(shares.values()), shares


def test_the_most_important_source_comes_first_and_a_minimum_before_it(make, model_path: Path, pictures: Path):
    """The least important one gets nothing while another has a frame, but for what it is promised."""
    pipeline = make(
        model_path,
        file("first", pictures, priority=1),
        file("last", pictures, priority=9),
        file("promised", pictures, priority=9, min_fps=20.0),
    )
    shares = published(pipeline, 200)
    assert shares["last"] < 0.2 * shares["first"]
    assert shares["last"] < shares["promised"]


def test_minima_beyond_the_device_are_said_once_and_counted(make, model_path: Path, pictures: Path):
    """With figures; and once more when they are kept again."""
    pipeline = make(model_path, SourceConfig("live", "synthetic", "64x48@500", realtime=True, min_fps=400.0))
    line = next(iter(pipeline._lines.values()))
    line.check_minima(0.0)
    published(pipeline, 60)
    for now in (20.0, 40.0, 60.0):
        line.check_minima(now)
    missed = counted(pipeline)["live"]["minimum_missed"]
    said = [(event, fields) for event, fields in pipeline._log.calls if "min_fps" in event]
    assert [event.partition(" min_fps")[0] for event, _ in said] == [
        "sources do not get their",
        "all sources get their",
    ]
    assert said[0][1]["missed"] == {"live": missed}
    assert said[0][1]["promised_fps"] > said[0][1]["taken_fps"] > 0
    assert missed > 1
