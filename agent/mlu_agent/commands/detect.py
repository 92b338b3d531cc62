"""``mlu-agent detect``: objects in pictures and videos, printed and drawn."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mlu_client.text import printable, printable_json

from ..annotated import AnnotatedOutput
from ..config.addresses import STREAM_SCHEMES, address_problem, has_login, scrub, shown, with_login
from ..config.files import path_problem
from ..config.passwords import read_password
from ..detector import Detector
from ..errors import UserError
from ..model.bundle import Thresholds, load_detection_bundle
from ..sources import Capture, CaptureError, capture_for_path
from ..sources.decode import has_picture_name
from ..sources.images import PictureCapture
from ..sources.snapshot import SnapshotCapture
from ..sources.video import FileCapture, StreamCapture, is_stream

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from ..detections import Detections

PROGRESS_S = 2.0
NAMED = 3  # of the files that are left out


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("model", metavar="MODEL", help="a .cambricon model, its .toml manifest or a .bundle")
    parser.add_argument(
        "inputs", metavar="INPUT", nargs="+", help="pictures, folders of pictures, videos, URLs of streams and pictures"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object per picture or frame")
    parser.add_argument("--output", metavar="DIR", help="draw the boxes: pictures as .jpg, videos as .mp4")
    parser.add_argument("--runtime", default="auto", help="auto, device, simulator or the path of a library (auto)")
    parser.add_argument("--confidence", type=float, metavar="C", help="least confidence, 0 to 1 (the manifest's)")
    parser.add_argument("--iou", type=float, metavar="I", help="overlap above which boxes of a class are one, 0 to 1")
    parser.add_argument("--max-detections", type=int, metavar="N", help="most boxes per picture")
    parser.add_argument(
        "--multi-label", action="store_true", help="every class of a box that is sure enough, as accuracy is measured"
    )
    parser.add_argument("--cores", type=int, metavar="N", help="device cores to use (all)")
    parser.add_argument("--user", default="", metavar="NAME", help="of streams whose address names no user")
    parser.add_argument(
        "--password-file", type=Path, metavar="FILE", help="holds their password; on a command line others would see it"
    )
    parser.add_argument("--frames", type=int, metavar="N", help="end each video or stream after N frames")


@dataclass(frozen=True, eq=False)
class _Item:
    """One picture or frame on its way."""

    pixels: NDArray[np.uint8]
    input: str
    number: int
    video: Capture | None


def run(arguments: argparse.Namespace) -> int:
    """0, or 2 if an input could not be read; the readable ones are done all the same."""
    for name in arguments.inputs:
        problem = _input_problem(name)
        if problem:
            raise UserError(problem)
    if arguments.frames is not None and arguments.frames < 1:
        raise UserError(f"--frames {arguments.frames}: give 1 or more")
    spec = load_detection_bundle(arguments.model)
    thresholds = _thresholds(arguments, spec.thresholds)
    problems: list[str] = []
    with contextlib.ExitStack() as exits:
        detector = exits.enter_context(Detector(arguments.model, arguments.runtime, thresholds, cores=arguments.cores))
        if detector.runtime == "simulator" and arguments.runtime == "auto":
            _tell(f"running on the simulator: {detector.reason}")
        output = exits.enter_context(_output(arguments)) if arguments.output else None
        invalid = 0
        for item, detections in detector.stream(_items(arguments, problems)):
            invalid += detections.invalid
            _print(item, detections, detector.spec.labels, arguments.json)
            if output is not None:
                output.write(item.input, item.pixels, detections, detector.spec.labels, _rate(item.video))
    if invalid:
        problems.append(f"{invalid} candidates were thrown away: their numbers are not finite; the model is broken")
        _tell(problems[-1])
    return 2 if problems else 0


def _tell(sentence: str) -> None:
    print(f"mlu-agent: {printable(sentence)}", file=sys.stderr)


def _output(arguments: argparse.Namespace) -> AnnotatedOutput:
    output = AnnotatedOutput(arguments.output, [name for name in arguments.inputs if not is_stream(name)])
    if output.removed:
        _tell(f"{arguments.output}: removed {output.removed} unfinished files of killed runs")
    return output


def _input_problem(name: str) -> str:
    """Why an input cannot be read, in a sentence without passwords; "" if it may be."""
    if is_stream(name):
        problem = address_problem(name, STREAM_SCHEMES)
        return f"{shown(name)} is not accepted; {problem}" if problem else ""
    problem = path_problem(name)
    return f"{scrub(name)}: {problem}" if problem else ""


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


def _items(arguments: argparse.Namespace, problems: list[str]) -> Iterator[_Item]:
    """All pictures and frames in order; what cannot be read is said, remembered and skipped."""

    def say(sentence: str) -> None:
        problems.append(sentence)
        _tell(sentence)

    password = read_password(arguments.password_file) if arguments.password_file else ""
    for name, title in zip(arguments.inputs, _titles(arguments.inputs)):
        login = ("", "") if has_login(name) else (arguments.user, password)
        address = with_login(name, *login) if is_stream(name) else ""
        capture = _capture_for_address(address) if address else capture_for_path(name, say)
        try:
            yield from _frames(title, capture, arguments.frames)
            if capture.cut_off:
                say(capture.end_reason)
        except CaptureError as error:
            # a picture that cannot be decoded has been told already
            if not capture.unreadable:
                named = not address or error.reason.startswith(shown(name))  # a snapshot's reason names its address
                say(scrub(error.reason if named else f"{title}: {error.reason}", address))
        if capture.damaged:
            _tell(f"{title}: {capture.damaged} places of it are damaged, and left out")
        if isinstance(capture, PictureCapture) and capture.left_out:
            first = ", ".join(capture.left_out[:NAMED]) + (", …" if len(capture.left_out) > NAMED else "")
            _tell(f"{name}: {len(capture.left_out)} files are no pictures by their names, and left out: {first}")


def _capture_for_address(address: str) -> Capture:
    """A picture where the address is called like one, else a stream."""
    parts = urlsplit(address)
    if parts.scheme in ("http", "https") and has_picture_name(parts.path):
        return SnapshotCapture(address)
    return StreamCapture(address)


def _titles(inputs: Sequence[str]) -> list[str]:
    """What output calls the inputs: addresses without secrets, and numbered where that made two of them alike."""
    streams = {name: shown(name) for name in inputs if is_stream(name)}
    alike = Counter(streams.values())
    return [
        f"{streams[name]} ({number})" if alike[streams.get(name, "")] > 1 else streams.get(name, name)
        for number, name in enumerate(inputs, 1)
    ]


def _frames(name: str, capture: Capture, limit: int | None) -> Iterator[_Item]:
    video = capture if isinstance(capture, (FileCapture, StreamCapture)) else None
    if isinstance(capture, SnapshotCapture):
        limit = limit or 1
    elif video is None:
        limit = None
    progress = _Progress(name, capture.frame_count if isinstance(capture, FileCapture) else 0)
    try:
        capture.open()
        if isinstance(capture, FileCapture):
            progress.total = capture.frame_count
        count = 0
        while limit is None or count < limit:
            grab = capture.read()
            if grab is None:
                break
            count += 1
            if video is not None:
                progress.show(count)
                yield _Item(grab.pixels, name, grab.position, video)
            else:
                # each picture is an input of its own, also one of a folder
                yield _Item(grab.pixels, grab.name, 0, None)
        if not count:
            raise CaptureError(f"{name} holds no readable picture", permanent=True)
    finally:
        progress.finish()
        capture.close()


class _Progress:
    """A line on standard error every few seconds, so that a long video is seen to move."""

    def __init__(self, name: str, total: int) -> None:
        self._name = name
        self.total = total
        self._terminal = sys.stderr.isatty()
        self._start = time.monotonic()
        self._next = self._start + PROGRESS_S
        self._shown = False

    def show(self, count: int) -> None:
        """``count`` frames were read."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + PROGRESS_S
        self._shown = True
        total = f" of {self.total}" if self.total else ""
        line = f"{printable(self._name)}: frame {count}{total}, {count / (now - self._start):.1f} frames/s"
        print(
            f"\r{line}\033[K" if self._terminal else line,
            end="" if self._terminal else "\n",
            file=sys.stderr,
            flush=True,
        )

    def finish(self) -> None:
        """Ends the line on a terminal."""
        if self._shown and self._terminal:
            print(file=sys.stderr)


def _rate(video: Capture | None) -> float | None:
    """Frames per second for the annotated video, None for a picture."""
    if video is None:
        return None
    return 1.0 / video.interval_s if video.interval_s else 25.0


def _print(item: _Item, detections: Detections, labels: tuple[str, ...], as_json: bool) -> None:
    height, width = item.pixels.shape[:2]
    found: list[dict[str, Any]] = [
        {
            "class_id": int(class_id),
            "label": labels[int(class_id)],
            "confidence": round(float(confidence), 6),
            "box": [round(float(value), 3) for value in box],
        }
        for box, confidence, class_id in zip(detections.xyxy, detections.confidence, detections.class_id)
    ]
    if as_json:
        line = {"input": item.input, "frame": item.number, "width": width, "height": height, "detections": found}
        print(printable_json(line), flush=True)
        return
    place = printable(item.input if item.video is None else f"{item.input} frame {item.number}")
    print(f"{place}: {len(found)} found" if found else f"{place}: nothing found")
    for one in found:
        box = ", ".join(f"{value:.1f}" for value in one["box"])
        print(f"  {one['confidence']:.2f}  {printable(one['label']):<14} ({box})")
