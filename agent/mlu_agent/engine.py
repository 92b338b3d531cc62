"""Invocations over all cores of a device: slots with their own buffers, submitted and collected in order.

One context and one queue per group of cores that an invocation takes (parallelism 1 on MLU220: four; parallelism 4:
one),
and `slots` slots on each, so that a core has its next invocation queued while the last one's results are read.
Everything
is allocated once; an invocation allocates nothing that outlives it.

Copies are the synchronous ones on purpose: cnrtMemcpyAsync is documented for MLU270 only in some versions. The host-to-
device copy writes to buffers that no running invocation uses, so it overlaps with the invocation queued before it.
"""

from __future__ import annotations

import collections
import contextlib
import threading
import time
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from .cnrt import Context, Device, DeviceBuffer, Library, Model, Notifier, Queue
from .errors import DataError, RuntimeFailure, UserError

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

    from .offline_model import TensorInfo

SLOTS_PER_CONTEXT = 2


class _Lane:
    """One context with its queue."""

    def __init__(self, device: Device, model: Model, exits: contextlib.ExitStack) -> None:
        self.queue = Queue(device.library)
        exits.callback(self.queue.close)
        self.context = Context(device, model)
        exits.callback(self.context.close)


class Slot:
    """One in-flight invocation's buffers.

    `inputs`, `outputs`: host arrays of the whole batch, (N, H, W, C) in the container's dtype; fixed memory that
    belong to the holder between `acquire` and `submit`, and between `collect` and `release`.
    `device_us`: device time of the last invocation, microseconds; `copy_in_us`, `copy_out_us`: the host's time for the
    copies before and after it.
    """

    def __init__(self, lane: _Lane, model: Model, exits: contextlib.ExitStack) -> None:
        library = model.library
        self._lane = lane
        self.device_us = self.copy_in_us = self.copy_out_us = 0.0
        self.inputs = [_host_array(tensor) for tensor in model.description.inputs]
        self.outputs = [_host_array(tensor) for tensor in model.description.outputs]
        self._pairs = []
        for array in (*self.inputs, *self.outputs):
            buffer = DeviceBuffer(library, array.nbytes)
            exits.callback(buffer.close)
            self._pairs.append((buffer, library.ffi.from_buffer(array)))
        self._parameters = library.ffi.new("void *[]", [buffer.pointer for buffer, _ in self._pairs])
        self._start = Notifier(library)
        exits.callback(self._start.close)
        self._end = Notifier(library)
        exits.callback(self._end.close)

    def _submit(self) -> None:
        start = time.perf_counter()
        for buffer, host in self._pairs[: len(self.inputs)]:
            buffer.copy_from(host)
        self.copy_in_us = (time.perf_counter() - start) * 1e6
        self._start.place(self._lane.queue)
        self._lane.context.invoke(self._parameters, self._lane.queue)
        self._end.place(self._lane.queue)

    def _finish(self) -> None:
        self._end.wait()
        start = time.perf_counter()
        for buffer, host in self._pairs[len(self.inputs) :]:
            buffer.copy_to(host)
        self.copy_out_us = (time.perf_counter() - start) * 1e6
        self.device_us = self._end.microseconds_since(self._start)


class Engine:
    """Runs one model on one device.

    `cores`: how many cores to use, None for all of the device; `slots`: slots per context. Any one thread may submit
    and
    any one other thread collect at the same time. Raises UserError for impossible numbers, DataError for a model that
    this
    library cannot run, RuntimeFailure when the runtime fails.
    """

    def __init__(
        self,
        library: Library,
        model_path: str | os.PathLike[str],
        *,
        cores: int | None = None,
        slots: int = SLOTS_PER_CONTEXT,
        ordinal: int = 0,
    ) -> None:
        if slots < 1:
            raise UserError(f"slots = {slots}: at least one is needed")
        self.library = library
        self._open = True
        self._exits = contextlib.ExitStack()
        self._thread = threading.local()
        self._lock = threading.Condition()
        self._free: collections.deque[Slot] = collections.deque()
        self._running: collections.deque[Slot] = collections.deque()
        self._collecting = 0
        self._last_progress = 0.0
        try:
            self._build(model_path, cores, slots, ordinal)
        except BaseException:
            self.close()
            raise

    def _build(self, path: str | os.PathLike[str], cores: int | None, slots: int, ordinal: int) -> None:
        self._device = Device(self.library, ordinal)
        self._exits.callback(self._device.close)
        self._model = Model(self.library, path)
        self._exits.callback(self._model.close)
        self.description = self._model.description
        if not self.description.inputs or not self.description.outputs:
            raise DataError(
                f"{path}: the container describes no inputs and outputs (a format before 2020): compile it anew"
            )
        self.device = self._device.info
        self.cores = _usable_cores(cores, self.device.cores, self.description.parallelism)
        count = self.cores // self.description.parallelism
        lanes = [_Lane(self._device, self._model, self._exits) for _ in range(count)]
        # lane by lane in turn, so that in submission order every core gets work before any gets its second
        self._free.extend(Slot(lane, self._model, self._exits) for _ in range(slots) for lane in lanes)
        self.slots = len(self._free)

    @property
    def batch(self) -> int:
        """Pictures per invocation: the first dimension that the model was compiled for."""
        return int(self.description.inputs[0].shape[0])

    @property
    def in_flight(self) -> int:
        """Invocations submitted and not collected."""
        return len(self._running)

    def acquire(self, timeout: float | None = None) -> Slot | None:
        """A free slot; waits up to `timeout` seconds (None: for ever) and returns None if there was none, or when
        closed."""
        with self._lock:
            if not self._lock.wait_for(lambda: self._free or not self._open, timeout) or not self._open:
                return None
            return self._free.popleft()

    def submit(self, slot: Slot) -> None:
        """Copies the inputs to the device and queues the invocation; the slot's arrays must not be touched until
        collected.

        RuntimeFailure if the device refuses; the slot is still the caller's then.
        """
        self._make_current()
        slot._submit()  # noqa: SLF001 - a slot is moved by its engine alone
        with self._lock:
            if not self._running and not self._collecting:
                self._last_progress = time.monotonic()
            self._running.append(slot)
            self._lock.notify_all()

    def collect(self, timeout: float | None = None) -> Slot | None:
        """The oldest submitted slot, with its outputs filled; in submission order over all cores.

        `timeout` bounds the wait for something to be submitted (None: for ever), not the device. Returns None when it
        runs out or the engine is closed. RuntimeFailure if that slot's invocation failed: the slot is free again.
        """
        with self._lock:
            if not self._lock.wait_for(lambda: self._running or not self._open, timeout) or not self._running:
                return None
            slot = self._running.popleft()
            self._collecting += 1
        try:
            self._make_current()
            slot._finish()  # noqa: SLF001 - as above
        except RuntimeFailure:
            self.release(slot)
            raise
        finally:
            with self._lock:
                self._collecting -= 1
                self._last_progress = time.monotonic()
                self._lock.notify_all()
        return slot

    def release(self, slot: Slot) -> None:
        """Gives a slot back after its outputs were read (or after acquiring it in vain)."""
        with self._lock:
            self._free.append(slot)
            self._lock.notify_all()

    def stuck_for(self, now: float) -> float:
        """Seconds for which something has been in flight without anything being collected; `now` of the monotonic
        clock."""
        with self._lock:
            busy = bool(self._running) or self._collecting > 0
            return now - self._last_progress if busy else 0.0

    def interrupt(self) -> None:
        """Wakes every waiting `acquire` and `collect`; they return None from now on. `close` is still needed."""
        with self._lock:
            self._open = False
            self._lock.notify_all()

    def close(self) -> None:
        """Waits for running invocations, then releases everything; a second call does nothing."""
        self.interrupt()
        with self._lock:
            self._lock.wait_for(lambda: not self._collecting)
            running, self._running = list(self._running), collections.deque()
            self._free.clear()
        for slot in running:
            # an invocation writes to its buffers until it ends; its failure changes nothing any more
            with contextlib.suppress(RuntimeFailure):
                slot._end.wait()  # noqa: SLF001 - as above
        exits, self._exits = self._exits, contextlib.ExitStack()
        exits.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_open", False):
            warnings.warn("Engine was never closed", ResourceWarning, source=self, stacklevel=2)

    def _make_current(self) -> None:
        # CNRT keeps the current device per host thread
        if not getattr(self._thread, "ready", False):
            self._device.make_current()
            self._thread.ready = True


def _usable_cores(wanted: int | None, available: int, parallelism: int) -> int:
    """How many cores to use: a multiple of the model's parallelism."""
    cores = available if wanted is None else wanted
    if not 1 <= cores <= available:
        raise UserError(f"cores = {cores}: the device has {available}; choose 1 to {available}")
    if parallelism > cores:
        raise UserError(
            f"cores = {cores}: the model takes {parallelism} cores per invocation; give it at least as many"
        )
    return cores - cores % parallelism


def _host_array(tensor: TensorInfo) -> NDArray[Any]:
    array = np.zeros(tensor.shape, np.dtype(tensor.dtype))
    if array.nbytes != tensor.bytes:
        raise DataError(f"tensor {tensor.name!r}: {tensor.dtype} {tensor.shape} is not {tensor.bytes} bytes")
    return array
