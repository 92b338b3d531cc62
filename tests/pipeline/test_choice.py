"""What each source wants of a model that several share."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from tests.pipeline.runs import folder_source, run_to_end

if TYPE_CHECKING:
    from pathlib import Path


def frames_of(pipeline: Any, source_id: str) -> list[dict[str, Any]]:
    return [one for one in pipeline.sent if one["kind"] == "frame" and one["source"] == source_id]


def recorded(pipeline: Any) -> Any:
    """The pipeline, whose messages go into a list."""
    pipeline.sent = []
    pipeline._outlet.send = lambda _topic, message: pipeline.sent.append(message)
    return pipeline


def test_each_source_has_its_own_confidence(make, model_path: Path, pictures: Path):
    """Of the same pictures the strict source tells a part of what the usual one does, the lenient one more; each
    message has the thresholds in force, and what was left out is counted."""
    usual = folder_source(pictures, "usual")
    strict = dataclasses.replace(usual, id="strict", classes=(("thing", 0.7),), confidence=0.1)
    lenient = dataclasses.replace(usual, id="lenient", confidence=0.5)
    pipeline = recorded(make(model_path, usual, strict, lenient))
    counters = run_to_end(pipeline)
    scores = {
        name: [found["confidence"] for one in frames_of(pipeline, name) for found in one["detections"]]
        for name in ("usual", "strict", "lenient")
    }
    assert min(scores["lenient"]) < 0.6 <= min(scores["usual"]) < 0.7 <= min(scores["strict"])
    told = {name: frames_of(pipeline, name)[0]["model"]["thresholds"] for name in scores}
    assert told["strict"] == {**told["usual"], "confidence": 0.1, "classes": {"thing": 0.7}}
    assert told["lenient"] == {**told["usual"], "confidence": 0.5}
    assert "filtered_candidates" not in counters["usual"]
    assert "filtered_candidates" not in counters["strict"]  # a class alone is decoded with what it needs
