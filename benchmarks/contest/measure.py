"""The parts of the whole measurement; each returns what is kept in the results (JSON)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import heads
from .processor import Processor, masked
from .race import Entry, race

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
ALWAYS = (
    "ours", "onnxruntime int8", "onnxruntime float", "openvino int8", "openvino float", "ncnn int8", "ncnn float",
)  # fmt: skip
# Those that are far behind everywhere are asked once; bfloat16 is where the processor has it; and what ONNX Runtime has
# for processors where 8 bits saturate is raced there.
ONLY = {
    "all": ("openvino bfloat16", "opencv float", "torch float"),
    "avx512vnni": ("openvino bfloat16",),
    "avx2": ("onnxruntime 7 bits", "onnxruntime exact"),
}
ALONE = ("ncnn float", "opencv float", "torch float")  # with one thread: nobody is nearer to them with two
QUANTIZED = ("ours", "onnxruntime int8", "onnxruntime 7 bits", "openvino int8", "ncnn int8")
PROFILE_RUNS = 12
NEIGHBOURS = ("ours", "onnxruntime int8", "openvino int8", "ncnn int8", "torch float")


@dataclass(frozen=True)
class Setting:
    """What all parts take: where files are made, what is hidden with, and how long one race may be."""

    folder: Path
    mask: Path | None
    processors: list[Processor]
    threads: tuple[int, ...]
    rounds: int
    seconds: float
    weights: Path | None
    pictures: Path | None
    labelled: Path | None = None


def network(name: str, setting: Setting) -> dict[str, Any]:
    """All contenders of one network, on every processor that can be shown, with every number of threads."""
    options = [str(HERE / "prepare.py"), name, str(setting.folder)]
    for option, value in (("--weights", setting.weights), ("--pictures", setting.pictures)):
        options += [option, str(value)] if value else []
    with (setting.folder / f"{name}.log").open("w") as log:
        subprocess.run([sys.executable, *options], check=True, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    folder = setting.folder / name
    told: dict[str, Any] = {"weights": "published" if _is_real(name, setting) else "random", "races": [], "profile": {}}
    for processor in setting.processors:
        entries = [
            Entry(engine, threads, processor.name)
            for threads in setting.threads
            for engine in (*ALWAYS, *ONLY.get(processor.name, ()))
            if threads == 1 or engine not in ALONE
        ]
        told["races"] += race(
            entries,
            folder,
            setting.mask,
            rounds=setting.rounds,
            seconds=setting.seconds,
            heads=folder / "heads" / processor.name,
        )
        told["profile"][processor.name] = profile(folder / "ours-1.cambricon", processor.name, setting.mask)
    plain = Entry("ours", 1, "all", "reference")
    race([plain], folder, setting.mask, rounds=0, seconds=0, heads=folder / "heads" / "reference")
    names = [processor.name for processor in setting.processors]
    told["heads"] = heads.compare(folder / "heads", names, list(QUANTIZED))
    return told


def _is_real(name: str, setting: Setting) -> bool:
    from .networks import NETWORKS

    return NETWORKS[name].real(setting.weights) is not None


def profile(model: Path, processor: str, mask: Path | None) -> dict[str, Any]:
    """The simulator's own profile of one thread: which table, and each step."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, **masked(processor, mask)}
        file = Path(folder) / "profile.json"
        command = [sys.executable, str(ROOT / "benchmarks" / "layers.py"), str(model), str(PROFILE_RUNS)]
        subprocess.run(
            [*command, "--json", str(file)], check=True, env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        told: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return told


def limits(setting: Setting, milliseconds: int = 200) -> dict[str, Any]:
    """What one core can do at most: bench_limits, built as the wheel is."""
    build = setting.folder / "native"
    for command in (
        ["cmake", "-S", str(ROOT / "native"), "-B", str(build), "-DCMAKE_BUILD_TYPE=Release"],
        ["cmake", "--build", str(build), "--target", "bench_limits", "-j", str(os.cpu_count() or 1)],
    ):
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    (program,) = [path for path in build.rglob("bench_limits") if path.is_file() and os.access(path, os.X_OK)]
    made = subprocess.run([str(program), str(milliseconds)], check=True, capture_output=True, text=True)
    told: dict[str, Any] = {"limits": {}, "products": []}
    for line in made.stdout.splitlines():
        kind, *fields = line.split()
        if kind == "limit" and len(fields) >= 3:
            told["limits"][" ".join(fields[:-2])] = {"value": float(fields[-2]), "unit": fields[-1]}
        elif kind == "products" and len(fields) >= 5:  # the last is the share of the table's instruction
            shape = " ".join(fields[1:-3])
            told["products"].append({"table": fields[0], "shape": shape, "gmacs": float(fields[-3])})
    return told


def neighbour(name: str, setting: Setting) -> list[dict[str, Any]]:
    """Two threads, alone and beside a process that keeps one of the processors busy, which this one is pinned to."""
    entries = [Entry(engine, 2, "all") for engine in NEIGHBOURS]
    folder = setting.folder / name
    options = {"rounds": setting.rounds, "seconds": setting.seconds / 2}
    alone = race(entries, folder, setting.mask, **options)  # type: ignore[arg-type]
    cpu = max(os.sched_getaffinity(0))
    program = f"import os\nos.sched_setaffinity(0, {{{cpu}}})\nwhile os.getppid() == {os.getpid()}:\n    pass\n"
    busy = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.DEVNULL)
    try:
        beside = race(entries, folder, setting.mask, **options)  # type: ignore[arg-type]
    finally:
        busy.kill()
        busy.wait()
    return [{**one, "beside_ms": other.get("median_ms")} for one, other in zip(alone, beside)]
