"""Times what calibration and evaluation cost: wall and processor seconds of whole commands, one after the other.

    python benchmarks/calibrate.py --arch yolov5n --weights yolov5n.pt --pictures DIR [--observers auto,minmax,mse]
                                   [--workers 1,2] [--labelled DIR] [--tree CHECKOUT]

``--labelled``: a folder with images/ and instances.json, over which each model is evaluated too. ``--tree``: another
checkout of mlu-export to build with, for a comparison of before and after on the same machine; the digests say whether
both write the same model.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUN = """
import sys
if sys.argv[1]:  # an editable install's finder would come before the other tree
    sys.meta_path[:] = [one for one in sys.meta_path if "editable" not in repr(one).lower()]
from mlu_export.cli import main
sys.exit(main(sys.argv[2:]))
"""


def timed(tree: Path | None, *command: str) -> tuple[float, float, str]:
    """Wall and processor seconds of mlu-export and its workers, and what it printed."""
    environment = dict(os.environ)
    if tree is not None:
        folders = [str(tree / part) for part in ("deploy", "agent", "agent/client")]
        environment["PYTHONPATH"] = os.pathsep.join(folders)
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    run = subprocess.run(
        [sys.executable, "-c", RUN, str(tree or ""), *command],
        env=environment, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, run.stdout


def build(arguments: argparse.Namespace, observer: str, workers: str, folder: Path) -> Path:
    """Builds one model and prints what it took."""
    wall, cpu, said = timed(
        arguments.tree, "build", "--arch", arguments.arch, "--weights", str(arguments.weights),
        "--calibration", str(arguments.pictures), "--observer", observer, "--workers", workers,
        "--output", str(folder / f"{observer}-{workers}"), "--json",
    )  # fmt: skip
    model = Path(json.loads(said)["files"][0]["path"])
    digest = hashlib.sha256(model.read_bytes()).hexdigest()[:12]
    print(f"{observer:8} {workers} workers  {wall:7.1f} s wall  {cpu:7.1f} s processor  {digest}", flush=True)
    return model


def evaluate(arguments: argparse.Namespace, model: Path) -> None:
    """Evaluates it over the labelled pictures."""
    labelled: Path = arguments.labelled
    wall, cpu, said = timed(
        arguments.tree, "eval", str(model), "--images", str(labelled / "images"),
        "--annotations", str(labelled / "instances.json"), "--json",
    )  # fmt: skip
    found = json.loads(said)
    each = 1e3 / found["images"]
    print(f"  evaluated  {wall * each:6.1f} ms wall  {cpu * each:6.1f} ms processor a picture  {found['map50_95']:.6f}")


def main() -> int:
    """By the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", default="yolov5n")
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--observers", default="auto,minmax,mse")
    parser.add_argument("--workers", default="1,2")
    parser.add_argument("--labelled", type=Path)
    parser.add_argument("--tree", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for observer in arguments.observers.split(","):
            for workers in arguments.workers.split(","):
                model = build(arguments, observer, workers, Path(folder))
            if arguments.labelled is not None:
                evaluate(arguments, model)
    return 0


if __name__ == "__main__":
    sys.exit(main())
