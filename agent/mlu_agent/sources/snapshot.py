"""A camera's picture at an HTTP address, asked for again and again."""

from __future__ import annotations

import threading
import time

from ..config import SourceConfig
from ..config.addresses import shown
from ..errors import DataError
from .base import Capture, CaptureError, Grab, Reason
from .decode import decode_picture
from .headers import SNIFFED, picture_kind
from .http_get import Answer, Getter
from .rate import Rate
from .retry import WRONG_LOGIN, AccountPauses

SNAPSHOTS_PER_S = 1.0  # where max_fps says nothing: cameras make a picture for each request, and few more than one
MAX_SNAPSHOT_BYTES = 32 << 20
END_OF_JPEG, NEAR_END = b"\xff\xd9", 1024


class SnapshotCapture(Capture):
    """One request for each picture, ``per_second`` at most, each within ``timeout_s`` seconds in all.

    Capture time is when the answer began to arrive.
    """

    remote = True
    keeps_rate = True

    def __init__(self, url: str, *, per_second: float = 0.0, timeout_s: float = SourceConfig.open_timeout_s) -> None:
        self.address = url
        self._name = shown(url)
        self._interval_s = 1.0 / (per_second or SNAPSHOTS_PER_S)
        self._getter = Getter(url, timeout_s, MAX_SNAPSHOT_BYTES)
        self._ended = threading.Event()
        self._answer: Answer | None = None
        self._rate = Rate(per_second or SNAPSHOTS_PER_S)
        self._position = 0
        self._pauses = AccountPauses()

    @property
    def interval_s(self) -> float:
        return self._interval_s

    def open(self) -> None:
        self._getter.forget()
        self._answer = None

    def advance(self) -> bool:
        self._ended.wait(self._rate.wait(time.monotonic()))
        self._rate.passed(time.monotonic())
        self._answer = self._ask()
        self.arrived_s = self._answer.arrived_s
        self._position += 1
        return True

    def take(self) -> Grab:
        answer, self._answer = self._answer, None
        if answer is None:
            raise CaptureError("no picture was advanced to", code=Reason.INTERNAL)
        start = time.monotonic_ns()
        try:
            pixels = decode_picture(answer.data, self._name)
        except DataError as error:
            raise CaptureError(error.message, code=Reason.BROKEN) from None
        end = time.monotonic_ns()
        return Grab(
            pixels, answer.arrived_ns, "arrival", self._position - 1, end, self._name, grab_ms=(end - start) / 1e6
        )

    def interrupt(self) -> None:
        self._ended.set()
        self._getter.end()

    def close(self) -> None:
        self._answer = None

    def _ask(self) -> Answer:
        try:
            answer = self._getter.get()
        except CaptureError as error:
            raise CaptureError(f"{self._name}: {error.reason}", code=error.code) from None
        if answer.status != 200:
            raise self._refused(answer)
        self._pauses.reset()
        problem = _content_problem(answer)
        if problem:
            raise CaptureError(f"{self._name}: {problem}", code=Reason.UNSUPPORTED)
        if picture_kind(answer.data[:SNIFFED]) == "JPEG" and END_OF_JPEG not in answer.data[-NEAR_END:]:
            raise CaptureError(f"{self._name}: the picture is cut off", code=Reason.BROKEN)
        return answer

    def _refused(self, answer: Answer) -> CaptureError:
        said = f"{self._name}: the camera answers {answer.words}"
        if answer.status in (401, 403):
            return self._pauses.refused(f"{said}: {WRONG_LOGIN}")
        self._pauses.reset()
        if answer.status == 404:
            return CaptureError(f"{said}: there is no such picture", code=Reason.NOT_FOUND)
        if 300 <= answer.status < 400:
            return CaptureError(f"{said}: write the address that it leads to", code=Reason.UNSUPPORTED)
        return CaptureError(said, code=Reason.REFUSED)


def _content_problem(answer: Answer) -> str:
    if answer.kind.startswith("multipart/"):
        return "it serves a stream, no single picture: write url = instead of snapshot ="
    if not picture_kind(answer.data[:SNIFFED]):
        return f"what it serves is no picture but {answer.kind[:60] or 'of no kind'}"
    return ""
