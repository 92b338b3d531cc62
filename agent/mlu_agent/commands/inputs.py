"""The pictures, videos and streams that ``detect`` and ``infer`` are given, as one stream of named frames."""

from __future__ import annotations

import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mlu_client.text import printable

from ..config.addresses import STREAM_SCHEMES, address_problem, has_login, scrub, shown, with_login
from ..config.files import path_problem
from ..config.passwords import read_password
from ..errors import UserError
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

PROGRESS_S = 2.0
NAMED = 3  # of the files that are left out


@dataclass(frozen=True, eq=False)
class Item:
    """One picture or frame on its way; ``video``: what it is a frame of, None for a picture."""

    pixels: NDArray[np.uint8]
    input: str
    number: int
    video: Capture | None

    @property
    def place(self) -> str:
        """For people."""
        return printable(self.input if self.video is None else f"{self.input} frame {self.number}")


def declare_inputs(parser: argparse.ArgumentParser) -> None:
    """The model, and what it is to look at."""
    parser.add_argument("model", metavar="MODEL", help="a .cambricon model, its .toml manifest or a .bundle")
    parser.add_argument(
        "inputs", metavar="INPUT", nargs="+", help="pictures, folders of pictures, videos, URLs of streams and pictures"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object per picture or frame")


def declare_runtime(parser: argparse.ArgumentParser) -> None:
    """Where the model runs, and how streams are opened."""
    parser.add_argument("--cores", type=int, metavar="N", help="device cores to use (all)")
    parser.add_argument("--user", default="", metavar="NAME", help="of streams whose address names no user")
    parser.add_argument(
        "--password-file", type=Path, metavar="FILE", help="holds their password; on a command line others would see it"
    )
    parser.add_argument("--frames", type=int, metavar="N", help="end each video or stream after N frames")


def check_inputs(arguments: argparse.Namespace) -> None:
    """UserError if an input cannot be read, or their options are wrong."""
    for name in arguments.inputs:
        problem = _input_problem(name)
        if problem:
            raise UserError(problem)
    if (arguments.user or arguments.password_file) and not any(map(_wants_login, arguments.inputs)):
        option = "--user" if arguments.user else "--password-file"
        raise UserError(f"{option}: no input is a stream whose address names no user; leave it out, or name the stream")
    if arguments.frames is not None and arguments.frames < 1:
        raise UserError(f"--frames {arguments.frames}: give 1 or more")


def tell(sentence: str) -> None:
    """A sentence on standard error."""
    print(f"mlu-agent: {printable(sentence)}", file=sys.stderr)


def _input_problem(name: str) -> str:
    """Why an input cannot be read, in a sentence without passwords; "" if it may be."""
    if is_stream(name):
        problem = address_problem(name, STREAM_SCHEMES)
        return f"{shown(name)} is not accepted; {problem}" if problem else ""
    problem = path_problem(name)
    return f"{scrub(name)}: {problem}" if problem else ""


def _wants_login(name: str) -> bool:
    return is_stream(name) and not has_login(name)


def items(arguments: argparse.Namespace, problems: list[str]) -> Iterator[Item]:
    """All pictures and frames in order; what cannot be read is said, remembered and skipped."""

    def say(sentence: str) -> None:
        problems.append(sentence)
        tell(sentence)

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
            tell(f"{title}: {capture.damaged} places of it are damaged, and left out")
        if isinstance(capture, PictureCapture) and capture.left_out:
            first = ", ".join(capture.left_out[:NAMED]) + (", …" if len(capture.left_out) > NAMED else "")
            tell(f"{name}: {len(capture.left_out)} files are no pictures by their names, and left out: {first}")


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


def _frames(name: str, capture: Capture, limit: int | None) -> Iterator[Item]:
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
                yield Item(grab.pixels, name, grab.position, video)
            else:
                # each picture is an input of its own, also one of a folder
                yield Item(grab.pixels, grab.name, 0, None)
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
