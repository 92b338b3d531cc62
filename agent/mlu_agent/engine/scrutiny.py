"""Whether the outputs of a device that reports no error can be believed, between frames and at each frame.

    between frames   the golden frame, on one lane after another, every ``interval_s``
    at each frame    a few hundred bytes of input and outputs: outputs that are zero, or those of an invocation before
                     although the input is another one, are a doubt. Then the golden frame is run at once, and the frame
                     itself once more before it is published

A doubt may be unfounded, as with a model that finds nothing twice: then none is gone into for DOUBT_PAUSE_S.
"""

from __future__ import annotations

import time
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import RuntimeFailure
from .golden import STALE, ZERO

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ..ledger import ModelAccount
    from .engine import Engine
    from .golden import GoldenTest
    from .recovery import Recovery
    from .slot import Slot

SAMPLED = 512  # bytes of all inputs, and of all outputs
DOUBT_PAUSE_S = 10.0


class Scrutiny:
    """What looks at a model's outputs; by the collecting thread alone. ``due``: monotonic seconds of the next test;
    ``interval_s``: from one to the next, which any thread may set."""

    def __init__(
        self,
        engine: Engine,
        golden: GoldenTest,
        recovery: Recovery,
        account: ModelAccount,
        log: Any,
        interval_s: float,
    ) -> None:
        self._engine = engine
        self._golden = golden
        self._recovery = recovery
        self._account = account
        self._log = log
        self.interval_s = interval_s
        self._lane = 0
        self._next_doubt = 0.0
        self._before: dict[object, tuple[int, int]] = {}  # of input and outputs, by slot, by lane and of all
        self.due = time.monotonic() + interval_s

    def start(self) -> None:
        """The golden frame on all lanes, before anything is served; DeviceLost if nothing helps."""
        self._test(range(self._engine.lanes))

    def look(self, now: float) -> None:
        """The golden frame on the next lane, if it is due; DeviceLost if nothing helps."""
        if now < self.due or self._recovery.lost is not None:
            return
        self.due = now + self.interval_s
        self._lane = (self._lane + 1) % self._engine.lanes
        self._test([self._lane])

    def _test(self, lanes: Sequence[int]) -> None:
        try:
            self._golden.check(lanes)
        except RuntimeFailure as error:
            self._recovery(self._engine.spare, error, lanes)

    def doubt(self, slot: Slot) -> None:
        """Looks at a finished invocation; RuntimeFailure if its outputs cannot be believed."""
        if self._recovery.lost is not None:
            raise self._recovery.lost
        kind = self._suspicion(slot)
        now = time.monotonic()
        if not kind or now < self._next_doubt:
            return
        self._golden.check([slot.lane])
        before = _sample(slot.outputs)
        self._engine.again(slot)
        if _sample(slot.outputs) == before:
            self._next_doubt = now + DOUBT_PAUSE_S
        else:
            count = self._account.count(kind)
            self._recovery.suspect(f"the outputs of a frame were wrong ({kind}) and were made again")
            self._log.warning("the outputs of a frame were wrong and were made again", fault=kind, count=count)

    def _suspicion(self, slot: Slot) -> str:
        outputs = _sample(slot.outputs)
        seen = zlib.crc32(_sample(slot.inputs)), zlib.crc32(outputs)
        keys: tuple[object, ...] = (slot, slot.lane, None)
        befores = [self._before.get(key) for key in keys]
        self._before.update(dict.fromkeys(keys, seen))
        if not any(outputs):
            return ZERO
        stale = any(before is not None and before[1] == seen[1] and before[0] != seen[0] for before in befores)
        return STALE if stale else ""


def _sample(arrays: list[NDArray[Any]]) -> bytes:
    """Bytes from all over the arrays, SAMPLED or a few more."""
    share = max(1, SAMPLED // len(arrays))
    flats = (array.reshape(-1).view(np.uint8) for array in arrays)
    # an odd step: an even one meets the same byte of each number, or the same channel of each pixel, every time
    return b"".join(flat[:: (len(flat) // share) | 1].tobytes() for flat in flats)
