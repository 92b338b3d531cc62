"""The daemon around the network: on a device of fixed latency beside a plain loop, and its costs on the simulator."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pipeline

from mlu_agent.client import Subscriber

if TYPE_CHECKING:
    from .measure import Setting

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCES = "1,4,16"
LATENCY_MS = 20.0
LOOP_SECONDS = 4.0
SETTLE_S = 4.0
# One picture after the other as the vendor's sample does it: copy in, invoke, wait, copy out, and its own work.
LOOP = """
import sys, time
import numpy as np
from mlu_agent.cnrt import open_library
from mlu_agent.engine import Engine
from mlu_agent.model.bundle import load_detection_bundle
from mlu_agent.postprocess import Postprocessor
from mlu_agent.preprocess import Preprocessor
spec = load_detection_bundle(sys.argv[1])
pixels = np.random.default_rng(0).integers(0, 256, (1080, 1920, 3), np.uint8)
prepare, read = Preprocessor(spec.input), Postprocessor(spec)
with Engine(open_library("simulator"), spec.path, cores=1, slots=1) as engine:
    count, begin = 0, time.perf_counter()
    while time.perf_counter() - begin < float(sys.argv[2]):
        slot = engine.acquire()
        place = prepare(pixels, slot.inputs[0][0])
        engine.submit(slot)
        done = engine.collect()
        read([output[0] for output in done.outputs], place, spec.thresholds)
        engine.release(done)
        count += 1
    print(count / (time.perf_counter() - begin))
"""


def fixed_latency(name: str, setting: Setting) -> dict[str, Any]:
    """benchmarks/pipeline.py, and a plain loop on the same device."""
    model = setting.folder / name / "ours-1.cambricon"
    file = setting.folder / "pipeline.json"
    program = [sys.executable, str(ROOT / "benchmarks" / "pipeline.py"), "--model", str(model), "--json", str(file)]
    options = ["--latency-ms", str(LATENCY_MS), "--sources", SOURCES, "--seconds", str(setting.seconds / 4)]
    quiet: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    subprocess.run([*program, *options], check=True, **quiet)
    with tempfile.TemporaryDirectory() as folder:
        copy, environment, _ = pipeline.fixed_device(Path(folder), model, LATENCY_MS)
        made = subprocess.run(
            [sys.executable, "-c", LOOP, str(copy), str(LOOP_SECONDS)],
            check=True, capture_output=True, text=True, env={**os.environ, **environment}, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    rows = json.loads(file.read_text(encoding="utf-8"))
    return {"model": name, "latency_ms": LATENCY_MS, "rows": rows, "loop_fps": float(made.stdout.split()[-1])}


def costs(name: str, setting: Setting) -> dict[str, Any]:
    """Of the daemon with one live source and the simulator: memory, and how soon the first detections come."""
    model = setting.folder / name / "ours-1.cambricon"
    with tempfile.TemporaryDirectory() as folder:
        begin = time.monotonic()
        camera = pipeline.live_sources(1, "640x480@25")
        with pipeline.running(Path(folder), model, {}, camera) as daemon, Subscriber(daemon.endpoint) as sub:
            while (message := sub.receive(30)) is not None and message["kind"] != "frame":
                pass
            first = time.monotonic() - begin
            end = time.monotonic() + SETTLE_S
            while time.monotonic() < end:
                sub.receive(0.1)
            return {"model": name, "rss_mib": daemon.resident_mb(), "first_message_s": first}


def calibration(name: str, setting: Setting) -> dict[str, Any] | None:
    """Seconds of ``mlu-export build`` with its defaults on 16 pictures; None without published weights and pictures."""
    from .networks import NETWORKS

    weights = NETWORKS[name].real(setting.weights)
    pictures = sorted(setting.pictures.iterdir())[:16] if setting.pictures else []
    if weights is None or len(pictures) < 16:
        return None
    with tempfile.TemporaryDirectory() as folder:
        chosen = Path(folder) / "pictures"
        chosen.mkdir()
        for picture in pictures:
            (chosen / picture.name).symlink_to(picture.resolve())
        options = ["--arch", NETWORKS[name].arch, "--weights", str(weights), "--calibration", str(chosen)]
        command = [sys.executable, "-m", "mlu_export.cli", "build", *options, "--output", str(Path(folder) / "out")]
        begin = time.monotonic()
        made = subprocess.run(command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if made.returncode:
            raise SystemExit(made.stderr[-500:])
        return {"model": name, "pictures": len(pictures), "seconds": time.monotonic() - begin}
