"""Arguments that several commands share, and their types."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..archs import ARCHS
from ..files import sha256_hex
from ..lower import CHANNEL_SOURCES
from ..observe import OBSERVERS, USUAL_PERCENTILE

if TYPE_CHECKING:
    from collections.abc import Sequence


def declare_model(parser: argparse.ArgumentParser) -> None:
    """What the commands that make a model share: which network, how it is quantized, and where the files go."""
    declare_weights(parser)
    declare_quantization(parser)
    declare_output(parser)


def declare_weights(parser: argparse.ArgumentParser) -> None:
    """Which network."""
    path: dict[str, Any] = {"type": Path, "metavar": "FILE"}
    parser.add_argument("--arch", metavar="NAME", help=f"the network: {', '.join(ARCHS)}; a recipe knows its own")
    parser.add_argument(
        "--weights",
        required=True,
        **path,
        help="Darknet .weights, YOLOv5 .pt, or .pth of either (read without running any code of it)",
    )
    parser.add_argument("--cfg", **path, help="Darknet description, instead of the built-in one")


def declare_quantization(parser: argparse.ArgumentParser) -> None:
    """How it is quantized."""
    path: dict[str, Any] = {"type": Path, "metavar": "FILE"}
    parser.add_argument(
        "--calibration", type=Path, metavar="DIR", help="folder of pictures; each layer's range is taken from them"
    )
    parser.add_argument(
        "--recipe", **path, help="rebuild with recorded ranges: no torch, no pictures; a file or a built-in name"
    )
    parser.add_argument("--bits", type=int, choices=(8, 16), help="bits of quantized values (default 8)")
    parser.add_argument(
        "--observer",
        choices=OBSERVERS,
        help="range from calibration: heads (detections change least; the default for 8 bits), mse (least error at "
        "each layer), percentile, or minmax (all that was seen, as the vendor's tool; the default for 16 bits)",
    )
    parser.add_argument(
        "--percentile",
        type=Number(100.0, "of percent "),
        metavar="X",
        help=f"with --observer percentile: how many percent of the values a range holds (default {USUAL_PERCENTILE})",
    )
    parser.add_argument(
        "--per-tensor",
        action="store_const",
        const=False,
        dest="per_channel",
        help="one weight scale per layer instead of one per output channel",
    )
    for option, what in (("--keep-int16", "16 bits"), ("--keep-float", "float weights")):
        parser.add_argument(
            option,
            action="append",
            metavar="LAYER",
            help=f"this layer keeps {what}; may be given many times, * and ? match any text",
        )


def declare_output(parser: argparse.ArgumentParser) -> None:
    """What the files are, and where they go."""
    path: dict[str, Any] = {"type": Path, "metavar": "FILE"}
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="where the files go")
    parser.add_argument("--name", help="name of the model and its files (default: the arch)")
    parser.add_argument("--labels", **path, help="class names, one a line, where the weights do not hold them")
    parser.add_argument(
        "--size", type=size, metavar="N|WxH", help="input size in pixels (default: the network's own, YOLOv5 640)"
    )
    parser.add_argument(
        "--input", choices=("u8", "half", "float"), help="input type; u8 (default) normalises on the device"
    )
    parser.add_argument(
        "--channels", choices=tuple(CHANNEL_SOURCES), help="channel order of the input (default: rgba for u8, else rgb)"
    )
    parser.add_argument("--batch", type=Integer(1, 1024), metavar="N", help="pictures per invocation (default 1)")
    parser.add_argument(
        "--core-number", type=Integer(1, 64), metavar="N", help="cores per invocation: 1 (default), 4; MLU270 also 16"
    )
    parser.add_argument("--target", choices=("MLU220", "MLU270"), help="device (default MLU220)")


def declare_json(parser: argparse.ArgumentParser) -> None:
    """``--json``, as every command has it."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def print_files(paths: Sequence[Path], as_json: bool) -> None:
    """The paths that were written, one a line; or as JSON, with digests."""
    if not as_json:
        for path in paths:
            print(path)
        return
    files = [{"path": str(path), "sha256": sha256_hex(path.read_bytes())} for path in paths]
    print(json.dumps({"schema": 1, "files": files}))


def declare_workers(parser: argparse.ArgumentParser) -> None:
    """Who does the work on pictures; the figures are the same in any case."""
    parser.add_argument(
        "--workers",
        type=Integer(1, 4096),
        metavar="N",
        help="processes that share the pictures (default: one for each processor where there are many pictures)",
    )
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="share the pictures on that Ray cluster, which sees the files at the same paths; local starts one here",
    )


def size(text: str) -> tuple[int, int]:
    """``416`` or ``736x416`` (width x height) -> (height, width)."""
    parts: list[str] = text.lower().split("x")
    if len(parts) in (1, 2) and all(part.isascii() and part.isdigit() for part in parts):
        width, height = int(parts[0]), int(parts[-1])
        if all(32 <= side <= 8192 and side % 32 == 0 for side in (width, height)):
            return height, width
    raise argparse.ArgumentTypeError(f"{text!r} is not a multiple of 32 up to 8192, or two of them as WIDTHxHEIGHT")


class Integer:
    """An argparse type: a whole number within bounds."""

    def __init__(self, low: int, high: int) -> None:
        self.low, self.high = low, high

    def __call__(self, text: str) -> int:
        if not (text.isascii() and text.isdigit() and self.low <= int(text[:9]) <= self.high):
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {self.low} to {self.high}")
        return int(text)


class Number:
    """An argparse type: a number above 0 and up to a bound."""

    def __init__(self, high: float, unit: str = "") -> None:
        self.high, self.unit = high, unit

    def __call__(self, text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not 0.0 < value <= self.high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number {self.unit}above 0 and up to {self.high:g}")
        return value
