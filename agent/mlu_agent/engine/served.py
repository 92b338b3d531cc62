"""One model in service: what it says of itself, where it runs, and what it is working on.

    place: pixels -> the slot's input        submit, collect: the device        read: the slot's outputs -> Detections

A group is what the pictures of one invocation belong to; it waits here while the device works, in the order of
submission. ``mlu_agent.detector.Detector`` and the daemon stand on the same object.
"""

from __future__ import annotations

import collections
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from ..errors import DeviceLost, RuntimeFailure
from ..model.info import ModelInfo
from ..postprocess import postprocess
from ..preprocess import Preprocessor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..detections import Detections
    from ..geometry import Letterbox
    from ..model.bundle import ModelSpec, Thresholds
    from .engine import Engine
    from .recovery import Recovery
    from .slot import Slot

RECOVERY_S = 10.0  # for one step of making the device ready again
SLOWEST_FACTOR = 20
SLOWEST_FADES = 0.999

Group = TypeVar("Group")


@dataclass(frozen=True, eq=False)
class Done(Generic[Group]):
    """An invocation that came to its end: its group, and the slot with its outputs or else why there are none."""

    group: Group
    slot: Slot | None
    failure: RuntimeFailure | None


class ServedModel(Generic[Group]):
    """A model on its engine, whose owner closes it. Any one thread may submit and any one other thread collect.

    ``recovery``: what is tried when the device failed; None: nothing, the failure is told at once.
    ``info``: what is told of the model. ``thresholds``: those in force.
    """

    def __init__(
        self, spec: ModelSpec, engine: Engine, thresholds: Thresholds, recovery: Recovery | None = None
    ) -> None:
        self.spec = spec
        self.engine = engine
        self.thresholds = thresholds
        self.recovery = recovery
        self.info = ModelInfo.of(spec, thresholds, engine.library.kind)
        self._preprocess = Preprocessor(spec.input)
        self._pending: collections.deque[Group] = collections.deque()
        self._slowest_s = 0.0

    def place(self, pixels: NDArray[np.uint8], slot: Slot, index: int) -> Letterbox:
        """Makes one picture, uint8 (H, W, 3) BGR, the input number ``index`` of the slot."""
        return self._preprocess(pixels, slot.inputs[0][index])

    def submit(self, slot: Slot, group: Group, *, defer: bool = False) -> None:
        """As ``Engine.submit``; ``group`` comes back from ``collect``."""
        # before submitting: the collecting thread may have it the next moment
        self._pending.append(group)
        try:
            self.engine.submit(slot, defer=defer)
        except BaseException:
            self._pending.pop()
            raise

    def collect(self) -> Done[Group] | None:
        """The oldest invocation submitted, once it ended; waits for one to be submitted. None when closed.

        It counts as pending until it is released.
        """
        try:
            slot = self.engine.collect(recover=self.recovery)
        except RuntimeFailure as error:
            return Done(self._pending[0], None, error)
        if slot is None:
            return None
        # fades, so that one slow invocation does not stretch the deadline for ever
        self._slowest_s = max(self._slowest_s * SLOWEST_FADES, slot.device_us / 1e6)
        return Done(self._pending[0], slot, None)

    def read(self, slot: Slot, index: int, letterbox: Letterbox) -> Detections:
        """What was found in the picture number ``index`` of a collected slot, in the picture's pixels."""
        outputs: list[NDArray[Any]] = [output[index] for output in slot.outputs]
        return postprocess(outputs, self.spec, letterbox, self.thresholds, image=index)

    def release(self, done: Done[Group]) -> None:
        """Gives back what ``collect`` gave, after its outputs were read; the oldest first."""
        self._pending.popleft()
        if done.slot is not None:  # the engine has that of a failed one already
            self.engine.release(done.slot)

    @property
    def pending(self) -> int:
        """Groups submitted and not released."""
        return len(self._pending)

    @property
    def lost(self) -> bool:
        """Whether the device was given up: from then on every failure is final."""
        return self.recovery is not None and self.recovery.lost is not None

    def self_test(self) -> float:
        """Sends one grey picture through model and device before anything is served; its device time in
        milliseconds. A failure is told at once."""
        slot = self.engine.acquire(0)
        if slot is None:
            raise RuntimeFailure("self-test: the engine has no free slot")
        size = self.spec.input
        letterbox = self.place(np.full((size.height, size.width, 3), 128, np.uint8), slot, 0)
        start = time.monotonic()
        self.engine.submit(slot)
        done = self.engine.collect()
        if done is None:
            raise RuntimeFailure("self-test: the engine was closed")
        self.read(done, 0, letterbox)
        self._slowest_s = time.monotonic() - start
        self.engine.release(done)
        return done.device_us / 1000

    def deadline_s(self, timeout_s: float) -> float:
        """Seconds after which an invocation counts as hanging: ``timeout_s``, more where invocations are slow or the
        device is being made ready again."""
        limit = self._limit(timeout_s)
        return max(limit, RECOVERY_S) if self.engine.recovering else limit

    def _limit(self, timeout_s: float) -> float:
        return max(timeout_s, SLOWEST_FACTOR * self._slowest_s)

    def overdue(self, now: float, timeout_s: float) -> DeviceLost | None:
        """Why the device has to be given up, if no invocation was finished in time; ``now`` of the monotonic clock."""
        limit = self.deadline_s(timeout_s)
        if self.engine.stuck_for(now) > limit:
            return DeviceLost(f"the device has not finished an invocation for more than {limit:.1f} s")
        return None

    def due(self, now: float, timeout_s: float) -> float:
        """When ``overdue`` is to be asked again at the latest, whatever is submitted until then."""
        limit = self._limit(timeout_s)  # not that of a recovery, which may end at once
        rest = limit - self.engine.stuck_for(now)
        return now + (rest if rest >= 0 else limit)
