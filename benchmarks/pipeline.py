"""The whole daemon around a device of fixed latency: how much of the device's limit it reaches, and what it adds.

    python benchmarks/pipeline.py --model MODEL.cambricon [--latency-ms 20] [--sources 1,4,16] [--load 0.8]
                                  [--seconds 10] [--size 1920x1080] [--batch-wait-ms 0] [--json FILE]

The device is the simulator that computes nothing: every invocation takes the same time, by a profile of our own with
``pace`` (native/ABI.md, sections 10.2 and 10.3), on each of its four cores. Live synthetic sources deliver more than it
can take, then a share of it. Printed for each number of sources:

    share        frames/s at saturation, of cores / latency
    age          from capture to message at saturation, less the latency: median and 99th percentile, ms
    besides      the same at the asked load
    cpu          processor time of the process beside the threads that play the device, ms a frame, at the asked load
    rss          greatest resident memory, MiB
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlu_agent.client import Subscriber
from mlu_agent.model.bundle import load_bundle

if TYPE_CHECKING:
    from collections.abc import Iterator

CORES = 4
WARM_UP_S = 2.0
DEVICE_THREADS = ("cnrt-queue", "cnrt-compute")
PROFILE = """name = "a device of fixed latency"
device = "MLU220"
cores = {cores}
clock_mhz = 1000
macs_int8 = 1e6
macs_int16 = 1e6
macs_float = 1e6
efficiency = 1.0
bandwidth_gb_s = 1e5
memory_efficiency = 1.0
launch_us = {launch_us}
transfer_gb_s = 1e5
transfer_us = 0
pace = true
"""
ONCE = """
import sys
import numpy as np
from mlu_agent.cnrt import open_library
from mlu_agent.engine import Engine
with Engine(open_library("simulator"), sys.argv[1], cores=None, slots=1) as engine:
    for seed in range(2):
        slot = engine.acquire()
        for array in slot.inputs:
            array[...] = seed + 100
        engine.submit(slot)
        done = engine.collect()
        print(done.device_us)
        engine.release(done)
"""


def _once(model: Path, **environment: str) -> float:
    """Device time in microseconds of one invocation in a process of its own."""
    run = subprocess.run(
        [sys.executable, "-c", ONCE, str(model)],
        env={**os.environ, **environment}, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return float(run.stdout.split()[-1])


def fixed_device(folder: Path, model: Path, latency_ms: float) -> tuple[Path, dict[str, str], float]:
    """A copy of the model with recorded outputs, the environment in which each invocation takes about that time, and
    how many milliseconds that is."""
    copy = folder / model.name
    for path in model.parent.glob(model.stem + ".*"):
        shutil.copy(path, folder)
    profile = folder / "fixed.toml"
    profile.write_text(PROFILE.format(cores=CORES, launch_us=1.0))
    steps = _once(copy, CNRT_SIMULATOR_TIMING=str(profile), CNRT_SIMULATOR_COMPUTE="record")
    profile.write_text(PROFILE.format(cores=CORES, launch_us=round(latency_ms * 1000 / steps, 3)))
    environment = {"CNRT_SIMULATOR_TIMING": str(profile), "CNRT_SIMULATOR_COMPUTE": "0"}
    return copy, environment, _once(copy, **environment) / 1000


class Daemon:
    """``mlu-agent run`` with these tables of sources."""

    def __init__(
        self, folder: Path, model: Path, environment: dict[str, str], sources: str, wait_ms: float = 0
    ) -> None:
        config = folder / "agent.toml"
        text = f'[agent]\nbox = "b"\n[model]\npath = "{model}"\nruntime = "simulator"\nbatch_wait_ms = {wait_ms}\n'
        text += f'[publish]\nendpoint = "ipc://{folder}/socket"\n[service]\ngolden_interval_s = 0\n'
        config.write_text(text + sources)
        command = [sys.executable, "-m", "mlu_agent.cli", "run", "-c", str(config)]
        env = {**os.environ, **environment}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, env=env)
        self.endpoint = f"ipc://{folder}/socket"
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if '"ready"' in line:
                break
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def resident_mb(self) -> float:
        """The most so far."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+)", status)
        return int(found[1]) / 1024 if found else 0.0

    def seconds(self) -> float:
        """Processor time so far of the threads that do not play the device."""
        total = 0.0
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            with contextlib.suppress(OSError):  # it has ended
                name, _, _ = (task / "stat").read_text().partition("(")[2].rpartition(")")
                if not name.startswith(DEVICE_THREADS):
                    total += float((task / "schedstat").read_text().split()[0]) / 1e9
        return total

    def stop(self) -> None:
        """Ends it."""
        self.process.terminate()
        self.process.wait(30)


def live_sources(count: int, what: str) -> str:
    """The tables of so many synthetic sources."""
    return "".join(f'[[source]]\nid = "s{number}"\nsynthetic = "{what}"\nrealtime = true\n' for number in range(count))


@contextlib.contextmanager
def running(*arguments: Any) -> Iterator[Daemon]:
    """A daemon for as long as the context lasts."""
    daemon = Daemon(*arguments)
    try:
        yield daemon
    finally:
        daemon.stop()


def watch(daemon: Daemon, seconds: float, latency_ms: float) -> dict[str, float]:
    """What a subscriber sees for so long."""
    ages: list[float] = []
    with Subscriber(daemon.endpoint, kinds=["frame"]) as subscriber:
        end = time.monotonic() + WARM_UP_S
        while time.monotonic() < end:
            subscriber.receive(0.1)
        busy, begin = daemon.seconds(), time.monotonic()
        while time.monotonic() < begin + seconds:
            message = subscriber.receive(0.1)
            if message is not None:
                ages.append((time.time_ns() - message["t_capture_ns"]) / 1e6 - latency_ms)
        took, busy = time.monotonic() - begin, daemon.seconds() - busy
    ages.sort()
    return {
        "fps": len(ages) / took,
        "p50_ms": ages[len(ages) // 2],
        "p99_ms": ages[int(len(ages) * 0.99)],
        "cpu_ms": busy * 1000 / len(ages),
        "rss_mib": daemon.resident_mb(),
    }


def main() -> int:
    """Runs it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--latency-ms", type=float, default=20.0)
    parser.add_argument("--sources", default="1,4,16")
    parser.add_argument("--load", type=float, default=0.8)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--batch-wait-ms", type=float, default=0.0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model, environment, latency_ms = fixed_device(folder, arguments.model, arguments.latency_ms)
        limit = CORES * load_bundle(model).batch * 1000 / latency_ms
        for sources in map(int, arguments.sources.split(",")):
            row: dict[str, Any] = {"sources": sources, "latency_ms": latency_ms, "limit_fps": limit}
            for word, load in (("saturated", 1.5), ("loaded", arguments.load)):
                what = f"{arguments.size}@{max(1, round(limit * load / sources))}"
                cameras = live_sources(sources, what)
                with running(folder, model, environment, cameras, arguments.batch_wait_ms) as daemon:
                    row[word] = watch(daemon, arguments.seconds, latency_ms)
            rows.append(row)
            full, part = row["saturated"], row["loaded"]
            print(
                f"{sources:2} sources: share {full['fps'] / limit:.3f}, "
                f"age {full['p50_ms']:.1f} / {full['p99_ms']:.1f} ms, "
                f"besides {part['p50_ms']:.1f} / {part['p99_ms']:.1f} ms, cpu {part['cpu_ms']:.2f} ms a frame, "
                f"rss {max(full['rss_mib'], part['rss_mib']):.0f} MiB",
                flush=True,
            )
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
