"""``mlu-export quantize``: calibration alone, and what each layer loses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..build import Request
from ..quantize_report import quantize
from .arguments import Integer, Number, declare_model

if TYPE_CHECKING:
    import argparse


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    declare_model(parser)
    parser.add_argument(
        "--report",
        type=Path,
        metavar="FILE.json|FILE.html",
        help="write every layer's signal-to-noise ratio against float, as data or as a page with drawings (needs "
        "--calibration, also beside --recipe)",
    )
    parser.add_argument(
        "--propose",
        type=Number(150.0, "of dB "),
        metavar="DB",
        help="search the fewest layers to keep in int16 so that the outputs have that signal-to-noise ratio",
    )
    declare_knobs(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def declare_knobs(parser: argparse.ArgumentParser) -> None:
    """The options of the vendor's quantizer, by which its checkpoints can be had to the last bit."""
    parser.add_argument(
        "--iterations",
        type=Integer(1, 1 << 30),
        metavar="N",
        help="calibrate on the first N pictures, by name (default: all)",
    )
    parser.add_argument(
        "--use-avg",
        action="store_const",
        const=True,
        help="average the extremes of the pictures, the first counting twice, as the vendor's tool (with minmax)",
    )
    parser.add_argument(
        "--data-scale", type=Number(1e6), metavar="X", help="multiply all ranges (per channel: weights too) by X"
    )
    parser.add_argument(
        "--first-conv",
        action="store_const",
        const=True,
        help="the checkpoint's first convolution takes pixels 0..255 and normalises them itself",
    )


def run(arguments: argparse.Namespace) -> int:
    """Calibrates, writes recipe and checkpoint, and prints what was found."""
    values = {key: value for key, value in vars(arguments).items() if key not in ("run", "report", "propose", "json")}
    result = quantize(Request(**values), arguments.report, arguments.propose)
    print(result.json() if arguments.json else result.text())
    return 0
