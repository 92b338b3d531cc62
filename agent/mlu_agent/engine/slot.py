"""The buffers of one invocation in flight, on the host and on the device."""

from __future__ import annotations

import contextlib
import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from ..cnrt import DeviceBuffer, Notifier, Queue
from ..errors import DataError, RuntimeFailure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..cnrt import Library
    from ..model.offline_model import OfflineModel, TensorInfo
    from .lane import Lane, Pace


PATTERN = 0xA5  # what buffers hold that nobody wrote to
CLOCKS_DIFFER = 1.1  # a device's clock need not run as the host's does
CLOCKS_DIFFER_US = 1000.0


class Outputs:
    """The host's arrays of one invocation's outputs."""

    def __init__(self, description: OfflineModel) -> None:
        self.arrays = [_host_array(tensor) for tensor in description.outputs]


class OutputPool:
    """As many of them as were ever needed at once: one, for who reads a slot's outputs before the next is collected."""

    def __init__(self, description: OfflineModel) -> None:
        self._description = description
        self._free: list[Outputs] = [Outputs(description)]

    def take(self) -> Outputs:
        """One for the caller alone, until it gives it back."""
        return self._free.pop() if self._free else Outputs(self._description)

    def give_back(self, outputs: Outputs) -> None:
        """To be taken again."""
        self._free.append(outputs)


class Slot:
    """One in-flight invocation's buffers.

    ``inputs``, ``outputs``: host arrays of the whole batch, (N, H, W, C) in the container's dtype. The inputs belong to
    the holder between ``acquire`` and ``submit``, the outputs, which are lent, between ``collect`` and ``release``.
    ``device_us``: device time of the last invocation, microseconds; ``copy_in_us``, ``copy_out_us``: the host's time
    for the copies before and after it; ``host_s``: the longest that the host waited for any part of it, seconds.
    ``wrong_time``: whether the device told a time that cannot be; then ``device_us`` is the host's.
    The methods, and ``failure``, a failure that ``finish`` is to tell, are for the engine.
    """

    def __init__(self, description: OfflineModel, pool: OutputPool) -> None:
        self.device_us = self.copy_in_us = self.copy_out_us = self.host_s = 0.0
        self.wrong_time = False
        self._began = self._submitted = 0.0
        self.inputs = [_host_array(tensor) for tensor in description.inputs]
        self._pool = pool
        self._lent: Outputs | None = None
        self._output_sizes = [tensor.bytes for tensor in description.outputs]
        self._attached = False
        self.failure: RuntimeFailure | None = None

    def attach(self, lane: Lane, pace: Pace, library: Library, exits: contextlib.ExitStack) -> None:
        """Makes everything that lies on the device, until ``exits`` closes it."""
        self._lane = lane
        self._pace = pace
        self._in_flight = False
        self._estimated = library.times_are_estimates  # of another device than this host plays: longer or shorter
        # one of its own: only synchronising a queue tells of failures, and waits for all that is in it
        self._queue = Queue(library)
        exits.callback(self._queue.close)
        sizes = [*(array.nbytes for array in self.inputs), *self._output_sizes]
        buffers = [exits.enter_context(contextlib.closing(DeviceBuffer(library, size))) for size in sizes]
        self._to, self._from = buffers[: len(self.inputs)], buffers[len(self.inputs) :]
        self._pointer_of = library.ffi.from_buffer
        self._parameters = library.ffi.new("void *[]", [buffer.pointer for buffer in buffers])
        self._start = Notifier(library)
        exits.callback(self._start.close)
        self._end = Notifier(library)
        exits.callback(self._end.close)
        exits.callback(self._detach)
        self._attached = True

    def _detach(self) -> None:
        self._attached = False

    @property
    def lane(self) -> int:
        """The number of the group of cores that it runs on."""
        return self._lane.number

    @property
    def lane_ends(self) -> float:
        """When its lane is expected to have nothing to do, monotonic seconds; 0: it has not."""
        return self._lane.ends

    @property
    def outputs(self) -> list[NDArray[Any]]:
        """See above; of a collected slot."""
        if self._lent is None:
            self._lent = self._pool.take()
        return self._lent.arrays

    def give_back_outputs(self) -> None:
        """They are read."""
        if self._lent is not None:
            self._pool.give_back(self._lent)
            self._lent = None

    def move(self, lane: Lane) -> None:
        """Its next invocation runs there; nothing of it may be in flight."""
        self._lane = lane

    def stain(self) -> None:
        """Fills the outputs' buffers, here and on the device, with the pattern."""
        self._check_attached()
        for array, buffer in zip(self.outputs, self._from):
            array.reshape(-1).view(np.uint8)[:] = PATTERN
            buffer.copy_from(self._pointer_of(array))

    def submit(self) -> None:
        """Copies the inputs and queues the invocation."""
        self._check_attached()
        self._began = time.monotonic()
        for array, buffer in zip(self.inputs, self._to):
            buffer.copy_from(self._pointer_of(array))
        self.copy_in_us = (time.monotonic() - self._began) * 1e6
        if self._lane.last is not None:
            self._queue.hold(self._lane.last)  # a context has room for one invocation at a time
        self._start.place(self._queue)
        self._lane.context.invoke(self._parameters, self._queue)
        self._end.place(self._queue)
        self._lane.last = self._end
        self._submitted = time.monotonic()
        self._in_flight = True
        self._lane.begin(self._submitted)

    def finish(self) -> None:
        """Waits for the invocation and copies the outputs; RuntimeFailure if it failed."""
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        self._check_attached()
        idle_since = self._lane.idle_since
        try:
            self._end.wait()
            # the mark is reached by a failed invocation too; here its failure is told, before old outputs are taken for
            # new
            self._queue.sync()
        finally:
            reached = time.monotonic()
            self._leave(reached)
        for array, buffer in zip(self.outputs, self._from):
            buffer.copy_to(self._pointer_of(array))
        self.copy_out_us = (time.monotonic() - reached) * 1e6
        # in turn: an invocation starts when the one before it on its core has ended
        waited = reached - max(self._submitted, idle_since)
        self._pace.took(waited)
        self.host_s = max(waited, self.copy_in_us / 1e6, self.copy_out_us / 1e6)
        self._take_time(self._end.microseconds_since(self._start), waited * 1e6, (reached - self._began) * 1e6)

    def _take_time(self, told_us: float, waited_us: float, longest_us: float) -> None:
        """The device's time, unless it is none: it goes into statistics that people and programs believe."""
        most_us = math.inf if self._estimated else longest_us * CLOCKS_DIFFER + CLOCKS_DIFFER_US
        self.wrong_time = not 0.0 <= told_us <= most_us
        self.device_us = waited_us if self.wrong_time else told_us

    def _leave(self, now: float) -> None:
        if self._in_flight:
            self._in_flight = False
            self._lane.end(now)

    def drain(self) -> None:
        """Waits until the device has ended what was submitted, well or not."""
        if self._attached and self.failure is None:
            with contextlib.suppress(RuntimeFailure):
                self._end.wait()
            self._leave(time.monotonic())

    def _check_attached(self) -> None:
        if not self._attached:
            raise RuntimeFailure("the device could not be made ready again after it failed")


def _host_array(tensor: TensorInfo) -> NDArray[Any]:
    array = np.zeros(tensor.shape, np.dtype(tensor.dtype))
    if array.nbytes != tensor.bytes:
        raise DataError(f"tensor {tensor.name!r}: {tensor.dtype} {tensor.shape} is not {tensor.bytes} bytes")
    return array
