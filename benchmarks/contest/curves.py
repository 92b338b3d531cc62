"""Pictures a second over streams, batch and size of the input: ours and the int8 networks of the two fastest peers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlu_agent.model.bundle import load_detection_bundle

from .race import Entry, race, together

if TYPE_CHECKING:
    from .measure import Setting

HERE = Path(__file__).resolve().parent
ENGINES = ("ours", "onnxruntime int8", "openvino int8")
BATCHES = (1, 2, 4, 8)
SIZES = (320, 480)  # and its own
SHARE = 0.15  # of a race's time for each point
Curve = dict[str, list[tuple[float, float]]]  # by engine


def curves(name: str, setting: Setting) -> dict[str, Any]:
    """All of them, of one network, as this processor is."""
    folder = setting.folder / name
    _prepare(name, setting, "--batches", ",".join(map(str, BATCHES[1:])), "--sizes", ",".join(map(str, SIZES)))
    cpus = len(os.sched_getaffinity(0))
    return {
        "network": name,
        "streams of one thread": _streams(folder, setting, sorted({1, cpus, 2 * cpus})),
        "threads of one stream": _threads(folder, setting, sorted({1, 2, cpus})),
        "pictures in a batch, one thread": _batches(folder, setting),
        "pixels of a side, one thread": _sizes(name, setting),
    }


def _prepare(name: str, setting: Setting, *options: str) -> None:
    command = [sys.executable, str(HERE / "prepare.py"), name, str(setting.folder), *options]
    for option, value in (("--weights", setting.weights), ("--pictures", setting.pictures)):
        command += [option, str(value)] if value else []
    with (setting.folder / f"{name}.log").open("a") as log:
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def _streams(folder: Path, setting: Setting, counts: list[int]) -> Curve:
    made: Curve = {engine: [] for engine in ENGINES}
    for count in counts:
        for engine in ENGINES:
            entries = [Entry(engine, 1, "all")] * count
            made[engine].append((count, together(entries, folder, setting.mask, setting.seconds * SHARE)))
    return made


def _threads(folder: Path, setting: Setting, counts: list[int]) -> Curve:
    return _raced([(count, [Entry(engine, count, "all") for engine in ENGINES], folder) for count in counts], setting)


def _batches(folder: Path, setting: Setting) -> Curve:
    points = [(b, [Entry(engine, 1, "all", batch=b) for engine in ENGINES], folder) for b in BATCHES]
    return _raced(points, setting)


def _sizes(name: str, setting: Setting) -> Curve:
    entries = [Entry(engine, 1, "all") for engine in ENGINES]
    own = load_detection_bundle(setting.folder / name / "ours-1.cambricon").input.width
    points = [(size, entries, setting.folder / f"{name}-{size}") for size in SIZES if size != own]
    return _raced(sorted([*points, (own, entries, setting.folder / name)], key=lambda point: point[0]), setting)


def _raced(points: list[tuple[float, list[Entry], Path]], setting: Setting) -> Curve:
    """Each point a race of its own."""
    made: Curve = {engine: [] for engine in ENGINES}
    for at, entries, folder in points:
        rows = race(
            entries, folder, setting.mask, rounds=setting.rounds, seconds=setting.seconds * SHARE * len(entries)
        )
        for row in rows:
            if "median_ms" in row:
                made[row["engine"]].append((at, 1000 * row["batch"] / row["median_ms"]))
    return made
