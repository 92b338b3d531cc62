"""What is wrong with a camera's picture although frames arrive: frozen, black, covered, moved.

Looked at is a grid of samples: 36 x 64 cells of 4 x 4 green values, whatever the picture's size. ``step`` is a function
of what is remembered, the samples and the time, so that a year can be tested in a second.

- frozen: the samples stay the same, but for less than ``frozen_noise`` grey levels on the average, also by a key frame:
  until that comes, an encoder that saves bits repeats a quiet scene as it is.
- black: hardly any cell is brighter than ``black_level``.
- covered: hardly any cell differs from its neighbours: a lens that something is on shows no edges.
- moved: the edges that were there all the time (their slowly moving average) are somewhere else now. Passing objects
  hide some of them only, and light changes their strength, but not their place and direction.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from .states import SourceState

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..config import SourceConfig, WatchConfig

WATCHED = ("url", "camera")  # a file that shows a still picture is no fault
ROWS, COLUMNS, SIDE = 36, 64, 4  # cells, and samples along a cell's side
LOOK_S = 0.2  # between looks, at least
LONGEST_S = 1.0  # that one look counts for: after a pause nothing is known of the time between
LEAST_LOOKS = 3
RELEASE_S = 1.0  # so long all must be well until it is believed
SLACK = 1.5  # a picture must be so much better than the limit to count as well again
BRIGHT_SHARE = 0.01  # of the cells may be brighter in a black picture
EDGE = 6.0  # grey levels between neighbouring cells
KEYLESS_S = 120.0  # so long a picture may stand still without a key frame
STILL_CELL = 2.0  # grey levels that no cell of a frozen picture changes by
LEARN_S = 20.0  # of looking, until it is known what the camera usually sees
AVERAGE_S = 120.0
LEAST_EDGES = 24
FAINT = 0.3  # of an edge's usual strength, less of it is none
STRONGEST = 8.0  # that weaker light is made up for
ADOPT_S = 600.0  # a new view is taken for the usual one after so long


@dataclass(frozen=True)
class Latch:
    """A condition that must hold for a while before it is believed, and be over for a while as well."""

    on: bool = False
    held_s: float = 0.0  # for which the condition has differed from ``on``
    looks: int = 0

    def after(self, condition: bool, passed_s: float, hold_s: float) -> Latch:
        """One look later."""
        if condition == self.on:
            return Latch(self.on)
        # the first look tells that it is so, not for how long
        held_s, looks = self.held_s + (passed_s if self.looks else 0.0), self.looks + 1
        if held_s >= (hold_s if condition else RELEASE_S) and looks >= LEAST_LOOKS:
            return Latch(condition)
        return Latch(self.on, held_s, looks)


@dataclass(frozen=True, eq=False)
class Memory:
    """What is known of one camera. ``still``: uint8 (ROWS * SIDE, COLUMNS * SIDE), the samples that a frozen picture
    would repeat; ``view``: float32 (2, ROWS // 2, COLUMNS // 2), the usual differences to the right and to below."""

    last: float | None = None
    learned_s: float = 0.0
    moved_s: float = 0.0
    still: NDArray[np.uint8] | None = None
    keyed: bool = False  # whether a key frame repeated it
    view: NDArray[np.float32] | None = None
    frozen: Latch = field(default_factory=Latch)
    black: Latch = field(default_factory=Latch)
    covered: Latch = field(default_factory=Latch)
    moved: Latch = field(default_factory=Latch)

    @property
    def finding(self) -> SourceState | None:
        """The most telling of what is wrong: a black picture is frozen and covered, too."""
        latches = {
            SourceState.BLACK: self.black,
            SourceState.FROZEN: self.frozen,
            SourceState.COVERED: self.covered,
            SourceState.MOVED: self.moved,
        }
        return next((state for state, latch in latches.items() if latch.on), None)


def sample(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 (H, W, 3) -> uint8 (ROWS * SIDE, COLUMNS * SIDE): green values, evenly spread."""
    samples: NDArray[np.uint8] = pixels.reshape(-1)[_places(*pixels.shape[:2])]
    return samples


@functools.lru_cache(maxsize=16)  # sizes of pictures, of which a box sees few
def _places(height: int, width: int) -> NDArray[np.intp]:
    """Where the samples lie in the bytes of a picture of this size."""
    rows = (np.arange(ROWS * SIDE) * 2 + 1) * height // (2 * ROWS * SIDE)
    columns = (np.arange(COLUMNS * SIDE) * 2 + 1) * width // (2 * COLUMNS * SIDE)
    return (rows[:, None] * width + columns) * 3 + 1


def step(
    memory: Memory, samples: NDArray[np.uint8], now: float, limits: WatchConfig, *, key_frame: bool = True
) -> Memory:
    """What is known after one more look at ``now``, monotonic seconds. A limit of 0 switches its part off.

    ``key_frame``: whether one came since the look before.
    """
    passed_s = min(now - memory.last, LONGEST_S) if memory.last is not None else 0.0
    cells = _cells(samples)
    dark = _is_black(cells, memory.black, limits)
    plain = _is_covered(cells, memory.covered, limits)
    memory = replace(
        memory,
        last=now,
        black=memory.black.after(dark, passed_s, limits.hold_s),
        covered=memory.covered.after(plain and not dark, passed_s, limits.hold_s),
    )
    memory = _look_for_standstill(memory, samples, passed_s, limits, key_frame=key_frame)
    # where nothing is to be seen, nothing tells where the camera looks
    return memory if dark or plain or not limits.moved_share else _look_for_move(memory, cells, passed_s, limits)


def _cells(samples: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The mean of each cell, (ROWS, COLUMNS)."""
    # uint16 holds the sum of 16 bytes; along the rows first, which lie together
    rows = samples.reshape(ROWS, SIDE, COLUMNS * SIDE).sum(axis=1, dtype=np.uint16)
    sums = rows.reshape(ROWS, COLUMNS, SIDE).sum(axis=2, dtype=np.uint16)
    means: NDArray[np.float32] = sums.astype(np.float32)
    means /= SIDE * SIDE
    return means


def _is_black(cells: NDArray[np.float32], latch: Latch, limits: WatchConfig) -> bool:
    level = limits.black_level * (SLACK if latch.on else 1.0)
    return limits.black_level > 0 and int(np.count_nonzero(cells > level)) <= BRIGHT_SHARE * cells.size


def _is_covered(cells: NDArray[np.float32], latch: Latch, limits: WatchConfig) -> bool:
    share = limits.covered_detail * (SLACK if latch.on else 1.0)
    steps = np.maximum(np.abs(np.diff(cells, axis=1))[:-1], np.abs(np.diff(cells, axis=0))[:, :-1])
    return int(np.count_nonzero(steps > EDGE)) < share * steps.size


def _look_for_standstill(
    memory: Memory, samples: NDArray[np.uint8], passed_s: float, limits: WatchConfig, *, key_frame: bool
) -> Memory:
    if not limits.frozen_s:
        return memory
    same = memory.still is not None and _is_same(memory.still, samples, limits.frozen_noise)
    keyed = same and (memory.keyed or key_frame)
    frozen = memory.frozen.after(same, passed_s, limits.frozen_s if keyed else max(limits.frozen_s, KEYLESS_S))
    # a frozen picture is remembered until it is believed that it goes on
    return replace(memory, frozen=frozen, keyed=keyed, still=memory.still if same or frozen.on else samples)


def _is_same(one: NDArray[np.uint8], other: NDArray[np.uint8], noise: float) -> bool:
    # of two bytes the greater minus the smaller does not wrap
    differences = np.maximum(one, other) - np.minimum(one, other)
    return float(differences.mean(dtype=np.float32)) <= noise and float(_cells(differences).max()) < STILL_CELL


def _look_for_move(memory: Memory, cells: NDArray[np.float32], passed_s: float, limits: WatchConfig) -> Memory:
    view = _edges(cells)
    if memory.view is None:
        return replace(memory, view=view)
    lost = _lost_share(memory.view, view)
    learning = memory.learned_s < LEARN_S
    gone = lost is not None and not learning and lost > limits.moved_share / (SLACK if memory.moved.on else 1.0)
    moved = memory.moved.after(gone, passed_s, limits.hold_s)
    moved_s = memory.moved_s + passed_s if moved.on else 0.0
    if moved_s >= ADOPT_S:
        return replace(memory, view=view, learned_s=0.0, moved=Latch(), moved_s=0.0)
    if not gone:
        weight = max(passed_s / (memory.learned_s + passed_s + 1e-9) if learning else 0.0, passed_s / AVERAGE_S)
        view = memory.view + np.float32(min(1.0, weight)) * (view - memory.view)
        return replace(memory, view=view, learned_s=memory.learned_s + passed_s, moved=moved, moved_s=moved_s)
    return replace(memory, moved=moved, moved_s=moved_s)


def _edges(cells: NDArray[np.float32]) -> NDArray[np.float32]:
    """Differences of cells of twice the side to their right and lower neighbours; larger cells, since cameras shake."""
    large = cells.reshape(ROWS // 2, 2, COLUMNS // 2, 2).mean(axis=(1, 3))
    right, below = np.zeros_like(large), np.zeros_like(large)
    right[:, :-1] = np.diff(large, axis=1)
    below[:-1] = np.diff(large, axis=0)
    return np.stack([right, below])


def _lost_share(usual: NDArray[np.float32], view: NDArray[np.float32]) -> float | None:
    """The share of the usual edges that are gone or turned round; None if there are too few to tell."""
    edges = np.abs(usual) > EDGE
    count = np.count_nonzero(edges)
    if count < LEAST_EDGES:
        return None
    usual, view = usual[edges], view[edges]
    light = min(STRONGEST, max(1.0 / STRONGEST, float(np.abs(usual).mean() / max(1e-6, np.abs(view).mean()))))
    kept = np.count_nonzero(view * np.sign(usual) * light > FAINT * np.abs(usual))
    return 1.0 - kept / count


class PictureWatch:
    """Looks at a source's pictures, five times a second at most, and knows what is wrong with them. One thread."""

    def __init__(self, limits: WatchConfig) -> None:
        self._limits = limits
        self._memory = Memory()
        self._shape: tuple[int, ...] = ()
        self._key_frames: int | None = 0

    @property
    def finding(self) -> tuple[SourceState, str] | None:
        """What is wrong, and a sentence."""
        state = self._memory.finding
        return None if state is None else (state, _sentence(state, self._limits))

    def look(self, pixels: NDArray[np.uint8], now: float, key_frames: int | None = None) -> None:
        """One picture, uint8 (H, W, 3), at ``now``, monotonic seconds; ``key_frames`` until it, None if all are."""
        if self._memory.last is not None and now - self._memory.last < LOOK_S:
            return
        if pixels.shape != self._shape:  # another size may be another cut-out
            self._shape = pixels.shape
            self._memory = Memory()
        came = key_frames is None or key_frames != self._key_frames
        self._key_frames = key_frames
        self._memory = step(self._memory, sample(pixels), now, self._limits, key_frame=came)


def watch_of(config: SourceConfig) -> PictureWatch | None:
    """What watches the pictures of a source; None where nobody does."""
    return PictureWatch(config.watch) if config.watch.enabled and config.kind in WATCHED else None


def _sentence(state: SourceState, limits: WatchConfig) -> str:
    return {
        SourceState.FROZEN: f"frames arrive, but the picture has been the same for {limits.frozen_s:g} s and more",
        SourceState.BLACK: f"frames arrive, but hardly a spot is brighter than {limits.black_level:g} of 255",
        SourceState.COVERED: "frames arrive, but the picture has no detail: something may cover the lens",
        SourceState.MOVED: "frames arrive, but of another view than before: the camera may have been turned",
    }[state]
