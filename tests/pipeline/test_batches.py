"""Batches that are filled from several sources, and how long their first frame waits for others."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.pipeline.runs import folder_source, run_to_end

from mlu_agent.config import ModelConfig, ServiceConfig
from mlu_agent.sources import Grab

if TYPE_CHECKING:
    from pathlib import Path


class Coming:
    """An exchange in which a frame comes after so many seconds of each wait, as long as there are any left; it takes no
    time. ``waits``: until when each take would have waited at the longest, from the first on."""

    def __init__(self, clock: list[float], pauses: list[float]) -> None:
        self.clock = clock
        self.pauses = pauses
        self.until: list[float] = []

    def take(self, timeout: float) -> tuple[str, Grab] | None:
        self.until.append(self.clock[0] + timeout)
        pause = self.pauses[0] if self.pauses else 1e9
        self.clock[0] += min(pause, timeout)
        if pause > timeout:
            return None
        self.pauses.pop(0)
        return "a", grab()


def grab() -> Grab:
    return Grab(np.zeros((20, 30, 3), np.uint8), 0, "arrival", 0, 0)


@pytest.fixture
def gather(make, four_core_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch):
    """A function from a wait and when frames come to how many of them went, after how long, and the longest wait."""
    pipeline = make(four_core_path, folder_source(pictures, "a"))
    served, line = pipeline.models.main, next(iter(pipeline._lines.values()))

    def run(wait_s: float, pauses: list[float]) -> tuple[int, float, float]:
        clock = [1000.0]
        monkeypatch.setattr(time, "monotonic", lambda: clock[0])
        served.batch_wait_s = wait_s
        coming: Any = Coming(clock, pauses)
        line.exchange = coming
        slot = served.engine.acquire(0)
        group = line._gather(served, slot, ("a", grab()))
        served.engine.release(slot)
        monkeypatch.undo()
        return len(group), clock[0] - 1000.0, max(coming.until, default=1000.0) - 1000.0

    return run


@pytest.mark.parametrize(
    "wait_s, pauses, frames, after",
    [
        (0.0, [], 1, 0.0),
        (0.0, [0.0, 0.0], 3, 0.0),  # what is there goes along
        (0.0, [0.001], 1, 0.0),
        (0.05, [0.02, 0.02, 0.02], 3, 0.05),  # counted from the first frame, not from the last one
        (0.05, [0.02, 0.01, 0.01, 0.0], 4, 0.04),  # full: at once
        (0.05, [0.06], 1, 0.05),
    ],
)
def test_a_batch_goes_when_it_is_full_or_its_first_frame_has_waited_long_enough(gather, wait_s, pauses, frames, after):
    """Never later, however few there are; and no wait reaches beyond that moment."""
    count, seconds, longest = gather(wait_s, pauses)
    assert (count, pytest.approx(seconds, abs=1e-9)) == (frames, after)
    assert longest <= wait_s + 1e-9


def test_batches_are_filled_across_sources_and_that_is_counted(make, four_core_path: Path, pictures: Path):
    """Two sources of thirty frames are fifteen batches of four, where there is time to wait for each other."""
    pipeline = make(four_core_path, folder_source(pictures, "a"), folder_source(pictures, "b"))
    model = next(iter(pipeline.models.items()))[0]
    pipeline.models.main.batch_wait_s = 10.0
    counters = run_to_end(pipeline)
    assert [one["published"] for one in counters.values()] == [30, 30]
    fill = pipeline.ledger.snapshot().fills[model]
    assert fill == {"invocations": 15, "frames": 60, "mean": 4.0}


def test_the_wait_is_the_models_and_changes_while_it_runs(make, model_path: Path, pictures: Path):
    """Milliseconds in the configuration, of each model its own."""
    pipeline = make(model_path, folder_source(pictures))
    service = next(iter(pipeline.models._all.values()))
    assert service.served.batch_wait_s == 0.0
    service.adjust(ModelConfig(model_path, batch_wait_ms=25.0), ServiceConfig())
    assert service.served.batch_wait_s == 0.025
