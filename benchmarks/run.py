"""How fast this machine is: pre- and postprocessing, and whole frames through the simulator. Ends within two minutes.

    python benchmarks/run.py [MODEL.cambricon ...]

Without models it takes the one that ``make demo`` built. Figures are of this machine and of the simulator; a device's
speed cannot be told from them.
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
PARTS = {"vision.py": ("--samples", "20"), "kernels.py": ()}


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


def main(arguments: list[str]) -> int:
    """Runs what is there; returns the exit status."""
    for name, options in PARTS.items():
        script = ROOT / "benchmarks" / name
        if script.exists():
            subprocess.run([sys.executable, str(script), *options], check=True, stdin=subprocess.DEVNULL)
    models = [Path(argument) for argument in arguments] or [model for model in [DEMO_MODEL] if model.exists()]
    print("whole frames of 1280x720 on the simulator", flush=True)
    if not models:
        print("  no model: 'make demo' builds one, or name some")
    for model in models:
        whole_frames(model)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
