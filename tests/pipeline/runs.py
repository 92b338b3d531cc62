"""Pipelines run to their end, what they counted, and sources watched until a state comes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from mlu_agent.config import SourceConfig

if TYPE_CHECKING:
    from pathlib import Path

    from mlu_agent.daemon.pipeline import Pipeline
    from mlu_agent.sources import Source, SourceState


def tick(source: Source, until: SourceState, limit_s: float = 30) -> float:
    """Looks at the source as the main loop does until it is in that state; how long that took, in seconds."""
    begin = time.monotonic()
    while source.status.state is not until:
        now = time.monotonic()
        assert now - begin < limit_s, source.status
        source.check_stall(now)
        time.sleep(0.01)
    return time.monotonic() - begin


def counted(pipeline: Pipeline) -> dict[str, Any]:
    return dict(pipeline.ledger.snapshot().sources)


def run_to_end(pipeline: Pipeline) -> dict[str, dict[str, int]]:
    pipeline.start()
    deadline = time.monotonic() + 60
    while not pipeline.finished and pipeline.failure is None and time.monotonic() < deadline:
        pipeline.tick(time.monotonic())
        time.sleep(0.005)
    assert pipeline.stop(10)
    return counted(pipeline)


def folder_source(folder: Path, name: str = "folder") -> SourceConfig:
    return SourceConfig(name, "path", str(folder))
