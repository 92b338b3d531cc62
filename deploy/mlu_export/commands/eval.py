"""``mlu-export eval``: mAP of a model file on annotated pictures."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..evaluate import evaluate, evaluate_float
from .arguments import Number

if TYPE_CHECKING:
    import argparse


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("model", type=Path, metavar="MODEL.cambricon")
    parser.add_argument("--images", required=True, type=Path, metavar="DIR")
    parser.add_argument("--annotations", required=True, type=Path, metavar="FILE", help="COCO instances.json")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--runtime", default="auto", help="auto, device, simulator or the path of a library (default auto)"
    )
    parser.add_argument("--iou", type=Number(1.0), metavar="X", help="NMS IoU threshold (default: the manifest's)")
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


def run(arguments: argparse.Namespace) -> int:
    """Evaluates and prints the figures."""
    if arguments.float_weights is None:
        result = evaluate(arguments.model, arguments.images, arguments.annotations, arguments.runtime, arguments.iou)
    else:
        result = evaluate_float(
            arguments.model,
            arguments.float_weights,
            arguments.cfg,
            arguments.images,
            arguments.annotations,
            arguments.iou,
        )  # fmt: skip
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
    if arguments.json:
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
