"""What each source wants of a model that several share."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from tests.pipeline.runs import folder_source, run_to_end

if TYPE_CHECKING:
    from pathlib import Path


MOVED = ((0.5, 0.5, 0.5, 0.5), (0.5, 0.25, 0.5, 0.25))  # shares of the part: their size and start in the whole


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


def test_a_region_is_seen_as_if_it_were_the_picture(make, model_path: Path, tmp_path: Path):
    """The same detections as of the part that was cut out, with more pixels than the whole would have; boxes, width and
    height are those of the whole frame, and the letterbox maps it."""
    whole, part = tmp_path / "whole", tmp_path / "part"
    for folder in (whole, part):
        folder.mkdir()
    for number in range(8):
        pixels = np.random.default_rng(number).integers(0, 255, (60, 80, 3), np.uint8)
        cv2.imwrite(str(whole / f"{number}.png"), pixels)
        cv2.imwrite(str(part / f"{number}.png"), pixels[15:45, 40:80])
    region = dataclasses.replace(folder_source(whole, "region"), roi=(0.5, 0.25, 1.0, 0.75))
    pipeline = recorded(make(model_path, region, folder_source(part, "part")))
    run_to_end(pipeline)
    pairs = list(zip(frames_of(pipeline, "region"), frames_of(pipeline, "part")))
    assert len(pairs) == 8
    assert sum(len(one["detections"]) for one, _ in pairs) > 8
    for one, other in pairs:
        assert (one["width"], one["height"], other["width"], other["height"]) == (80, 60, 40, 30)
        assert one["roi"] == [0.5, 0.25, 1.0, 0.75]
        assert "roi" not in other
        boxes = [(found["confidence"], found["box"]) for found in one["detections"]]
        moved = [
            (found["confidence"], [side * size + start for side, size, start in zip(found["box"], *MOVED)])
            for found in other["detections"]
        ]
        assert [score for score, _ in boxes] == [score for score, _ in moved]
        assert np.allclose([box for _, box in boxes], [box for _, box in moved], atol=2e-6)
        ours, theirs = one["letterbox"], other["letterbox"]
        assert (ours["scale_x"], ours["pad_x"]) == (theirs["scale_x"], theirs["pad_x"] - 40 * theirs["scale_x"])
        assert ours["pad_y"] == theirs["pad_y"] - 15 * theirs["scale_y"]
