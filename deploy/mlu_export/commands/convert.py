"""``mlu-export convert``: weights in, a float state dict out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..importers.darknet.archs import ARCHS
from ..importers.darknet.values import LAYOUTS
from ..workflows.convert import convert

if TYPE_CHECKING:
    import argparse

OWN = tuple(arch.name for arch in ARCHS.values() if arch.family in ("darknet", "yolov5"))


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("--arch", required=True, metavar="NAME", help=f"the network: {', '.join(OWN)}")
    parser.add_argument(
        "--weights",
        required=True,
        type=Path,
        metavar="FILE",
        help="Darknet .weights, YOLOv5 .pt or a .pth (read without running any code of it)",
    )
    parser.add_argument("--cfg", type=Path, metavar="FILE", help="Darknet description, instead of the built-in one")
    parser.add_argument("--output", "-o", required=True, type=Path, metavar="FILE.pth", help="the file to write")
    parser.add_argument(
        "--layout",
        choices=tuple(LAYOUTS),
        default="vendor",
        help="keys of a Darknet network: module_list.0.Conv2d (vendor, default) or module_list.0.conv_0 (upstream)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Converts, and prints the path of what was written."""
    done = convert(arguments.arch, arguments.weights, arguments.cfg, arguments.output, arguments.layout)
    for note in done.notes:
        print(f"mlu-export: note: {note}", file=sys.stderr)
    if arguments.json:
        print(json.dumps({"output": str(done.path), "tensors": done.tensors, "values": done.values}))
    else:
        print(done.path)
    return 0
