"""What it costs to look at a camera's picture: frozen, black, covered, moved?

    python benchmarks/watch.py [VIDEO ...]

One look at pictures of 1080p, and what a frame costs at 25 frames a second, of which five are looked at. Every video
named is played for two minutes as if a camera saw it again and again; alarms in it are told. 1 if that
costs more than 0.3 ms a frame.
"""

from __future__ import annotations

import itertools
import statistics
import sys
import time

import numpy as np

from mlu_agent.config import WatchConfig
from mlu_agent.sources import capture_for_path
from mlu_agent.sources.watch import LOOK_S, Memory, PictureWatch, sample, step

FPS = 25.0
LIMIT_MS = 0.3
SECONDS = 120.0


def cost() -> float:
    """Milliseconds per frame."""
    pictures = np.random.default_rng(0).integers(0, 256, (8, 1080, 1920, 3), np.uint8)
    watch = PictureWatch(WatchConfig())
    frames = []
    for number in range(500):
        start = time.perf_counter()
        watch.look(pictures[number % 8], number / FPS)
        frames.append((time.perf_counter() - start) * 1e3)
    looks = [one for one in frames if one > 0.02]  # the others only look at the clock
    print(f"one look at 1920x1080: median {statistics.median(looks):.3f} ms, most {max(looks):.3f} ms")
    frame_ms = statistics.median(looks) * len(looks) / len(frames)
    print(f"per frame at {FPS:g} frames/s: {frame_ms:.3f} ms, at most {LIMIT_MS} ms wanted")
    return frame_ms


def alarms(path: str) -> None:
    """What is found in a video that is played again and again."""
    capture = capture_for_path(path)
    capture.open()
    samples = []
    while capture.advance():
        grab = capture.take()
        if grab.position % round(FPS * LOOK_S) == 0:
            samples.append(sample(grab.pixels))
    capture.close()
    memory, found = Memory(), []
    for look, one in zip(range(int(SECONDS / LOOK_S)), itertools.cycle(samples)):
        before, memory = memory.finding, step(memory, one, look * LOOK_S, WatchConfig())
        if memory.finding is not None and memory.finding is not before:
            found.append(f"{memory.finding.value} at {look * LOOK_S:.1f} s")
    print(f"{path}: {len(samples)} pictures, {len(found)} alarms in {SECONDS:g} s {' '.join(found)}")


def main(paths: list[str]) -> int:
    """Returns the exit status."""
    for path in paths:
        alarms(path)
    return 0 if cost() <= LIMIT_MS else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
