"""Arguments that several commands share, and their types."""

from __future__ import annotations

import argparse
import json
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mlu_agent.model.bundle import MAX_PIXEL, SMALLEST_DEVIATION
from mlu_agent.model.output_spec import ACTIVATIONS, DECODES

from ..calibration.observe import OBSERVERS, USUAL_PERCENTILE
from ..importers.darknet.archs import ARCHS
from ..lowering.detection_output import DTYPES as DETECTION_DTYPES, MOST_BOXES, NONE as NO_OPERATOR, USUAL_BOXES
from ..support.files import sha256_hex
from ..values.heads import AUTO, NONE, Anchors, HeadRequest, parse_anchors
from ..values.pixels import CHANNEL_SOURCES, COLOURS, INPUT_DTYPES
from ..values.targets import CORE_NUMBERS
from ..workflows.request import Calibration, Files, Form, Pixels, Precision, Quantization, Suppression, Wanted

if TYPE_CHECKING:
    from collections.abc import Sequence

Part = TypeVar("Part")


def taken(kind: type[Part], arguments: argparse.Namespace, **more: Any) -> Part:
    """A part of a request, its fields by the names of their options; what was not said keeps its default."""
    given = {field.name: getattr(arguments, field.name, None) for field in fields(kind)}  # type: ignore[arg-type]
    return kind(**{key: value for key, value in {**given, **more}.items() if value is not None})


def wanted_of(arguments: argparse.Namespace) -> Wanted:
    """Which model is wanted, by the options of ``declare_weights`` and ``declare_output``."""
    return Wanted(
        taken(Files, arguments),
        taken(Form, arguments),
        taken(HeadRequest, arguments),
        taken(Pixels, arguments),
        taken(Suppression, arguments),
    )


def quantization_of(arguments: argparse.Namespace) -> Quantization:
    """Where ranges come from, by the options of ``declare_quantization``."""
    calibration = taken(Calibration, arguments, pictures=arguments.calibration)
    return Quantization(arguments.recipe, calibration, taken(Precision, arguments), getattr(arguments, "learn", None))


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
        **path,
        help="Darknet .weights, YOLOv5 .pt, or .pth of either (read without running any code of it), or .onnx",
    )
    parser.add_argument("--cfg", **path, help="Darknet description, instead of the built-in one")
    declare_network(parser)


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
        help="range from calibration: auto (of mse, error2.5, percentiles and minmax the one whose heads are nearest "
        "to float's on pictures held out; the default for 8 bits), mse (least error at each layer; the default without "
        "heads), error2.5 (clips less), percentile, minmax (all that was seen, as the vendor's tool; the default for "
        "16 bits), or heads (tries ranges layer by layer on few pictures: slow, and mostly worse than mse on others)",
    )
    parser.add_argument(
        "--percentile",
        type=Number(100.0, "of percent "),
        metavar="X",
        help=f"with --observer percentile: how many percent of the values a range holds (default {USUAL_PERCENTILE})",
    )
    parser.add_argument(
        "--learn",
        nargs="?",
        const=0,
        type=Integer(1, 1 << 20),
        metavar="VIEWS",
        help="learn weights that round to better integers, from so many views of the --calibration pictures (default: "
        "as many as one processor does in some thirteen minutes); it is kept if it gains on other pictures",
    )
    parser.add_argument(
        "--per-tensor",
        action="store_const",
        const=False,
        dest="per_channel",
        help="one weight scale per layer instead of one per output channel",
    )
    auto = (
        ", and auto or auto:PERCENT chooses layers with so much of the multiplications (10) on --calibration pictures"
    )
    for option, what, more in (("--keep-int16", "16 bits", auto), ("--keep-float", "float weights", "")):
        parser.add_argument(
            option,
            action="append",
            metavar="LAYER",
            help=f"this layer keeps {what}; may be given many times, * and ? match any text{more}",
        )


def declare_output(parser: argparse.ArgumentParser) -> None:
    """What the files are, and where they go."""
    path: dict[str, Any] = {"type": Path, "metavar": "FILE"}
    parser.add_argument("--output", "-o", required=True, type=Path, metavar="DIR", help="where the files go")
    parser.add_argument("--name", help="name of the model and its files (default: the arch)")
    parser.add_argument("--labels", **path, help="class names, one a line, where the weights do not hold them")
    parser.add_argument(
        "--size", type=size, metavar="N|WxH", help="input size in pixels (default: the network's own, YOLOv5 640)"
    )
    parser.add_argument(
        "--input", choices=tuple(INPUT_DTYPES), help="input type; u8 (default) normalises on the device"
    )
    parser.add_argument(
        "--channels", choices=tuple(CHANNEL_SOURCES), help="channel order of the input (default: rgba for u8, else rgb)"
    )
    parser.add_argument("--batch", type=Integer(1, 1024), metavar="N", help="pictures per invocation (default 1)")
    parser.add_argument(
        "--core-number", type=Integer(1, 64), metavar="N", help="cores per invocation: 1 (default), 4; MLU270 also 16"
    )
    parser.add_argument("--target", choices=tuple(CORE_NUMBERS), help="device (default MLU220)")
    parser.add_argument(
        "--flat",
        action="store_const",
        const=True,
        help="describe outputs of one row of numbers a picture with two axes, as 1 1000, instead of 1 1 1 1000",
    )
    declare_boxes(parser)


def declare_boxes(parser: argparse.ArgumentParser) -> None:
    """Where boxes are found, and which."""
    parser.add_argument(
        "--detection-output",
        nargs="?",
        const="f16",
        choices=(*DETECTION_DTYPES, NO_OPERATOR),
        help="end the network in the vendor's operator, which finds the boxes on the device: one row of f16 (the "
        "default, as devices give it) or f32 numbers a picture; none: heads, whatever the recipe says",
    )
    parser.add_argument(
        "--max-boxes",
        type=Integer(1, MOST_BOXES),
        metavar="N",
        help=f"with --detection-output: boxes that its row has room for (default {USUAL_BOXES})",
    )
    parser.add_argument(
        "--confidence",
        type=Number(1.0),
        metavar="X",
        help="least of a box (default 0.25); --detection-output drops the others on the device",
    )
    parser.add_argument(
        "--iou", type=Number(1.0), metavar="X", help="of boxes of one class from which on the weaker one is suppressed"
    )


def declare_network(parser: argparse._ActionsContainer) -> None:
    """What an ONNX file or a module does not say itself."""
    parser.add_argument(
        "--module", metavar="FILE.py:FUNCTION", help="with --arch module: your function that returns the torch module"
    )
    parser.add_argument(
        "--outputs", type=names, metavar="NAME,NAME", help="end the network at these tensors (a module: its parts)"
    )
    parser.add_argument(
        "--decode",
        choices=(AUTO, NONE, *DECODES),
        help="the outputs are detection heads of this kind; auto (the default) finds them before a network's own "
        "decoding, none keeps the outputs as they are",
    )
    parser.add_argument(
        "--classify",
        choices=ACTIVATIONS,
        help="the output has a number per label, to which this is still to be applied (none: it is a confidence)",
    )
    parser.add_argument(
        "--anchors", type=anchors, metavar="W,H,W,H/W,H,…", help="with --decode: pixels, heads in output order"
    )
    parser.add_argument(
        "--strides", type=strides, metavar="N,N,N", help="with --decode of heads without anchors: their levels'"
    )
    parser.add_argument(
        "--keypoints",
        type=strides,
        metavar="N,D",
        help="with --decode yolov8-pose: how many, and 2 (x, y) or 3 (with visibility) numbers of each",
    )
    parser.add_argument(
        "--resize", choices=("letterbox", "stretch"), help="how a picture is brought to the input's size"
    )
    parser.add_argument("--mean", type=three, metavar="A,B,C", help="of pixels 0..255, subtracted (default 0,0,0)")
    parser.add_argument(
        "--std", type=deviations, metavar="A,B,C", help="of pixels 0..255, divided by (default 255,255,255)"
    )
    parser.add_argument("--colours", choices=COLOURS, help="the order that the network was trained with (rgb)")


def names(text: str) -> tuple[str, ...]:
    """``a,b`` -> its parts."""
    parts = tuple(part.strip() for part in text.split(","))
    if not all(parts) or len(set(parts)) != len(parts):
        raise argparse.ArgumentTypeError(f"{text!r:.80} is not a list of different names with commas between them")
    return parts


def anchors(text: str) -> Anchors:
    """``10,13,16,30/30,61`` -> pairs per head."""
    try:
        return parse_anchors(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r:.80} is not width,height,width,height… in pixels, the heads apart by '/'"
        ) from None


def strides(text: str) -> tuple[int, ...]:
    """``8,16,32`` -> the numbers."""
    return tuple(Integer(1, 1024)(part) for part in text.split(","))


def three(text: str) -> tuple[float, float, float]:
    """``0.5,1,2`` -> the numbers; one number counts for all three."""
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    values = values * 3 if len(values) == 1 else values
    if len(values) != 3 or not all(abs(value) <= MAX_PIXEL for value in values):
        raise argparse.ArgumentTypeError(f"{text!r:.80} is not three numbers with commas between them")
    return values[0], values[1], values[2]


def deviations(text: str) -> tuple[float, float, float]:
    """``0.5,1,2`` -> the numbers, to divide by."""
    values = three(text)
    if min(values) < SMALLEST_DEVIATION:
        raise argparse.ArgumentTypeError(
            f"{text!r:.80} must be above 0: pixels are divided by it (from {SMALLEST_DEVIATION:g} on)"
        )
    return values


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


def size(text: str) -> tuple[int, int]:
    """``416`` or ``736x416`` (width x height) -> (height, width)."""
    parts: list[str] = text.lower().split("x")
    if len(parts) in (1, 2) and all(part.isascii() and part.isdigit() for part in parts):
        width, height = int(parts[0]), int(parts[-1])
        if all(8 <= side <= 8192 for side in (width, height)):
            return height, width
    raise argparse.ArgumentTypeError(f"{text!r} is not a number from 8 to 8192, or two of them as WIDTHxHEIGHT")


MAX_DIGITS = 20


class Integer:
    """An argparse type: a whole number within bounds."""

    def __init__(self, low: int, high: int) -> None:
        self.low, self.high = low, high

    def __call__(self, text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS and self.low <= int(text) <= self.high):
            raise argparse.ArgumentTypeError(f"{text!r:.80} is not a whole number from {self.low} to {self.high}")
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
