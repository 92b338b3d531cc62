"""``mlu-agent detect``: objects in pictures and videos, printed and drawn."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from typing import TYPE_CHECKING, Any

from mlu_client.text import printable, printable_json

from ..annotated import AnnotatedOutput
from ..detections import shape_map
from ..detector import Detector
from ..errors import UserError
from ..model.bundle import Thresholds, below_floor, load_detection_bundle
from ..sources.video import is_stream
from .inputs import check_inputs, declare_inputs, declare_runtime, items, tell

if TYPE_CHECKING:
    import argparse

    from ..detections import Detections
    from ..sources import Capture
    from .inputs import Item


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    declare_inputs(parser)
    parser.add_argument("--output", metavar="DIR", help="draw the boxes: pictures as .jpg, videos as .mp4")
    parser.add_argument("--runtime", default="auto", help="auto, device, simulator or the path of a library (auto)")
    parser.add_argument("--confidence", type=float, metavar="C", help="least confidence, 0 to 1 (the manifest's)")
    parser.add_argument("--iou", type=float, metavar="I", help="overlap above which boxes of a class are one, 0 to 1")
    parser.add_argument("--max-detections", type=int, metavar="N", help="most boxes per picture")
    parser.add_argument(
        "--multi-label", action="store_true", help="every class of a box that is sure enough, as accuracy is measured"
    )
    declare_runtime(parser)


def run(arguments: argparse.Namespace) -> int:
    """0, or 2 if an input could not be read; the readable ones are done all the same."""
    check_inputs(arguments)
    spec = load_detection_bundle(arguments.model)
    thresholds = _thresholds(arguments, spec.thresholds)
    if floor := below_floor(spec, thresholds):
        tell(floor)
    problems: list[str] = []
    with contextlib.ExitStack() as exits:
        detector = exits.enter_context(Detector(arguments.model, arguments.runtime, thresholds, cores=arguments.cores))
        if detector.runtime == "simulator" and (arguments.runtime == "auto" or detector.standin is not None):
            tell(f"running on the simulator: {detector.reason}")
        output = exits.enter_context(_output(arguments)) if arguments.output else None
        invalid = 0
        for item, detections in detector.stream(items(arguments, problems)):
            invalid += detections.invalid
            _print(item, detections, detector.spec.labels, arguments.json)
            if output is not None:
                output.write(item.input, item.pixels, detections, detector.spec.labels, _rate(item.video))
    if invalid:
        problems.append(f"{invalid} candidates were thrown away: their numbers are not finite; the model is broken")
        tell(problems[-1])
    return 2 if problems else 0


def _output(arguments: argparse.Namespace) -> AnnotatedOutput:
    output = AnnotatedOutput(arguments.output, [name for name in arguments.inputs if not is_stream(name)])
    if output.removed:
        tell(f"{arguments.output}: removed {output.removed} unfinished files of killed runs")
    return output


def _thresholds(arguments: argparse.Namespace, usual: Thresholds) -> Thresholds:
    chosen: dict[str, Any] = {"multi_label": arguments.multi_label}
    for name in ("confidence", "iou"):
        value = getattr(arguments, name)
        if value is not None:
            if not 0 <= value <= 1:
                raise UserError(f"--{name} {value:g}: give a number from 0 to 1")
            chosen[name] = value
    if arguments.max_detections is not None:
        if not 1 <= arguments.max_detections <= 10000:
            raise UserError(f"--max-detections {arguments.max_detections}: give a number from 1 to 10000")
        chosen["max_detections"] = arguments.max_detections
    return dataclasses.replace(usual, **chosen)


def _rate(video: Capture | None) -> float | None:
    """Frames per second for the annotated video, None for a picture."""
    if video is None:
        return None
    return 1.0 / video.interval_s if video.interval_s else 25.0


def _print(item: Item, detections: Detections, labels: tuple[str, ...], as_json: bool) -> None:
    height, width = item.pixels.shape[:2]
    found: list[dict[str, Any]] = [
        {
            "class_id": int(class_id),
            "label": labels[int(class_id)],
            "confidence": round(float(confidence), 6),
            "box": [round(float(value), 3) for value in box],
            **shape_map(detections, index, (1, 1), 3),
        }
        for index, (box, confidence, class_id) in enumerate(
            zip(detections.xyxy, detections.confidence, detections.class_id)
        )
    ]
    if as_json:
        line = {"input": item.input, "frame": item.number, "width": width, "height": height, "detections": found}
        print(printable_json(line), flush=True)
        return
    print(f"{item.place}: {len(found)} found" if found else f"{item.place}: nothing found")
    for one in found:
        box = ", ".join(f"{value:.1f}" for value in one["box"])
        print(f"  {one['confidence']:.2f}  {printable(one['label']):<14} ({box}){_shape(one)}")


def _shape(one: dict[str, Any]) -> str:
    """In a few words what is told of a detection beside its box."""
    if "polygons" in one:
        return f", outline of {sum(map(len, one['polygons']))} points"
    if "keypoints" in one:
        seen = sum(point[2:] >= [0.5] for point in one["keypoints"]) if len(one["keypoints"][0]) == 3 else None
        return f", {len(one['keypoints'])} keypoints" + (f", {seen} of them visible" if seen is not None else "")
    return f", turned by {math.degrees(one['angle']):.1f} degrees" if "angle" in one else ""
