"""Pictures of sources for people who ask: the next one that comes, as a JPEG, made beside the pipeline."""

from __future__ import annotations

import base64
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..draw import encode_jpeg, shrink
from .answers import no

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from ..sources import Grab, Source
    from .answers import Answer

DEADLINE_S = 5.0  # for the next picture
MAX_WAITING = 4  # each holds the pixels of a picture
LONGEST = 4096  # pixels of a side
MAX_JPEG = 4 << 20  # bytes


@dataclass(frozen=True, eq=False)
class _Waiting:
    source: Source
    answer: Answer
    deadline: float


class Snapshots:
    """Those that are waited for. ``ask`` and ``look`` by the main loop; the answers come in any thread."""

    def __init__(self, log: Any) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._waiting: list[_Waiting] = []

    def ask(self, source: Source, answer: Answer, now: float) -> str:
        """Answers with the next picture of the source; else why that is not possible now, in a sentence."""
        waiting = _Waiting(source, answer, now + DEADLINE_S)
        with self._lock:
            if len(self._waiting) >= MAX_WAITING:
                return f"{MAX_WAITING} pictures are being waited for already; ask again"
            self._waiting.append(waiting)
        source.want_picture(lambda grab: self._take(waiting, grab))
        return ""

    @property
    def due(self) -> float:
        """When ``look`` is to be called next."""
        with self._lock:
            return min((one.deadline for one in self._waiting), default=float("inf"))

    def look(self, now: float) -> None:
        """Ends the waiting of those for whom no picture came in time."""
        with self._lock:
            late = [one for one in self._waiting if now >= one.deadline]
            self._waiting = [one for one in self._waiting if now < one.deadline]
        for one in late:
            status = one.source.status
            late_word = f"source {one.source.source_id}: no picture came within {DEADLINE_S:g} s"
            one.answer(no(f"{late_word}; it is {status.state.value}: {status.reason}"))

    def _take(self, waiting: _Waiting, grab: Grab) -> None:
        """In the source's thread, which must go on."""
        with self._lock:
            if waiting not in self._waiting:  # too late
                return
        try:
            threading.Thread(target=self._work, args=(waiting, grab), name="snapshot", daemon=True).start()
        except RuntimeError as error:
            sentence = f"source {waiting.source.source_id}: no picture can be made now ({error}); ask again"
            self._done(waiting, no(sentence))

    def _work(self, waiting: _Waiting, grab: Grab) -> None:
        try:
            answer = _answer(waiting.source.source_id, grab)
        except Exception as error:  # a picture that cannot be encoded is nobody's but the asker's trouble
            self._log.exception("a snapshot could not be made", source=waiting.source.source_id)
            answer = no(f"the picture cannot be encoded: {type(error).__name__}: {error}")
        self._done(waiting, answer)

    def _done(self, waiting: _Waiting, answer: Mapping[str, Any]) -> None:
        with self._lock:
            self._waiting = [one for one in self._waiting if one is not waiting]
        waiting.answer(answer)


def _answer(source_id: str, grab: Grab) -> dict[str, Any]:
    height, width = grab.pixels.shape[:2]
    pixels, jpeg = as_jpeg(grab.pixels)
    return {
        "ok": True,
        "source": source_id,
        "t_capture_ns": grab.capture_time_ns,
        "width": width,
        "height": height,
        "shrunk": pixels.shape[:2] != (height, width),
        "jpeg": base64.b64encode(jpeg).decode(),
    }


def as_jpeg(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], bytes]:
    """A picture of bounded size: no side longer than LONGEST, and made smaller until it has MAX_JPEG bytes at most."""
    pixels, _ = shrink(pixels, LONGEST)
    jpeg = encode_jpeg(pixels)
    while len(jpeg) > MAX_JPEG:
        pixels, _ = shrink(pixels, max(pixels.shape[:2]) // 2)
        jpeg = encode_jpeg(pixels)
    return pixels, jpeg
