"""What every kind of input has in common: a capture that reads pictures, and how it tells why it cannot.

A capture may block or fail. The ``Source`` around it owns the thread that uses it.
"""

from __future__ import annotations

import abc
import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Grab:
    """One decoded picture as a capture reads it; ``pixels`` uint8 (H, W, 3) BGR.

    ``grabbed_ns``: monotonic clock when the pixels were there. ``grab_ms``: how long making them took: decoding a
    picture file, converting a video's frame.
    """

    pixels: NDArray[np.uint8]
    capture_time_ns: int
    clock: str
    position: int
    grabbed_ns: int
    name: str = ""
    grab_ms: float = 0.0


class Reason(str, enum.Enum):
    """Why an input cannot be opened or stopped answering, in one word for programs."""

    UNAUTHORIZED = "unauthorized"
    NOT_FOUND = "not_found"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    UNSUPPORTED = "unsupported"
    BROKEN = "broken"
    SILENT = "silent"  # connected, but no frame comes
    STUCK = "stuck"  # a call that reads it does not return
    INTERNAL = "internal"  # a mistake of the agent's own


class CaptureError(Exception):
    """The input cannot be opened or stopped answering: ``reason`` in a sentence, ``code`` in a word.

    ``permanent`` if trying again is pointless; ``retry_after_s``: not to be tried again before, seconds.
    """

    def __init__(
        self, reason: str, *, code: Reason = Reason.BROKEN, permanent: bool = False, retry_after_s: float = 0.0
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code
        self.permanent = permanent
        self.retry_after_s = retry_after_s


def explain(error: Exception) -> CaptureError:
    """Why a session ended. A bug must not take the other sources down either."""
    if isinstance(error, CaptureError):
        return error
    return CaptureError(f"internal error: {type(error).__name__}: {error}", code=Reason.INTERNAL)


class Capture(abc.ABC):
    """One kind of input. Used by one thread at a time.

    Reading has two steps, so that a picture that is not wanted costs no pixels: ``advance`` waits for the next one,
    ``take`` makes its pixels.
    """

    longest_s = 5.0  # within which every call ends or fails that does not wait for something that never comes
    remote = (
        False  # whether it can be lost and come back: a lost one is opened again for ever, a silent one has stalled
    )
    keeps_rate = False  # whether it asks for no more pictures than max_fps itself
    unreadable = 0  # pictures that were skipped because they cannot be decoded
    damaged = 0  # places of a video that could not be decoded, or not well
    stale = 0  # pictures that were passed over because they are a backlog: old, and newer ones wait behind them
    media_s: float | None = None  # time of the present picture in its file, seconds from the start; None for live ones
    key_frames: int | None = None  # pictures so far that were encoded by themselves; None: all are
    arrived_s: float | None = None  # monotonic clock when the present picture's packet came; None: when it was read

    @abc.abstractmethod
    def open(self) -> None:
        """Opens the input; CaptureError if it cannot be."""

    @abc.abstractmethod
    def advance(self) -> bool:
        """Waits for the next picture, then the present one; False at the end, CaptureError if the input is lost."""

    @abc.abstractmethod
    def take(self) -> Grab:
        """The present picture with its pixels; once after each ``advance`` at most."""

    def read(self) -> Grab | None:
        """The next picture, None at the end; CaptureError if the input is lost."""
        return self.take() if self.advance() else None

    @abc.abstractmethod
    def close(self) -> None:
        """Releases the input; may be opened again."""

    def interrupt(self) -> None:  # noqa: B027 - most never wait for long
        """Makes ``open`` and ``advance`` end soon, for good: CaptureError where they wait. Any thread."""

    @property
    def interval_s(self) -> float:
        """Expected seconds between frames, 0 where unknown."""
        return 0.0

    @property
    def cut_off(self) -> bool:
        """Whether the input came to its end before the end that it promised."""
        return False

    @property
    def end_reason(self) -> str:
        """How the input came to its end, once ``advance`` said so."""
        return "the input came to its end"
