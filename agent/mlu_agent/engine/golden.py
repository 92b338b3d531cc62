"""The golden frame on a device: whether it still computes, on each of its cores, what it computed once.

The outputs' buffers, the host's and the device's, hold a pattern before each run, and the two inputs take turns: so
outputs that are zero, that were never written, that stayed from the run before or that are otherwise wrong are each
told apart, and none passes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import RuntimeFailure
from ..model.golden import FRAMES, GoldenFrame, digests, golden_inputs
from .slot import PATTERN

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from ..ledger import ModelAccount
    from ..model.golden import Digests
    from .engine import Engine
    from .slot import Slot

ZERO, SKIPPED, STALE, CORRUPTED = "zero", "skipped", "stale", "corrupted"
_SAID = {
    ZERO: "are all zero",
    SKIPPED: "were never written",
    STALE: "are those of the invocation before",
    CORRUPTED: "are others than they were",
}


class GoldenTest:
    """The golden frame of one engine; by the collecting thread alone. ``frame``: as it was recorded."""

    def __init__(self, engine: Engine, frame: GoldenFrame, account: ModelAccount) -> None:
        self.frame = frame
        self._engine = engine
        self._account = account
        self._inputs = _inputs(engine)

    def check(self, lanes: Iterable[int] | None = None) -> None:
        """Runs it on these lanes, None for all; RuntimeFailure unless every bit is right."""
        wanted = list(range(self._engine.lanes) if lanes is None else lanes)
        wrong: list[tuple[str, str]] = []  # kind and sentence
        for number, inputs in enumerate(self._inputs):
            right, other = self.frame.outputs[number], self.frame.outputs[1 - number]
            for lane in wanted:
                with self._engine.probe(lane, inputs) as slot:
                    found = digests(slot.outputs)
                    if found != right:
                        kind = _kind(slot, found, other)
                        wrong.append((kind, _sentence(kind, lane, found, right)))
        if wrong:
            # both inputs first: outputs that stay from before are known by the second one's being the first one's
            kind, sentence = next((one for one in wrong if one[0] != CORRUPTED), wrong[0])
            self._account.count(kind)
            raise RuntimeFailure(sentence)


def record(engine: Engine, model_sha256: str, made_on: str) -> GoldenFrame:
    """What the device computes now, the same on all lanes and once more; RuntimeFailure if it is not."""
    rows: list[Digests] = []
    inputs = _inputs(engine)
    for turn in range(2 * FRAMES):
        number = turn % FRAMES
        for lane in range(engine.lanes):
            with engine.probe(lane, inputs[number]) as slot:
                found = digests(slot.outputs)
                if _is_pattern(slot.outputs):
                    raise RuntimeFailure(_sentence(SKIPPED, lane, found, ()))
            if len(rows) == number:
                rows.append(found)
            elif rows[number] != found:
                raise RuntimeFailure(
                    f"the device does not compute the same twice (core group {lane}): either it is broken, or that is "
                    "how it works, then set service.golden_interval_s = 0"
                )
    return GoldenFrame(model_sha256, made_on, tuple(rows))


def weakness(frame: GoldenFrame) -> str:
    """What such a golden frame cannot see, as the end of a sentence; "" if it sees all."""
    return "" if frame.outputs[0] != frame.outputs[1] else "its two inputs have the same outputs"


def _inputs(engine: Engine) -> list[list[NDArray[Any]]]:
    return [golden_inputs(number, engine.description.inputs) for number in range(FRAMES)]


def _kind(slot: Slot, found: Digests, other: Digests) -> str:
    if _is_pattern(slot.outputs):
        return SKIPPED
    if not any(np.any(output) for output in slot.outputs):
        return ZERO
    return STALE if found == other else CORRUPTED


def _is_pattern(outputs: Iterable[NDArray[Any]]) -> bool:
    return all(bool((output.reshape(-1).view(np.uint8) == PATTERN).all()) for output in outputs)


def _sentence(kind: str, lane: int, found: Digests, right: Digests) -> str:
    which = [str(number) for number, (one, two) in enumerate(zip(found, right)) if one != two]
    where = f"output {', '.join(which)}" if kind == CORRUPTED and len(which) < len(found) else "outputs"
    return f"the golden frame failed on core group {lane}: its {where} {_SAID[kind]}"
