"""One model in service: what it says of itself, where it runs, and what it is working on.

    place: pixels -> the slot's input        submit, collect: the device        read: the slot's outputs -> Result

A group is what the pictures of one invocation belong to; it waits here while the device works, in the order of
submission. ``mlu_agent.detector.Detector`` and the daemon stand on the same object.
"""

from __future__ import annotations

import collections
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from ..errors import RuntimeFailure
from ..geometry import WHOLE, Region
from ..ledger import ModelAccount
from ..model.info import ModelInfo
from ..postprocess import Choice, Reader, choose
from ..preprocess import Preprocessor
from .health import Health

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..geometry import Letterbox, Shares
    from ..model.bundle import ModelSpec, Thresholds
    from ..postprocess import Result
    from .deadlines import Deadlines
    from .engine import Engine
    from .recovery import Recovery
    from .scrutiny import Scrutiny
    from .slot import Slot

Group = TypeVar("Group")
MAX_CHOICES = 64  # kept: as many as there may be sources


@dataclass(frozen=True, eq=False)
class Done(Generic[Group]):
    """An invocation that came to its end: its group, and the slot with its outputs or else why there are none."""

    group: Group
    slot: Slot | None
    failure: RuntimeFailure | None


class ServedModel(Generic[Group]):
    """A model on its engine, whose owner closes it. Any one thread may submit and any one other thread collect.

    ``recovery``: what is tried when the device failed; None: nothing, the failure is told at once. ``deadlines``:
    what learns how long invocations take. ``scrutiny``: what doubts outputs; None: nothing. ``info``: what is told of
    the model. ``thresholds``: those in force. ``batch_wait_s``: how long whoever fills a slot may wait for
    more pictures once there is one.
    """

    def __init__(
        self,
        spec: ModelSpec,
        engine: Engine,
        thresholds: Thresholds,
        recovery: Recovery | None = None,
        deadlines: Deadlines | None = None,
        scrutiny: Scrutiny | None = None,
        account: ModelAccount | None = None,
    ) -> None:
        self.spec = spec
        self.engine = engine
        self.recovery = recovery
        self._preprocess = Preprocessor(spec.input)
        self._read = Reader(spec)
        self._pending: collections.deque[Group] = collections.deque()
        self._deadlines = deadlines
        self._scrutiny = scrutiny
        self.account = account or ModelAccount()
        self.batch_wait_s = 0.0
        self.adjust(thresholds)

    def adjust(self, thresholds: Thresholds) -> None:
        """Other thresholds, for the frames that are placed from now on. Any thread."""
        # as one value, and before the choices are forgotten that were made with the old ones: others may be choosing
        self._in_force = thresholds, ModelInfo.of(self.spec, thresholds, *_runtime(self.engine))
        self._choices: dict[tuple[tuple[tuple[str, float], ...], float], Choice] = {}

    @property
    def thresholds(self) -> Thresholds:
        """See above."""
        return self._in_force[0]

    @property
    def info(self) -> ModelInfo:
        """See above."""
        return self._in_force[1]

    def keep_time(self, timeout_s: float, start_timeout_s: float, golden_interval_s: float) -> None:
        """Other deadlines of the device's calls, and another time between two runs of the golden frame. Any thread."""
        if self._deadlines is not None:
            self._deadlines.configure(timeout_s, start_timeout_s)
        if self._scrutiny is not None:
            self._scrutiny.interval_s = golden_interval_s

    def place(self, pixels: NDArray[np.uint8], slot: Slot, index: int, roi: Shares = WHOLE) -> Letterbox:
        """Makes one picture, uint8 (H, W, 3) BGR, the input number ``index`` of the slot: all of it or the rectangle
        ``roi``, left, top, right, bottom in 0..1."""
        target = slot.inputs[0][index]
        if roi == WHOLE:
            return self._preprocess(pixels, target)
        height, width = pixels.shape[:2]
        region = Region.of(roi, width, height)
        part = pixels[region.top : region.bottom, region.left : region.right]
        return self._preprocess(part, target).within(region, width, height)

    def choice(self, classes: tuple[tuple[str, float], ...], confidence: float) -> Choice:
        """What a source wants of this model that is configured so; see ``choose``. One thread."""
        choices = self._choices
        choice = choices.get((classes, confidence))
        if choice is None:
            if len(choices) >= MAX_CHOICES:
                choices.clear()
            choice = choose(classes, confidence, *self._in_force)
            choices[classes, confidence] = choice
        return choice

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

        It counts as pending until it is released. DeviceLost if the golden frame failed, which is nobody's invocation.
        """
        while True:
            if self._scrutiny is not None and not self.engine.closed:
                self._scrutiny.look(time.monotonic())
            mended = self.recovery.failures if self.recovery else 0
            try:
                slot = self._wait()
            except RuntimeFailure as error:
                return Done(self._pending[0], None, error)
            if slot is not None:
                self._note(slot, mended)
                return Done(self._pending[0], slot, None)
            if self._scrutiny is None or self.engine.closed:
                return None

    def _wait(self) -> Slot | None:
        if self._scrutiny is None:
            return self.engine.collect(recover=self.recovery)
        rest = max(0.0, self._scrutiny.due - time.monotonic())
        return self.engine.collect(rest, self.recovery, self._scrutiny.doubt)

    def _note(self, slot: Slot, mended: int) -> None:
        """What an invocation that came to its end teaches: unless it had to be mended, that the device works."""
        if self.recovery is not None:
            if slot.wrong_time:
                self.recovery.wrong_time()
            if self.recovery.failures != mended:
                return
            self.recovery.worked()
        if self._deadlines is not None:
            self._deadlines.note(slot.host_s)

    def read(self, slot: Slot, index: int, letterbox: Letterbox, choice: Choice | None = None) -> Result:
        """What the model has to say of the picture number ``index`` of a collected slot, boxes in its pixels: of that
        what ``choice`` wants."""
        thresholds, least = (choice.thresholds, choice.least) if choice else (self.thresholds, None)
        return self._read(slot.outputs, index, letterbox, thresholds, least)

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
    def groups(self) -> list[Group]:
        """Those that are pending."""
        return list(self._pending)

    def health(self) -> Health:
        """How the device is. Any thread may ask."""
        return Health() if self.recovery is None else self.recovery.health()

    @property
    def lost(self) -> bool:
        """Whether the device was given up: from then on every failure is final."""
        return self.recovery is not None and self.recovery.lost is not None

    def self_test(self) -> float:
        """Sends one grey picture through model and device before anything is served, whose failure is told at once, and
        the golden frame through all lanes; the picture's device time in milliseconds."""
        slot = self.engine.acquire(0)
        if slot is None:
            raise RuntimeFailure("self-test: the engine has no free slot")
        size = self.spec.input
        letterbox = self.place(np.full((size.height, size.width, 3), 128, np.uint8), slot, 0)
        self.engine.submit(slot)
        done = self.engine.collect()
        if done is None:
            raise RuntimeFailure("self-test: the engine was closed")
        self.read(done, 0, letterbox)
        if self._deadlines is not None:
            self._deadlines.note(done.host_s)
        self.engine.release(done)
        if self._scrutiny is not None:
            self._scrutiny.start()
        return done.device_us / 1000


def _runtime(engine: Engine) -> tuple[str, tuple[str, ...]]:
    return engine.library.kind, engine.library.flags
