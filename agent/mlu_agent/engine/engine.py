"""Invocations over all cores of a device: slots with their own buffers, submitted and collected in order.

One context per group of cores that an invocation takes (parallelism 1 on MLU220: four; parallelism 4: one), and
``slots`` slots on each, every one with a queue of its own, so that a core has its next invocation queued while the last
one's results are read. Everything is allocated once; an invocation allocates nothing that outlives it.

Copies are the synchronous ones on purpose: cnrtMemcpyAsync is documented for MLU270 only in some versions. The host-to-
device copy writes to buffers that no running invocation uses, so it overlaps with the invocation queued before it.
"""

from __future__ import annotations

import collections
import contextlib
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Callable

from ..cnrt import Context, Device, Library, Model
from ..config.files import file_stamp
from ..errors import DataError, RuntimeFailure, UserError, passing
from .lane import Lane, Pace
from .slot import OutputPool, Slot

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from ..config.files import Stamp
    from ..model.offline_model import OfflineModel

__all__ = ["SLOTS_PER_CONTEXT", "Engine", "Recover", "Slot"]

SLOTS_PER_CONTEXT = 2

# Called with a slot whose invocation failed and why; returns when the slot is finished, or raises RuntimeFailure.
Recover = Callable[[Slot, RuntimeFailure], None]
# Called with a slot that ended well; RuntimeFailure if its outputs cannot be believed.
Check = Callable[[Slot], None]


class Engine:
    """Runs one model on one device.

    ``cores``: how many cores to use, None for all of the device, and of the simulator for as many as this host can keep
    busy; ``slots``: slots per context; ``spare``: whether there is one more, for ``probe``; ``stamp``: of the file that
    the model is to be, None for whatever is there. Any one thread may submit and any one other thread collect at the
    same time.
    Raises UserError for impossible numbers, DataError for a model that this library cannot run, RuntimeFailure when the
    runtime fails.
    """

    def __init__(
        self,
        library: Library,
        model_path: str | os.PathLike[str],
        *,
        cores: int | None = None,
        slots: int = SLOTS_PER_CONTEXT,
        ordinal: int = 0,
        spare: bool = False,
        stamp: Stamp | None = None,
        given: Path | None = None,
    ) -> None:
        if slots < 1:
            raise UserError(f"slots = {slots}: at least one is needed")
        self.library = library
        self._open = True
        self._path = Path(model_path)
        self._stamp = stamp or file_stamp(self._path)
        self._given = "" if given is None else str(given)
        self._ordinal = ordinal
        self._exits = contextlib.ExitStack()  # device and model
        self._work = contextlib.ExitStack()  # what lies on them: contexts, queues, buffers
        self._thread = threading.local()
        self._generation = 0
        self._lock = threading.Condition()
        self._device_lock = threading.Lock()  # nothing is submitted while everything is made anew
        self._free: collections.deque[Slot] = collections.deque()
        self._running: collections.deque[Slot] = collections.deque()
        self._collecting = 0
        self.pace = Pace()
        self._abandoned = False
        try:
            self._build(cores, slots, spare)
        except BaseException:
            self.close()
            raise

    def _build(self, cores: int | None, slots: int, spare: bool) -> None:
        self._open_device()
        if not self.description.inputs or not self.description.outputs:
            raise DataError(
                f"{self._path}: the container describes no inputs and outputs (a format before 2020): compile it anew, "
                "or run it on the simulator with a stand-in (mlu-export standin)"
            )
        self.cores = _usable_cores(cores, self.device.cores, self.description, self.library)
        self.lanes = self.cores // self.description.parallelism
        self.slots = slots * self.lanes
        pool = OutputPool(self.description)
        self._spares = [Slot(self.description, pool)] if spare else []
        self._all = [Slot(self.description, pool) for _ in range(self.slots)]
        self._open_contexts()
        self._free.extend(self._all)

    def _open_device(self) -> None:
        self._device = Device(self.library, self._ordinal)
        self._exits.callback(self._device.close)
        self._model = Model(self.library, self._path, self._device.info.target, self._given)
        self._exits.callback(self._model.close)
        if file_stamp(self._path) != self._stamp:  # the runtime opens it by its path, and so did who knows its digest
            raise passing(RuntimeFailure(f"{self._path}: was changed while it was loaded; load it again"))
        self.description = self._model.description
        self.standin = self._model.standin
        self.device = self._device.info
        self._generation += 1

    def _open_contexts(self) -> None:
        try:
            lanes: list[Lane] = []
            self._lanes = lanes
            for number in range(self.lanes):
                lanes.append(Lane(number, Context(self._device, self._model), self.pace))
                self._work.callback(lanes[-1].context.close)
            # lane by lane in turn, so that in submission order every core gets work before any gets its second
            for index, slot in enumerate([*self._all, *self._spares]):
                slot.attach(lanes[index % self.lanes], self.pace, self.library, self._work)
        except BaseException:
            _shut(self._work)
            raise

    @property
    def batch(self) -> int:
        """Pictures per invocation: the first dimension that the model was compiled for."""
        return int(self.description.inputs[0].shape[0])

    @property
    def closed(self) -> bool:
        """Whether ``interrupt`` or ``close`` was called."""
        return not self._open

    @property
    def in_flight(self) -> int:
        """Invocations submitted and not collected."""
        return len(self._running)

    def acquire(self, timeout: float | None = None) -> Slot | None:
        """A free slot, waited for up to ``timeout`` seconds (None: for ever); None if there is none, or when closed."""
        with self._lock:
            if not self._lock.wait_for(lambda: self._free or not self._open, timeout) or not self._open:
                return None
            return self._take_best()

    def swap(self, slot: Slot) -> Slot:
        """That slot, which is given back for it, or the one whose lane will be free first."""
        with self._lock:
            self._free.appendleft(slot)
            return self._take_best()

    def _take_best(self) -> Slot:
        slot = min(self._free, key=lambda slot: slot.lane_ends)
        self._free.remove(slot)
        return slot

    def due(self, slot: Slot) -> float:
        """When a live frame is to be taken, so that it is ready as soon as a lane is free for this slot or another free
        one, and no older than it must be; monotonic seconds, in the past if there is a lane that does nothing."""
        with self._lock:
            return min(one.lane_ends for one in (slot, *self._free)) - self.pace.lead_s

    def submit(self, slot: Slot, *, defer: bool = False) -> None:
        """Copies the inputs to the device and queues the invocation; until collected its arrays are the device's.

        RuntimeFailure if the device refuses; the slot is still the caller's then. With ``defer`` nothing is raised: the
        slot counts as submitted, and ``collect`` tells of the failure in its turn.
        """
        with self._device_lock:
            self._make_current()
            if defer:
                _submit_or_note(slot)
            else:
                slot.submit()
            with self._lock:
                self._running.append(slot)
                self._lock.notify_all()

    @property
    def spare(self) -> Slot:
        """The slot of the last probe."""
        return self._spares[0]

    @contextlib.contextmanager
    def probe(self, lane: int, inputs: Sequence[NDArray[Any]]) -> Iterator[Slot]:
        """Runs these inputs in the spare slot on that lane; its outputs, which held PATTERN before, for as long as the
        context lasts. By the collecting thread, between two invocations in flight. RuntimeFailure if it fails."""
        slot = self.spare
        try:
            with self._working():
                for host, array in zip(slot.inputs, inputs):
                    host[...] = array
                with self._device_lock:
                    self._make_current()
                    slot.move(self._lanes[lane])
                    slot.stain()
                    slot.submit()
                try:
                    slot.finish()
                except RuntimeFailure:
                    slot.drain()
                    raise
            yield slot
        finally:
            slot.give_back_outputs()

    @contextlib.contextmanager
    def _working(self) -> Iterator[None]:
        """Meanwhile ``close`` waits."""
        with self._lock:
            self._collecting += 1
        try:
            yield
        finally:
            with self._lock:
                self._collecting -= 1
                self._lock.notify_all()

    def collect(
        self, timeout: float | None = None, recover: Recover | None = None, check: Check | None = None
    ) -> Slot | None:
        """The oldest submitted slot, with its outputs filled; in submission order over all cores.

        ``timeout`` bounds the wait for something to be submitted (None: for ever), not the device. Returns None when it
        runs out or the engine is closed. If that slot's invocation failed, ``recover`` may call ``again``, ``renew``
        and ``reopen`` with it; without, or if it raises, RuntimeFailure: the slot is free again. ``check`` is called
        with a slot that ended well; if it raises RuntimeFailure, that invocation failed.
        """
        with self._lock:
            if not self._lock.wait_for(lambda: self._running or not self._open, timeout) or not self._running:
                return None
            slot = self._running.popleft()
            self._collecting += 1
        try:
            self._collect(slot, recover, check)
        except RuntimeFailure:
            self.release(slot)
            raise
        finally:
            with self._lock:
                self._collecting -= 1
                self._lock.notify_all()
        return slot

    def _collect(self, slot: Slot, recover: Recover | None, check: Check | None) -> None:
        try:
            self._make_current()
            slot.finish()
            if check is not None:
                check(slot)
        except RuntimeFailure as error:
            if recover is None:
                raise
            recover(slot, error)

    def again(self, slot: Slot) -> None:
        """Runs a slot that failed once more; RuntimeFailure if that fails too. Only within ``recover``, as the next."""
        with self._device_lock:
            slot.submit()
        slot.finish()

    def renew(self, slot: Slot) -> None:
        """Makes contexts, queues and buffers anew, and submits this slot and all in flight again: none is lost."""
        self._rebuild(slot, reopen=False)

    def reopen(self, slot: Slot) -> None:
        """As ``renew``, with device and model opened anew. RuntimeFailure if the model's file is another one now."""
        if file_stamp(self._path) != self._stamp:
            raise RuntimeFailure(f"{self._path}: the file was changed meanwhile; a restart takes the new one")
        self._rebuild(slot, reopen=True)

    def _rebuild(self, slot: Slot, *, reopen: bool) -> None:
        with self._device_lock:
            with self._lock:
                in_flight = [slot, *self._running]
            for one in in_flight:
                one.drain()
            _shut(self._work)
            if reopen:
                _shut(self._exits)
                self._open_device()
            self._make_current()
            self._open_contexts()
            for one in in_flight:
                _submit_or_note(one)
        slot.finish()

    def release(self, slot: Slot) -> None:
        """Gives a slot back after its outputs were read (or after acquiring it in vain)."""
        slot.give_back_outputs()
        with self._lock:
            self._free.append(slot)
            self._lock.notify_all()

    def interrupt(self) -> None:
        """Wakes every waiting ``acquire`` and ``collect``; they return None from now on. ``close`` is still needed."""
        with self._lock:
            self._open = False
            self._lock.notify_all()

    def abandon(self) -> None:
        """A call of the device does not return: from now on nothing here calls it, and ``close`` waits for nothing."""
        self._abandoned = True
        self.interrupt()

    def close(self) -> None:
        """Waits for running invocations, then releases everything; a second call does nothing."""
        self.interrupt()
        if self._abandoned:
            return
        with self._lock:
            self._lock.wait_for(lambda: not self._collecting)
            running, self._running = list(self._running), collections.deque()
            self._free.clear()
        for slot in running:
            # an invocation writes to its buffers until it ends; its failure changes nothing any more
            slot.drain()
        with contextlib.ExitStack() as exits:  # backwards, and all of it whatever fails
            exits.push(self._exits.pop_all())
            exits.push(self._work.pop_all())

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_open", False):
            warnings.warn("Engine was never closed", ResourceWarning, source=self, stacklevel=2)

    def _make_current(self) -> None:
        # CNRT keeps the current device per host thread
        if getattr(self._thread, "generation", 0) != self._generation:
            self._device.make_current()
            self._thread.generation = self._generation


def _submit_or_note(slot: Slot) -> None:
    slot.failure = None  # that of an earlier try is over
    try:
        slot.submit()
    except RuntimeFailure as error:
        slot.failure = error


def _shut(exits: contextlib.ExitStack) -> None:
    """Closes everything; on a device that fails, closing may fail too, which changes nothing."""
    with contextlib.suppress(RuntimeFailure):
        exits.close()


def _usable_cores(wanted: int | None, available: int, model: OfflineModel, library: Library) -> int:
    """How many cores to use: a multiple of the model's parallelism."""
    cores = _useful_cores(available, model.parallelism, library.threads) if wanted is None else wanted
    if not 1 <= cores <= available:
        raise UserError(f"cores = {cores}: the device has {available}; choose 1 to {available}")
    if model.parallelism > cores:
        raise UserError(
            f"cores = {cores}: the model takes {model.parallelism} cores per invocation; "
            f"{_more_cores(available, model, library.kind)}"
        )
    return cores - cores % model.parallelism


def _useful_cores(available: int, parallelism: int, threads: int | None) -> int:
    """As many as this host can keep busy: more of a simulator's only take turns, and each takes memory and time."""
    if threads is None:
        return available
    return min(available, max(1, threads // min(threads, parallelism)) * parallelism)


def _more_cores(available: int, model: OfflineModel, kind: str) -> str:
    """What helps where a model takes more cores than it is given."""
    if model.parallelism <= available:
        return "give it at least as many"
    fewer = f"compile it for {available} at most"
    if kind == "simulator" and model.target == "MLU270":
        return (
            f"it is for an MLU270: set CNRT_SIMULATOR_DEVICE=MLU270 in the environment, and the simulator is one, "
            f"or {fewer}"
        )
    return f"the {kind} has no more than {available}: {fewer}" + (
        f", or run it on an {model.target}" if model.target != "unknown" else ""
    )
