"""``mlu-export standin``: a model of the simulator that computes for a device file."""

from __future__ import annotations

import argparse
import math
import re
from dataclasses import fields
from pathlib import Path

from mlu_agent.errors import UserError
from mlu_agent.model.offline_model import MAX_DIM, MAX_TENSOR, TensorInfo

from ..values.heads import HeadRequest
from ..values.pixels import CHANNEL_SOURCES
from ..workflows.request import Calibration, Files, Form, Pixels, Precision, Suppression, Workers, option_of
from ..workflows.standin import StandinRequest, make_standin
from .arguments import (
    Integer,
    declare_boxes,
    declare_json,
    declare_quantization,
    declare_weights,
    declare_workers,
    print_files,
    quantization_of,
    taken,
    wanted_of,
)

# Of these requests, and beside them, are the options that mean nothing without weights.
OF_WEIGHTS = (Files, Form, HeadRequest, Pixels, Suppression, Calibration, Precision, Workers)
BESIDE = ("recipe", "calibration", "learn")
SIZES = {"uint8": 1, "float16": 2, "float32": 4}


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("device_file", metavar="DEVICE_FILE", type=Path, help="a .cambricon of the vendor's compiler")
    parser.add_argument(
        "--output",
        "-o",
        required=True,
        type=Path,
        metavar="DIR",
        help="the folder of stand-ins",
    )
    declare_weights(parser)
    declare_quantization(parser)
    parser.add_argument("--name", help="what the stand-in's model is called (default: the arch)")
    parser.add_argument("--labels", type=Path, metavar="FILE", help="class names, where the weights do not hold them")
    parser.add_argument(
        "--channels", choices=tuple(CHANNEL_SOURCES), help="channel order of a uint8 input (default rgb or rgba)"
    )
    declare_boxes(parser)
    parser.add_argument(
        "--model", type=Path, metavar="FILE", help="instead of weights: a model that build, compile or run made"
    )
    parser.add_argument(
        "--random-weights",
        type=Integer(0, 1 << 31),
        metavar="SEED",
        help="where the weights are lost: a network of the file's shapes, whose numbers mean nothing",
    )
    for side in ("input", "output"):
        parser.add_argument(
            f"--{side}-tensor",
            type=tensor,
            action="append",
            default=[],
            metavar="SHAPE:TYPE",
            help=f"of a file before 2020, which does not say it: an {side}, as 1x224x224x3:float16; may be repeated",
        )
    declare_json(parser)
    declare_workers(parser)


def run(arguments: argparse.Namespace) -> int:
    """Makes it, and prints the paths of what was written."""
    _check_source(arguments)
    weights = any(getattr(arguments, name) is not None for name in ("arch", "weights", "recipe"))
    request = StandinRequest(
        arguments.device_file,
        arguments.output,
        wanted_of(arguments) if weights else None,
        quantization_of(arguments),
        taken(Workers, arguments),
        arguments.model,
        arguments.random_weights,
        tuple(arguments.input_tensor),
        tuple(arguments.output_tensor),
    )
    print_files(make_standin(request), arguments.json)
    return 0


def _check_source(arguments: argparse.Namespace) -> None:
    """UserError for options that are for weights, beside a source that is none."""
    sources = {"--model": arguments.model, "--random-weights": arguments.random_weights}
    source = next((option for option, value in sources.items() if value is not None), None)
    names = [*(one.name for kind in OF_WEIGHTS for one in fields(kind)), *BESIDE]
    said = [option_of(name) for name in names if getattr(arguments, name, None) is not None]
    if source is not None and said:
        raise UserError(f"{source} takes no weights, which {', '.join(said)} would be for: leave one of both out")


def tensor(text: str) -> TensorInfo:
    """``1x224x224x3:float16`` -> such a tensor, NHWC and without a name."""
    match = re.fullmatch(r"(\d{1,8}(?:x\d{1,8}){3}):(\w+)", text)
    shape = tuple(int(size) for size in match[1].split("x")) if match else (0,)
    dtype = match[2] if match else ""
    if dtype not in SIZES:
        raise argparse.ArgumentTypeError(f"{text!r:.80} is not NxHxWxC:TYPE with a TYPE of {', '.join(SIZES)}")
    if not 1 <= min(shape) <= max(shape) <= MAX_DIM:
        wrong = max(shape) if min(shape) else 0
        raise argparse.ArgumentTypeError(f"{text!r:.80} has an axis of {wrong}; each is 1 to {MAX_DIM}")
    size = math.prod(shape) * SIZES[dtype]
    if size > MAX_TENSOR:
        raise argparse.ArgumentTypeError(f"{text!r:.80} has {size} bytes; a tensor has at most {MAX_TENSOR}")
    return TensorInfo("", shape, dtype, "NHWC", size)
