"""The one place where a cnrtRet_t becomes an exception."""

from __future__ import annotations

from typing import Any, NoReturn

from ..errors import DataError, RuntimeFailure, UserError

# Only the numbers that mean the same in every 4.x header: the rest was renumbered in 4.10.4.
NAMES = {
    1: "WARNING_FAKE_DEVICE",
    632006: "NOT_READY",
    632007: "INVALID",
    632008: "NOMEM",
    632009: "NODEV",
    632011: "SYS",
    632012: "ACCES",
    632013: "FAULT",
    632014: "BUSY",
    632019: "NORES",
    632020: "UNSUPPORTED",
    632021: "INVALID_POINTER",
    632022: "NO_EXIST",
    632023: "BROKEN",
    632024: "INIT",
    632025: "QUEUE",
    632026: "OUT_RANGE",
    632028: "FUNC_CALL",
    632029: "UNHANDLED",
    632030: "INVALID_TYPE",
    632031: "INVALID_OP",
    632035: "RESHAPE",
    632036: "MEMCPY",
    632037: "ENCRYPT",
    632038: "INVALID_DATADESC",
    632039: "MAP",
    632040: "UNMAP",
    632041: "CACHE",
    632042: "FIND_DEV_ADDR",
    632043: "KERNEL_VERSION_TOO_HIGH",
}
SUCCESS = 0
NOT_READY = 632006
NOMEM = 632008
BUSY = 632014
UNSUPPORTED = 632020
MAX_SENTENCE = 1024
KERNELS_VARIABLE = "CNRT_SIMULATOR_KERNELS"


class Status:
    """Turns status codes into RuntimeFailure, with the library's own sentence where it has one."""

    def __init__(self, ffi: Any, lib: Any, kind: str) -> None:
        self._ffi = ffi
        self._lib = lib
        self._kind = kind

    def fail(self, call: str, code: int) -> NoReturn:
        """Raises RuntimeFailure for a code that is not SUCCESS; of the simulator UserError where it cannot do what a
        variable of its environment asks for, DataError where the model is for another device than it is."""
        sentence = self.sentence(code)
        if code == UNSUPPORTED and sentence.startswith(f"{KERNELS_VARIABLE} is "):
            raise UserError(sentence)
        if code == UNSUPPORTED and self._kind == "simulator" and " was built for " in sentence:
            raise DataError(sentence)
        raise RuntimeFailure(f"{call} failed with {self.describe(code)}", status=code)

    def describe(self, code: int) -> str:
        """The code in words: name, number and the library's sentence."""
        name = NAMES.get(code) or self._name(code)
        sentence = self.sentence(code)
        return f"{name} ({code})" + (f": {sentence}" if sentence else "")

    def _name(self, code: int) -> str:
        """The library's own name for a number that differs between versions; those since 4.10 tell it."""
        try:
            name = self._text(self._lib.cnrtGetErrorName(code))
        except (AttributeError, self._ffi.error):  # an older one has no such function
            name = ""
        return name.replace("CNRT_RET_", "").replace("ERR_", "").replace("UNKNOWN", "") or "an undocumented code"

    def sentence(self, code: int) -> str:
        """What the library says of it: of the simulator, of the thread's last failure."""
        if self._kind == "simulator":
            text = self._text(self._lib.cnrtSimulatorLastMessage())
            if text:
                return text
        return self._text(self._lib.cnrtGetErrorStr(code))

    def _text(self, pointer: Any) -> str:
        if not pointer:
            return ""
        raw: bytes = self._ffi.string(pointer, MAX_SENTENCE)
        return raw.decode("utf-8", "replace").strip()
