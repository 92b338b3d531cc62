"""Running a function: context, queue, notifiers, device memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .handle import Handle
from .status import BUSY, SUCCESS

if TYPE_CHECKING:
    from .device import Device
    from .library import Library
    from .model import Model

HOST_TO_DEVICE = 0
DEVICE_TO_HOST = 2


class Context(Handle):
    """A runtime context: the function with its weights on the device. It keeps its own reference to the model."""

    def __init__(self, device: Device, model: Model) -> None:
        super().__init__(device.library)
        self._open = False
        pointer = self.library.ffi.new("cnrtRuntimeContext_t *")
        self.library.call("cnrtCreateRuntimeContext", pointer, model.function, self.library.ffi.NULL)
        self._handle = pointer[0]
        self._open = True
        try:
            self.library.call("cnrtSetRuntimeContextDeviceId", self._handle, device.ordinal)
            self.library.call("cnrtInitRuntimeContext", self._handle, self.library.ffi.NULL)
        except BaseException:
            self.close()
            raise

    def invoke(self, parameters: Any, queue: Queue) -> None:
        """Queues one invocation. ``parameters``: void *[] of device pointers, inputs first; lives until it is done."""
        null = self.library.ffi.NULL
        self.library.call("cnrtInvokeRuntimeContext", self._handle, parameters, queue.handle, null)

    def _release(self) -> None:
        self.library.call("cnrtDestroyRuntimeContext", self._handle)


class Queue(Handle):
    """An asynchronous FIFO queue of the current device."""

    def __init__(self, library: Library) -> None:
        super().__init__(library)
        self._open = False
        pointer = library.ffi.new("cnrtQueue_t *")
        library.call("cnrtCreateQueue", pointer)
        self.handle = pointer[0]
        self._open = True

    def hold(self, notifier: Notifier) -> None:
        """What is queued from now on waits until ``notifier``, as placed last in another queue, is reached."""
        self.library.call("cnrtQueueWaitNotifier", notifier.handle, self.handle, 0)

    def sync(self) -> None:
        """Waits for everything queued; reports a failure of earlier asynchronous work."""
        self.library.call("cnrtSyncQueue", self.handle)

    def _release(self) -> None:
        self.library.call("cnrtDestroyQueue", self.handle)


class Notifier(Handle):
    """A mark in a queue, with the time at which it was reached."""

    def __init__(self, library: Library) -> None:
        super().__init__(library)
        self._open = False
        self._pointer = library.ffi.new("cnrtNotifier_t *")
        self._microseconds = library.ffi.new("float *")
        library.call("cnrtCreateNotifier", self._pointer)
        self.handle = self._pointer[0]
        self._open = True

    def place(self, queue: Queue) -> None:
        """Puts the mark at the queue's end; placing it again overwrites."""
        self.library.call("cnrtPlaceNotifier", self.handle, queue.handle)

    def wait(self) -> None:
        """Blocks until the queue reaches the mark (other Python threads run meanwhile)."""
        self.library.call("cnrtWaitNotifier", self.handle)

    def reached(self) -> bool:
        """Whether the queue has reached the mark."""
        code = self.library.answer("cnrtQueryNotifier", self.handle)
        if code not in (SUCCESS, BUSY):
            self.library.status.fail("cnrtQueryNotifier", code)
        return bool(code == SUCCESS)

    def microseconds_since(self, start: Notifier) -> float:
        """Device time between two reached marks, in microseconds."""
        self.library.call("cnrtNotifierDuration", start.handle, self.handle, self._microseconds)
        return float(self._microseconds[0])

    def _release(self) -> None:
        self.library.call("cnrtDestroyNotifier", self._pointer)


class DeviceBuffer(Handle):
    """A block of device memory of ``size`` bytes."""

    def __init__(self, library: Library, size: int) -> None:
        super().__init__(library)
        self._open = False
        self.size = size
        pointer = library.ffi.new("void **")
        library.call("cnrtMalloc", pointer, size)
        self.pointer = pointer[0]
        self._open = True

    def copy_from(self, host: Any) -> None:
        """Copies ``size`` bytes from a host pointer (cdata) to the device; returns when done."""
        self.library.call("cnrtMemcpy", self.pointer, host, self.size, HOST_TO_DEVICE)

    def copy_to(self, host: Any) -> None:
        """Copies ``size`` bytes from the device to a host pointer (cdata); returns when done."""
        self.library.call("cnrtMemcpy", host, self.pointer, self.size, DEVICE_TO_HOST)

    def _release(self) -> None:
        self.library.call("cnrtFree", self.pointer)
