"""What lies at a path: pictures or a video. Only opening it tells: it may come later, or not answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..config.files import path_problem
from .base import Capture, CaptureError, Grab, Reason

if TYPE_CHECKING:
    from typing import Callable


class PathCapture(Capture):
    """``make()`` gives the capture for what is at ``path`` now."""

    def __init__(self, path: str, make: Callable[[], Capture]) -> None:
        self._path = path
        self._make = make
        self._inner: Capture | None = None
        self._damaged_before = 0  # of openings before this one

    def open(self) -> None:
        problem = path_problem(self._path)
        if problem:
            self._inner = None
            raise CaptureError(f"{self._path}: {problem}", code=Reason.NOT_FOUND)
        if self._inner is None:
            self._inner = self._make()
            self._damaged_before = self.damaged
        try:
            self._inner.open()
        except Exception:
            self._inner.close()
            self._inner = None
            raise

    @property
    def _opened(self) -> Capture:
        if self._inner is None:
            raise CaptureError(f"{self._path} is not open", code=Reason.INTERNAL)
        return self._inner

    def advance(self) -> bool:
        found = self._opened.advance()
        self.media_s, self.unreadable = self._opened.media_s, self._opened.unreadable
        self.damaged = self._damaged_before + self._opened.damaged
        return found

    def take(self) -> Grab:
        return self._opened.take()

    def close(self) -> None:
        if self._inner is not None:
            self._inner.close()

    @property
    def interval_s(self) -> float:
        return self._inner.interval_s if self._inner is not None else 0.0

    @property
    def cut_off(self) -> bool:
        return self._inner is not None and self._inner.cut_off

    @property
    def end_reason(self) -> str:
        return self._inner.end_reason if self._inner is not None else super().end_reason
