"""How a source is: the words of the wire, each with a reason."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class SourceState(str, enum.Enum):
    """What a source is doing, in the words of the wire (``mlu_client.codec.STATES``)."""

    CONNECTING = "connecting"
    LIVE = "live"
    STALLED = "stalled"
    FROZEN = "frozen"
    BLACK = "black"
    COVERED = "covered"
    MOVED = "moved"
    PAUSED = "paused"
    LOST = "lost"
    ENDED = "ended"
    FAILED = "failed"


PICTURE_STATES = (SourceState.FROZEN, SourceState.BLACK, SourceState.COVERED, SourceState.MOVED)
FLOWING = (SourceState.LIVE, *PICTURE_STATES)  # frames arrive, whatever is to be seen in them
FINAL_STATES = (SourceState.ENDED, SourceState.FAILED)
TROUBLED = (SourceState.STALLED, *PICTURE_STATES, SourceState.LOST, SourceState.FAILED)


@dataclass(frozen=True)
class SourceStatus:
    """A state, why in a sentence, since when (wall clock, nanoseconds), and why in a word of ``Reason``.

    ``code`` is empty where the state says it all.
    """

    state: SourceState
    reason: str
    since_ns: int
    code: str = ""
