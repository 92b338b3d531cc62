"""Sixteen sources that want more than the device can do: who gets what.

    python benchmarks/shares.py --model MODEL.cambricon [--latency-ms 40] [--seconds 30] [--min-fps 4] [--json FILE]

Before a device of fixed latency (``benchmarks/pipeline.py`` tells how) stand cameras of 25 frames a second with the
priorities 1 to 3, each promised ``min_fps``; among them one of 100 frames a second, one that is broken, one that is
slow (1 a second) and a folder of pictures, which always has one. Printed of each source, as it counts itself, are the
frames a second that it delivered, that were looked at and that gave way, and how many its minimum missed. The exit code
is 1 if a source that delivers did not get its minimum.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from pipeline import CORES, WARM_UP_S, fixed_device, running

from mlu_agent.client import Subscriber

if TYPE_CHECKING:
    from collections.abc import Mapping

SOURCES = 16
CAMERA_FPS, FAST_FPS, SLOW_FPS = 25, 100, 1
FAST, BROKEN, SLOW, FILE = 0, 5, 10, 15
HARDLY = 0.95  # a rate is measured between two messages of a source, a second apart from each other


@dataclass(frozen=True)
class Wish:
    """A source of the benchmark: its table, and what it asks of the device."""

    name: str
    what: str
    place: str
    priority: int
    offered_fps: float


def wishes(size: str, pictures: Path) -> list[Wish]:
    """All sixteen."""
    found = []
    for number in range(SOURCES):
        what, fps = f"{CAMERA_FPS} a second", float(CAMERA_FPS)
        if number in (FAST, SLOW):
            fps = float(FAST_FPS if number == FAST else SLOW_FPS)
            what = f"{fps:g} a second"
        place = f'synthetic = "{size}@{fps:g}"\nrealtime = true'
        if number == BROKEN:
            what, fps, place = "broken", 0.0, 'url = "rtsp://127.0.0.1:9/none"'
        elif number == FILE:
            what, fps, place = "a folder", float("inf"), f'path = "{pictures}"\nloop = true'
        found.append(Wish(f"s{number:02}", what, place, 1 + number % 3, fps))
    return found


def make_pictures(folder: Path) -> Path:
    """A folder with a few small pictures."""
    folder.mkdir()
    for number in range(8):
        noise = np.random.default_rng(number).integers(0, 255, (90, 160, 3), np.uint8)
        cv2.imwrite(str(folder / f"{number}.jpg"), noise)
    return folder


def watch(endpoint: str, seconds: float) -> dict[str, dict[str, float]]:
    """Of each source what its counters grew by in a second, and how long it was looked at."""
    first: dict[str, Mapping[str, Any]] = {}
    last: dict[str, Mapping[str, Any]] = {}
    begin = time.monotonic() + WARM_UP_S
    with Subscriber(endpoint, kinds=["state"]) as subscriber:
        while time.monotonic() < begin + seconds:
            message = subscriber.receive(0.2)
            if message is None or time.monotonic() < begin:
                continue
            first.setdefault(message["source"], message)
            last[message["source"]] = message
    rates = {}
    for name, message in last.items():
        took = (message["t_publish_ns"] - first[name]["t_publish_ns"]) / 1e9
        before = first[name]["counters"]
        rates[name] = {key: (value - before.get(key, 0)) / took for key, value in message["counters"].items()}
        rates[name]["minimum_missed"] = message["counters"].get("minimum_missed", 0)
    return rates


def main() -> int:
    """Runs it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--latency-ms", type=float, default=40.0)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--min-fps", type=float, default=4.0)
    parser.add_argument("--size", default="320x180")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model, environment, latency_ms = fixed_device(folder, arguments.model, arguments.latency_ms)
        wanted = wishes(arguments.size, make_pictures(folder / "pictures"))
        tables = "".join(
            f'[[source]]\nid = "{wish.name}"\n{wish.place}\npriority = {wish.priority}\nmin_fps = {arguments.min_fps}\n'
            for wish in wanted
        )
        with running(folder, model, environment, tables) as daemon:
            rates = watch(daemon.endpoint, arguments.seconds)
    rows = [row(wish, rates[wish.name], arguments.min_fps) for wish in wanted]
    print(f"{CORES} cores, {latency_ms:.1f} ms an invocation: {CORES * 1000 / latency_ms:.0f} frames a second at most")
    print("source  what           priority  promised  delivered/s  looked at/s  gave way/s  missed")
    for one in rows:
        asked = f"{one['source']:6}  {one['what']:13}  {one['priority']:8}  {one['promised']:8g}"
        got = f"{one['delivered']:11.2f}  {one['got']:11.2f}  {one['dropped']:10.2f}  {one['missed']:6}"
        print(f"{asked}  {got}{'' if one['kept'] else '  TOO FEW'}")
    print(f"all     {sum(one['got'] for one in rows):61.2f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0 if all(one["kept"] for one in rows) else 1


def row(wish: Wish, rates: Mapping[str, float], promised: float) -> dict[str, Any]:
    """What is printed of one source."""
    got = rates["published"]
    return {
        "source": wish.name,
        "what": wish.what,
        "priority": wish.priority,
        "promised": promised,
        "delivered": rates["frames_read"],
        "got": got,
        "dropped": rates.get("dropped_newer_frame", 0.0),
        "missed": rates["minimum_missed"],
        "kept": got >= HARDLY * min(promised, wish.offered_fps),
    }


if __name__ == "__main__":
    sys.exit(main())
