"""Pipelines run to their end, and what they counted."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from mlu_agent.config import SourceConfig

if TYPE_CHECKING:
    from pathlib import Path

    from mlu_agent.daemon.pipeline import Pipeline


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
