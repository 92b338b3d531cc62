"""How fast this machine is: pre- and postprocessing, whole frames through the simulator, and the time of each layer.

    python benchmarks/run.py [MODEL.cambricon ...]

Ends within two minutes. Without models it takes the one that ``make demo`` built. Figures are of this machine and of
the simulator; a device's speed cannot be told from them.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from mlu_agent.detector import Detector

ROOT = Path(__file__).resolve().parent.parent
DEMO_MODEL = ROOT / "build" / "demo" / "yolov3-tiny.cambricon"
SECONDS = 5.0
LAYER_RUNS = 10


def whole_frames(model: Path) -> None:
    """Frames per second with all cores busy, and milliseconds of one frame alone."""
    pixels = np.random.default_rng(0).integers(0, 256, (720, 1280, 3), np.uint8)
    with Detector(model, runtime="simulator") as detector:
        detector.detect(pixels)
        start = time.perf_counter()
        alone = 0
        while time.perf_counter() - start < SECONDS:
            detector.detect(pixels)
            alone += 1
        one = (time.perf_counter() - start) / alone
        count = max(8, round(SECONDS / one))
        start = time.perf_counter()
        done = sum(1 for _ in detector.stream(pixels for _ in range(count)))
        rate = done / (time.perf_counter() - start)
    print(f"  {model.stem:<24} one frame {one * 1e3:8.2f} ms   all cores {rate:8.2f} frames/s")


def script(name: str, *options: str) -> None:
    """Runs a benchmark that is a program of its own."""
    subprocess.run([sys.executable, str(ROOT / "benchmarks" / name), *options], check=True, stdin=subprocess.DEVNULL)


def main(arguments: list[str]) -> int:
    """Runs what is there; returns the exit status."""
    script("vision.py", "--samples", "20")
    models = [Path(argument) for argument in arguments] or [model for model in [DEMO_MODEL] if model.exists()]
    print("whole frames of 1280x720 on the simulator", flush=True)
    if not models:
        print("  no model: 'make demo' builds one, or name some")
    for model in models:
        whole_frames(model)
    for model in models:
        print(f"where {model.stem} spends it, step by step", flush=True)
        script("layers.py", str(model), str(LAYER_RUNS))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
