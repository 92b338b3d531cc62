"""Command line of ``mlu-export``. Exit codes: 0 fine, 2 the user's mistake or bad data, 3 device or runtime failure."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlu_agent.errors import MluAgentError

from . import __version__
from .archs import ARCHS
from .lower import CHANNEL_SOURCES
from .observe import OBSERVERS

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; a user's mistake is one sentence on stderr, never a traceback."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except MluAgentError as error:
        print(f"mlu-export: {error}", file=sys.stderr)
        return int(error.exit_code)
    except MemoryError:
        print("mlu-export: not enough memory for a network of this size", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("mlu-export: interrupted; nothing was written", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mlu-export",
        description="Turns detector weights into quantized .cambricon models, and measures the file that ships.",
    )
    parser.add_argument("--version", action="version", version=f"mlu-export {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_build(commands.add_parser("build", help="weights in, model, side-car, manifest and recipe out"))
    _add_quantize(commands.add_parser("quantize", help="calibrate only: a recipe, and what each layer loses"))
    _add_eval(commands.add_parser("eval", help="mAP of a model file on annotated pictures"))
    _add_run(commands.add_parser("run", help="a porting script written for torch_mlu, without the vendor's SDK"))
    return parser


def _add_build(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_build)
    _add_model(parser)


def _add_quantize(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_quantize)
    _add_model(parser)
    parser.add_argument(
        "--report",
        type=Path,
        metavar="FILE.json",
        help="write every layer's signal-to-noise ratio against float (needs --calibration, also beside --recipe)",
    )
    parser.add_argument(
        "--propose",
        type=_Number(150.0, "of dB "),
        metavar="DB",
        help="search the fewest layers to keep in int16 so that the outputs have that signal-to-noise ratio",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _add_model(parser: argparse.ArgumentParser) -> None:
    """What build and quantize share: which network, how it is quantized, and where the files go."""
    path: dict[str, Any] = {"type": Path, "metavar": "FILE"}
    parser.add_argument("--arch", metavar="NAME", help=f"the network: {', '.join(ARCHS)}; a recipe knows its own")
    parser.add_argument(
        "--weights", required=True, **path, help="Darknet .weights or YOLOv5 .pt (read without running any code of it)"
    )
    parser.add_argument("--cfg", **path, help="Darknet description, instead of the built-in one")
    parser.add_argument(
        "--calibration", type=Path, metavar="DIR", help="folder of pictures; each layer's range is taken from them"
    )
    parser.add_argument(
        "--recipe", **path, help="rebuild with recorded ranges: no torch, no pictures; a file or a built-in name"
    )
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="where the files go")
    parser.add_argument("--name", help="name of the model and its files (default: the arch)")
    parser.add_argument("--labels", **path, help="class names, one a line, where the weights do not hold them")
    parser.add_argument(
        "--size", type=_size, metavar="N|WxH", help="input size in pixels (default: the network's own, YOLOv5 640)"
    )
    parser.add_argument(
        "--input", choices=("u8", "half", "float"), help="input type; u8 (default) normalises on the device"
    )
    parser.add_argument(
        "--channels", choices=tuple(CHANNEL_SOURCES), help="channel order of the input (default: rgba for u8, else rgb)"
    )
    parser.add_argument("--batch", type=_Integer(1, 1024), metavar="N", help="pictures per invocation (default 1)")
    parser.add_argument(
        "--core-number", type=_Integer(1, 64), metavar="N", help="cores per invocation: 1 (default), 4; MLU270 also 16"
    )
    parser.add_argument("--target", choices=("MLU220", "MLU270"), help="device (default MLU220)")
    parser.add_argument("--bits", type=int, choices=(8, 16), help="bits of quantized values (default 8)")
    parser.add_argument(
        "--observer",
        choices=OBSERVERS,
        help="range from calibration: heads (default: detections change least), mse (least error at each layer) or "
        "minmax (all that was seen, as the vendor's tool)",
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


def _add_eval(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_evaluate)
    parser.add_argument("model", type=Path, metavar="MODEL.cambricon")
    parser.add_argument("--images", required=True, type=Path, metavar="DIR")
    parser.add_argument("--annotations", required=True, type=Path, metavar="FILE", help="COCO instances.json")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--runtime", default="auto", help="auto, device, simulator or the path of a library (default auto)"
    )
    parser.add_argument("--iou", type=_Number(1.0), metavar="X", help="NMS IoU threshold (default: the manifest's)")
    parser.add_argument(
        "--float",
        type=Path,
        metavar="WEIGHTS",
        dest="float_weights",
        help="measure the float network of these weights instead (torch), with the model's own processing",
    )
    parser.add_argument(
        "--cfg", type=Path, metavar="FILE", help="with --float: the Darknet description, if one was given to build"
    )


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_run_script)
    parser.add_argument(
        "--trust-pickles",
        action="store_true",
        help="let torch.load run the code in a checkpoint (whole pickled models): only for files whose origin you know",
    )
    parser.add_argument("script", type=Path, metavar="SCRIPT.py")
    parser.add_argument(
        "arguments", nargs=argparse.REMAINDER, metavar="ARGUMENT", help="handed to the script as they are"
    )


def _build(options: argparse.Namespace) -> int:
    from .build import Request, build  # noqa: PLC0415 - `eval` and --help need none of it

    values = {key: value for key, value in vars(options).items() if key != "run"}
    for path in build(Request(**values)):
        print(path)
    return 0


def _quantize(options: argparse.Namespace) -> int:
    from .build import Request  # noqa: PLC0415 - as above
    from .quantize_report import quantize  # noqa: PLC0415

    values = {key: value for key, value in vars(options).items() if key not in ("run", "report", "propose", "json")}
    result = quantize(Request(**values), options.report, options.propose)
    print(result.json() if options.json else result.text())
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    from .evaluate import evaluate, evaluate_float  # noqa: PLC0415 - loads the runtime, which build does without

    if options.float_weights is None:
        result = evaluate(options.model, options.images, options.annotations, options.runtime, options.iou)
    else:
        result = evaluate_float(
            options.model, options.float_weights, options.cfg, options.images, options.annotations, options.iou
        )
    if result.unmatched:
        print(
            f"mlu-export: note: {len(result.unmatched)} labels are no categories of the annotations and do not count, "
            f"the first is {result.unmatched[0]!r}",
            file=sys.stderr,
        )
    if result.foreign:
        print(
            f"mlu-export: note: {result.foreign} annotations belong to no picture or category that the file lists "
            "and do not count",
            file=sys.stderr,
        )
    if options.json:
        print(
            json.dumps(
                {
                    "images": result.images,
                    "map50_95": result.map50_95,
                    "map50": result.map50,
                    "per_class": result.per_class,
                    "runtime": result.runtime,
                }
            )
        )
    else:
        print(f"{result.images} pictures on {result.runtime}: mAP50-95 {result.map50_95:.3f}, mAP50 {result.map50:.3f}")
    return 0


def _run_script(options: argparse.Namespace) -> int:
    from .compat.run import run_script  # noqa: PLC0415 - the other commands need none of it

    return run_script(options.script, options.arguments, options.trust_pickles)


def _size(text: str) -> tuple[int, int]:
    """``416`` or ``736x416`` (width x height) -> (height, width)."""
    parts: list[str] = text.lower().split("x")
    if len(parts) in (1, 2) and all(part.isascii() and part.isdigit() for part in parts):
        width, height = int(parts[0]), int(parts[-1])
        if all(32 <= side <= 8192 and side % 32 == 0 for side in (width, height)):
            return height, width
    raise argparse.ArgumentTypeError(f"{text!r} is not a multiple of 32 up to 8192, or two of them as WIDTHxHEIGHT")


class _Integer:
    """An argparse type: a whole number within bounds."""

    def __init__(self, low: int, high: int) -> None:
        self.low, self.high = low, high

    def __call__(self, text: str) -> int:
        if not (text.isascii() and text.isdigit() and self.low <= int(text[:9]) <= self.high):
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {self.low} to {self.high}")
        return int(text)


class _Number:
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


if __name__ == "__main__":
    sys.exit(main())
