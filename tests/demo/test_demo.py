"""``make demo`` with files given by hand: the whole way from real weights to drawn pictures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def _demo(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "demo" / "run.py"), *map(str, arguments)]
    env = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=env, check=False)


@pytest.mark.shared
@pytest.mark.slow
def test_real_weights_find_people_and_cars_in_a_street(shared_data: Path, tmp_path: Path):
    """Every frame of the clip arrives, in order, with the street's objects in it, and is drawn; no process is left."""
    weights, clip = shared_data / "weights" / "yolov3-tiny.weights", shared_data / "video" / "bikes.mp4"
    done = _demo("--weights", weights, "--clip", clip, "--output", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    messages = [json.loads(line) for line in (tmp_path / "messages.jsonl").read_text().splitlines()]
    frames = [message for message in messages if message["kind"] == "frame"]
    assert [frame["seq"] for frame in frames] == list(range(250))
    assert messages[-1]["kind"] == "end"
    assert messages[-1]["frames"] == 250
    # frame 113 shows a cyclist who waits, right of the middle and as high as the picture
    (cyclist,) = [
        found for found in frames[113]["detections"] if found["label"] == "person" and found["confidence"] > 0.8
    ]
    assert cyclist["box"] == pytest.approx([0.58, 0.08, 0.76, 1.0], abs=0.04)
    assert (tmp_path / "contact-sheet.jpg").stat().st_size > 50_000
    assert (tmp_path / "detections.mp4").stat().st_size > 50_000
    assert "missing in the sequence: 0" in done.stdout


def test_a_missing_file_is_named(tmp_path: Path):
    """A path that is not there is a sentence, not a traceback."""
    done = _demo("--weights", tmp_path / "none.weights", "--output", tmp_path)
    assert (done.returncode, done.stderr) == (1, f"demo: weights: {tmp_path / 'none.weights'} is not a file\n")


def test_without_an_index_it_says_how_to_give_files(tmp_path: Path):
    """No network and no cache: what could not be had, and the command that does without."""
    empty = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path), "PIP_CONFIG_FILE": "/dev/null"}
    done = _demo("--cache", tmp_path / "cache", "--output", tmp_path, **empty)
    assert done.returncode == 1
    assert "was not found on the package index" in done.stderr
    assert "make demo WEIGHTS=" in done.stderr
    assert "Traceback" not in done.stderr
