"""``mlu-export quantize``: calibration alone, and what each layer loses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlu_agent.errors import UserError

from ..workflows.quantize import quantize
from ..workflows.request import Knobs, QuantizeRequest, Workers
from ..workflows.search import Target
from .arguments import Integer, Number, declare_model, declare_workers, quantization_of, taken, wanted_of
from .report_file import check_report

if TYPE_CHECKING:
    import argparse


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    declare_model(parser)
    declare_workers(parser)
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
    parser.add_argument(
        "--propose-map",
        type=Number(1.0),
        metavar="LOSS",
        help="search the fewest layers to keep in int16 so that mAP50-95 is at most LOSS below float's, measured on "
        "--images and --annotations; the recipe holds them",
    )
    parser.add_argument("--images", type=Path, metavar="DIR", help="annotated pictures, for --propose-map")
    parser.add_argument("--annotations", type=Path, metavar="FILE", help="their COCO instances.json")
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
    check_report(arguments)
    request = QuantizeRequest(
        wanted_of(arguments),
        arguments.output,
        quantization_of(arguments),
        taken(Knobs, arguments),
        taken(Workers, arguments),
    )
    result = quantize(request, arguments.report, arguments.propose, _target(arguments), arguments.words)
    print(result.json() if arguments.json else result.text())
    return 0


def _target(arguments: argparse.Namespace) -> Target | None:
    given = (arguments.images, arguments.annotations)
    if arguments.propose_map is None:
        if given != (None, None):
            raise UserError("--images and --annotations are for --propose-map LOSS")
        return None
    if None in given:
        raise UserError("--propose-map measures accuracy: give --images DIR and --annotations FILE")
    return Target(arguments.propose_map, *given)
