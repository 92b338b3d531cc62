"""A device of the runtime: initialisation, the per-thread current device, its description."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import RuntimeFailure
from .handle import Handle

if TYPE_CHECKING:
    from .library import Library

# cnrtCoreVersion_t, in the numbers that every 4.x header shares
CORE_VERSIONS = {0: "1H8", 1: "1H16", 3: "MLU100", 4: "1H8MINI", 5: "MLU270", 6: "MLU220", 7: "MLU290"}


@dataclass(frozen=True)
class DeviceInfo:
    """What the runtime says of one device."""

    ordinal: int
    name: str
    target: str
    cores: int


class Device(Handle):
    """One initialised device. Every thread that uses it calls ``make_current`` first."""

    def __init__(self, library: Library, ordinal: int = 0) -> None:
        super().__init__(library)
        self._open = False
        self.ordinal = ordinal
        library.call("cnrtInit", 0)
        self._open = True
        try:
            count = device_count(library)
            if not 0 <= ordinal < count:
                raise RuntimeFailure(f"device {ordinal} does not exist: the {library.kind} has {count} device(s)")
            pointer = library.ffi.new("cnrtDev_t *")
            library.call("cnrtGetDeviceHandle", pointer, ordinal)
            self._handle = pointer[0]
            self.make_current()
            self.info = _describe(library, ordinal)
        except BaseException:
            self.close()
            raise

    def make_current(self) -> None:
        """Makes this the calling thread's current device: CNRT keeps one per host thread."""
        self.library.call("cnrtSetCurrentDevice", self._handle)

    def _release(self) -> None:
        # counted: the library shuts down with the last of as many calls as there were cnrtInit
        self.library.answer("cnrtDestroy")


def device_count(library: Library) -> int:
    """Number of devices; the library must be initialised."""
    number = library.ffi.new("unsigned int *")
    library.call("cnrtGetDeviceCount", number)
    return int(number[0])


def list_devices(library: Library) -> list[DeviceInfo]:
    """All devices of the library, by ordinal; empty without any."""
    library.call("cnrtInit", 0)
    try:
        return [_describe(library, ordinal) for ordinal in range(device_count(library))]
    finally:
        library.answer("cnrtDestroy")


def _describe(library: Library, ordinal: int) -> DeviceInfo:
    info = library.ffi.new("cnrtDeviceInfo_t *")
    library.call("cnrtGetDeviceInfo", info, ordinal)
    name = library.ffi.string(info.device_name, 64).decode("utf-8", "replace")
    target = CORE_VERSIONS.get(int(info.core_version), "unknown")
    return DeviceInfo(ordinal=ordinal, name=name, target=target, cores=int(info.core_num))
