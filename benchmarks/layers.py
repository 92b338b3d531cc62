"""Where a model's time goes on the simulator, step by step, by the simulator's own profile (native/ABI.md section 10).

    python benchmarks/layers.py MODEL.cambricon [RUNS] [--json FILE]

Figures are of this machine; a device's cannot be told from them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from mlu_agent.cnrt import open_library
from mlu_agent.engine import Engine

RUNS = 20


def profile(model: Path, runs: int) -> dict[str, Any]:
    """The profile of so many invocations, one after the other."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CNRT_SIMULATOR_PROFILE"] = folder
        with Engine(open_library("simulator"), model) as engine:
            for _ in range(runs):
                slot = engine.acquire()
                assert slot is not None, "nobody else closes the engine"
                engine.submit(slot)
                done = engine.collect()
                assert done is not None, "it was submitted"
                engine.release(done)
        (written,) = Path(folder).iterdir()
        document: dict[str, Any] = json.loads(written.read_text(encoding="ascii"))
        return document


def line(step: dict[str, Any], whole: int) -> str:
    """One step: its least time, its share of the network, what it multiplies in a second, and how."""
    share, rate = step["least_ns"] / whole, step["multiplications"] / (step["least_ns"] or 1)
    shapes = " -> ".join("x".join(map(str, step[side][1:])) for side in ("input", "output"))
    how = " ".join(filter(None, (step["kind"], step.get("algorithm", ""), step["name"])))
    return f"{step['least_ns'] / 1e6:10.3f} ms {share:6.1%} {rate:7.1f} GMAC/s  {how} {shapes}"


def main() -> int:
    """Prints the steps, those that take longest first; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, metavar="MODEL.cambricon")
    parser.add_argument("runs", type=int, nargs="?", default=RUNS)
    parser.add_argument("--json", type=Path, metavar="FILE", help="the profile as it is, one object")
    arguments = parser.parse_args()
    told = profile(arguments.model, arguments.runs)
    steps = sorted(told["steps"], key=lambda step: -step["least_ns"])
    whole = sum(step["least_ns"] for step in steps) or 1
    print(f"{told['runs']} runs, kernels {told['kernels']}, least time of each step")
    for step in steps:
        print(line(step, whole))
    if arguments.json:
        arguments.json.write_text(json.dumps(told), encoding="ascii")
    return 0


if __name__ == "__main__":
    sys.exit(main())
