"""The options of ``mlu-agent adopt`` that become a Request."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING, Any, Callable

from ..errors import UserError
from ..model.bundle import CHANNELS, MAX_PIXEL, RESIZES, SMALLEST_DEVIATION
from ..model.output_spec import MAX_KEYPOINTS, MAX_REG
from .anchor_sets import ANCHOR_SETS
from .families import FAMILIES
from .labels import read_labels
from .outputs import MAX_STRIDE
from .values import Request

if TYPE_CHECKING:
    from .values import Pairs, Triple

MAX_SIDE = 1e5
MOST = 16  # heads, and anchors of each
FIELDS = ("classes", "objectness", "angle", "none")


def declare_options(parser: argparse.ArgumentParser) -> None:
    """What only the user can say of a file."""
    parser.add_argument(
        "--as", dest="family", choices=tuple(FAMILIES), help="what the network is; without it: what would fit"
    )
    parser.add_argument("--labels", metavar="FILE", help="names of the classes, one a line; or coco, voc, face")
    parser.add_argument(
        "--anchors", metavar="NAME|W,H,W,H/W,H,…", help=f"pixels, heads in output order; or {', '.join(ANCHOR_SETS)}"
    )
    parser.add_argument("--strides", type=_numbers(1, MAX_STRIDE, int), metavar="N,N,N", help="of the levels")
    parser.add_argument(
        "--outputs", type=_numbers(0, 63, int), metavar="N,N", help="the outputs that are heads, from 0, in their order"
    )
    parser.add_argument("--channels", choices=CHANNELS, help="how the input's channels lie")
    parser.add_argument(
        "--mean", type=_three(-MAX_PIXEL), metavar="N,N,N", help="of float inputs: (pixel - mean) / std"
    )
    parser.add_argument("--std", type=_three(SMALLEST_DEVIATION), metavar="N,N,N", help="pixels are 0 to 255")
    parser.add_argument("--resize", choices=RESIZES, help="how a picture is brought to the input's size")
    parser.add_argument("--pad", dest="pad_value", type=_whole(0, 255), metavar="N", help="grey of the border")
    parser.add_argument("--coordinates", choices=("normalized", "pixels"), help="of an on-device detection output")
    parser.add_argument(
        "--activated",
        type=_fields,
        metavar="FIELD,FIELD",
        help="probabilities already: classes, objectness; radians: angle; none",
    )
    _declare_rare(parser)


def _declare_rare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--reg-max", type=_whole(1, MAX_REG), metavar="N", help="of yolov8: numbers of a box's side")
    parser.add_argument(
        "--keypoints",
        type=_numbers(1, MAX_KEYPOINTS, int),
        metavar="N,D",
        help="of yolov8-pose: how many, 2 or 3 (17,3)",
    )
    parser.add_argument(
        "--scale-x-y", type=_numbers(1, 4), metavar="S", help="of yolov3 and yolov4: one, or one per head"
    )
    parser.add_argument(
        "--variances", type=_numbers(1e-3, 100.0), metavar="V,V", help="of ssd and retinaface (0.1,0.2)"
    )
    parser.add_argument(
        "--activation", choices=("none", "softmax", "sigmoid"), help="of classify: what is to be applied"
    )
    parser.add_argument("--top", type=_whole(1, 1000), metavar="N", help="of classify: most classes told (5)")
    parser.add_argument("--confidence", type=_share, metavar="C", help="least confidence, 0 to 1")
    parser.add_argument("--iou", type=_share, metavar="I", help="overlap above which boxes of a class are one, 0 to 1")
    parser.add_argument("--max-detections", type=_whole(1, 10000), metavar="N", help="most boxes per picture (300)")


def request_of(arguments: argparse.Namespace) -> Request:
    """The Request of the arguments, "" being a family that was not given. DataError, UserError of the labels' file."""
    anchors, name = _anchors(arguments.anchors) if arguments.anchors else ((), "")
    given: dict[str, Any] = {
        key: value
        for key, value in vars(arguments).items()
        if key in Request.__dataclass_fields__ and value is not None and key not in ("labels", "anchors", "family")
    }
    labels = read_labels(arguments.labels) if arguments.labels else ()
    return Request(arguments.family or "", labels=labels, anchors=anchors, anchor_set=name, **given)


def _anchors(text: str) -> tuple[tuple[Pairs, ...], str]:
    """The pairs, or the set's name."""
    if text in ANCHOR_SETS:
        return (), text
    try:
        heads = [[float(side) for side in head.split(",")] for head in text.split("/")]
    except ValueError:
        heads = [[]]
    if len(heads) > MOST or not all(_is_pairs(head) for head in heads):
        raise UserError(
            f"--anchors {text!r:.60} is neither a known set ({', '.join(ANCHOR_SETS)}) nor pairs W,H,W,H of sides "
            "above 0, heads apart by '/'"
        )
    return tuple(tuple(zip(head[::2], head[1::2])) for head in heads), ""


def _is_pairs(sides: list[float]) -> bool:
    return 2 <= len(sides) <= 2 * MOST and len(sides) % 2 == 0 and all(0 < side <= MAX_SIDE for side in sides)


def _numbers(least: float, most: float, kind: Callable[[str], float] = float) -> Callable[[str], tuple[Any, ...]]:
    """A type of numbers apart by commas, each from ``least`` to ``most``."""

    def read(text: str) -> tuple[Any, ...]:
        try:
            numbers = tuple(kind(part) for part in text.split(","))
        except ValueError:
            numbers = ()
        if not 1 <= len(numbers) <= 64 or not all(least <= number <= most for number in numbers):
            raise argparse.ArgumentTypeError(f"{text!r:.60}: write numbers from {least:g} to {most:g} apart by commas")
        return numbers

    return read


def _three(least: float) -> Callable[[str], Triple]:
    """A type of three numbers, or one for all three."""

    def read(text: str) -> Triple:
        numbers = _numbers(least, MAX_PIXEL)(text)
        if len(numbers) not in (1, 3):
            raise argparse.ArgumentTypeError(f"{text!r:.60}: write three numbers, or one for all channels")
        first, second, third = numbers * (3 // len(numbers))
        return first, second, third

    return read


def _whole(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        numbers = _numbers(least, most, int)(text)
        if len(numbers) != 1:
            raise argparse.ArgumentTypeError(f"{text!r:.60}: write one number")
        return int(numbers[0])

    return read


def _share(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text!r:.60}: write a number from 0 to 1")
    return number


def _fields(text: str) -> tuple[str, ...]:
    fields = tuple(text.split(","))
    if any(field not in FIELDS for field in fields) or len(set(fields)) != len(fields):
        raise argparse.ArgumentTypeError(f"{text!r:.60}: write {', '.join(FIELDS[:-1])}, or none")
    return fields
