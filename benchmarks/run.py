"""Everything side by side with its peers, in one interleaved run; writes docs/performance.md from what it measured.

    python benchmarks/run.py [--models yolov5n,yolov5s,...] [--parts networks,limits,...] [--rounds 20] [--seconds 20]
                             [--weights DIR] [--pictures DIR] [--labelled DIR] [--again] [--page FILE]

`make bench` makes the environment with the peers and runs it. A race of one network on one kind of processor ends after
so many rounds or seconds, whatever comes first (not before seven rounds); all six networks take ten minutes on two
cores, `--models yolov5n --rounds 5` one. What was measured is kept in build/bench/results.json, part by part and
network by network: a run that was interrupted goes on where it was, --again measures what it names anew, and with
--parts '' the page is written of what there is.
Published weights are used where --weights has them (yolov5n.pt, yolov5s.pt, yolov3.weights, yolov3-tiny.weights,
yolo-fastest-1.1.weights), random ones of the same shapes otherwise: they cost the same. Nothing else should run beside.
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib.metadata
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contest import curves, daemon, measure, page
from contest.networks import NETWORKS
from contest.processor import build_mask, machine

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "bench"
PAGE = ROOT / "docs" / "performance.md"
MODELS = ("yolov5n", "yolov5s", "yolov5s-relu", "yolov3-tiny", "yolov3", "yolo-fastest")
VERSIONS = (
    "onnxruntime", "openvino", "nncf", "ncnn", "torch", "opencv-python-headless", "numpy", "ultralytics", "supervision",
)  # fmt: skip


def main() -> int:
    """By the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--rounds", type=count, default=20, help="of each race")
    parser.add_argument("--seconds", type=duration, default=20.0, help="of each race")
    parser.add_argument("--threads", type=counts, default="1,2", help="of the races, one after the other")
    parser.add_argument("--weights", type=folder, help="folder of published weights")
    parser.add_argument("--pictures", type=folder, help="folder to calibrate with")
    parser.add_argument("--labelled", type=folder, help="folder with images/ and instances.json: accuracy")
    parser.add_argument("--again", action="store_true", help="measure anew what is already there")
    parser.add_argument("--page", type=Path, default=PAGE)
    arguments = parser.parse_args()
    models = arguments.models.split(",")
    parts = [part for part in arguments.parts.split(",") if part]
    unknown = [name for name in models if name not in MODELS] + [name for name in parts if name not in PARTS]
    if unknown:
        parser.error(f"{unknown[0]} is not known; models: {', '.join(MODELS)}; parts: {', '.join(PARTS)}")
    FOLDER.mkdir(parents=True, exist_ok=True)
    results = Results(FOLDER / "results.json", again=arguments.again)
    mask = build_mask(FOLDER)
    here = machine()
    setting = measure.Setting(
        FOLDER, mask, here.processors(mask), arguments.threads, arguments.rounds,
        arguments.seconds, arguments.weights, arguments.pictures, arguments.labelled,
    )  # fmt: skip
    results.put("about", about(here, setting))
    for part in parts:
        PARTS[part](results, setting, models)
    arguments.page.parent.mkdir(parents=True, exist_ok=True)
    page.write(results.values, arguments.page)
    print(f"{arguments.page} is written; the figures themselves are in {results.path}")
    return 0


def folder(text: str) -> Path:
    """A folder that is there: what is missing is not taken for what nobody has."""
    if not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"{text} is no folder; correct the path or leave the option out")
    return Path(text)


def count(text: str) -> int:
    """From 1 on."""
    if not (text.isdecimal() and text.isascii() and len(text) < 10 and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def counts(text: str) -> tuple[int, ...]:
    """Several of them, with commas between."""
    return tuple(count(one.strip()) for one in text.split(","))


def duration(text: str) -> float:
    """Seconds, more than none."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0")
    return seconds


class Results:
    """What was measured, on disk after each part."""

    def __init__(self, path: Path, *, again: bool) -> None:
        self.path = path
        self.again = again
        self.values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def put(self, name: str, value: Any) -> None:
        """Keeps it; the file is whole at any time."""
        self.values[name] = value
        temporary = self.path.with_suffix(".new")
        temporary.write_text(json.dumps(self.values, indent=1), encoding="utf-8")
        temporary.replace(self.path)

    def part(self, name: str, make: Callable[[], Any]) -> None:
        """Measures what is not there yet, and says so."""
        if name in self.values and not self.again:
            print(f"{name}: measured before (--again measures it anew)", flush=True)
            return
        start = time.monotonic()
        made = make()
        load = os.getloadavg()[0]
        self.put(name, {"date": dt.datetime.now(dt.timezone.utc).date().isoformat(), "load": load, "values": made})
        print(f"{name}: {time.monotonic() - start:.0f} s", flush=True)


def about(here: Any, setting: measure.Setting) -> dict[str, Any]:
    """The machine and the versions."""
    versions = {name: importlib.metadata.version(name) for name in VERSIONS if _is_there(name)}
    compiler = subprocess.run(["cc", "--version"], capture_output=True, text=True, check=False).stdout.split("\n")[0]
    revision = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=False
    )
    return {
        "processor": here.model,
        "instructions": here.best(),
        "cpus": here.cpus,
        "memory_gb": here.memory_gb,
        "system": here.system,
        "python": sys.version.split()[0],
        "compiler": compiler,
        "revision": revision.stdout.strip(),
        "versions": versions,
        "processors": [{"name": one.name, "title": one.title} for one in setting.processors],
        "rounds": setting.rounds,
        "seconds": setting.seconds,
    }


def _is_there(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def networks(results: Results, setting: measure.Setting, models: list[str]) -> None:
    for model in models:
        results.part(f"network {model}", lambda model=model: measure.network(model, setting))  # type: ignore[misc]


def limits(results: Results, setting: measure.Setting, _: list[str]) -> None:
    results.part("limits", lambda: measure.limits(setting))


def neighbour(results: Results, setting: measure.Setting, models: list[str]) -> None:
    model = _wanted("yolov5s", models)
    results.part("neighbour", lambda: {"model": model, "rows": measure.neighbour(model, setting)})


def around(results: Results, _: measure.Setting, __: list[str]) -> None:
    """Pre- and postprocessing beside ultralytics and supervision."""
    file = FOLDER / "around.json"
    command = [
        sys.executable,
        str(ROOT / "benchmarks" / "contest" / "around.py"),
        "--samples",
        "30",
        "--json",
        str(file),
    ]

    def measured() -> Any:
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        return json.loads(file.read_text(encoding="utf-8"))

    results.part("around", measured)


def accuracy(results: Results, setting: measure.Setting, models: list[str]) -> None:
    """Of the networks with published weights, where there is a labelled set."""
    program = ROOT / "benchmarks" / "contest" / "accuracy.py"
    for model in models if setting.labelled else []:
        if NETWORKS[model].real(setting.weights) is None:
            continue
        file = FOLDER / "accuracy.json"
        command = [sys.executable, str(program), str(FOLDER / model), str(setting.labelled), "--json", str(file)]

        def measured(command: list[str] = command, file: Path = file) -> Any:
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            return json.loads(file.read_text(encoding="utf-8"))

        results.part(f"accuracy {model}", measured)


def curve(results: Results, setting: measure.Setting, models: list[str]) -> None:
    model = _wanted("yolov5n", models)
    results.part("curves", lambda: curves.curves(model, setting))


def pipeline(results: Results, setting: measure.Setting, models: list[str]) -> None:
    model = _wanted("yolov5n", models)
    results.part("fixed latency", lambda: daemon.fixed_latency(model, setting))
    results.part("costs", lambda: daemon.costs(model, setting))


def calibration(results: Results, setting: measure.Setting, models: list[str]) -> None:
    model = _wanted("yolov5n", models)
    results.part("calibration", lambda: daemon.calibration(model, setting))


def _wanted(name: str, models: list[str]) -> str:
    return name if name in models else models[0]


PARTS: dict[str, Callable[[Results, measure.Setting, list[str]], None]] = {
    "limits": limits,
    "networks": networks,
    "neighbour": neighbour,
    "around": around,
    "pipeline": pipeline,
    "curves": curve,
    "calibration": calibration,
    "accuracy": accuracy,
}

if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("interrupted: what was measured is kept, the same command goes on with it", file=sys.stderr)
        sys.exit(130)  # as shells count
