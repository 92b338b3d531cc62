"""A loaded offline model and its function."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DataError, RuntimeFailure, StandinError
from ..model.standins import Standin, read_described
from .handle import Handle
from .status import UNSUPPORTED

if TYPE_CHECKING:
    from ..model.offline_model import OfflineModel
    from .library import Library


KNOWN = ("MLU220", "MLU270")  # those whose models tell
_STANDIN = "cnrtSimulatorStandin"


class Model(Handle):
    """A ``.cambricon`` file in the runtime, with its first function extracted.

    The container is read by ourselves first: what cannot run on this library is refused with a sentence (DataError)
    before the library sees it. ``description`` is that reading. ``target``: the device's, "" where nobody asked it.
    ``given``: the file that sentences name where a person gave another one than ``path``, a bundle. ``standin``: what
    computes in the simulator for a file of device code; None where the file's own network or code does.
    """

    def __init__(self, library: Library, path: str | os.PathLike[str], target: str = "", given: str = "") -> None:
        super().__init__(library)
        self._open = False
        self.path = Path(path)
        self.description = read_described(self.path)
        refuse_wrong_kind(library.kind, self.description, given or str(self.path))
        refuse_other_device(library.kind, self.description, target, given or str(self.path))
        self._model = _load(library, self.path)
        self._function = library.ffi.NULL
        self._open = True
        try:
            self.standin = _ask_standin(library, self._model, self.description, given or str(self.path))
            self.function = self._extract()
            self._check_sizes()
        except BaseException:
            self.close()
            raise

    def _extract(self) -> object:
        pointer = self.library.ffi.new("cnrtFunction_t *")
        self.library.call("cnrtCreateFunction", pointer)
        self._function = pointer[0]
        # takes the pointer to the handle, which it may replace
        # a file of 2019 names its kernel alone; every program asks such a file for subnet0
        symbol = "subnet0" if self.description.borrowed else self.description.functions[0]
        self.library.call("cnrtExtractFunction", pointer, self._model, symbol.encode())
        self._function = pointer[0]
        return self._function

    def _check_sizes(self) -> None:
        """The library and our reader must agree on every buffer size before any buffer is made."""
        for call, tensors in (
            ("cnrtGetInputDataSize", self.description.inputs),
            ("cnrtGetOutputDataSize", self.description.outputs),
        ):
            sizes = self._sizes(call)
            expected = [tensor.bytes for tensor in tensors]
            if sizes != expected:
                raise RuntimeFailure(
                    f"{self.path}: {call} answers {sizes}, the container says {expected}: "
                    "refusing to guess buffer sizes; compile the model anew"
                )

    def _sizes(self, call: str) -> list[int]:
        ffi = self.library.ffi
        array, number = ffi.new("int64_t **"), ffi.new("int *")
        self.library.call(call, array, number, self._function)
        sizes = [int(array[0][index]) for index in range(number[0])]
        # The simulator hands out a fresh block each time; on a device it belongs to the function.
        if self.library.kind == "simulator" and self.library.has("cnrtReleaseInternalResource"):
            self.library.call("cnrtReleaseInternalResource", array[0])
        return sizes

    def _release(self) -> None:
        if self._function:
            self.library.call("cnrtDestroyFunction", self._function)
        self.library.call("cnrtUnloadModel", self._model)


def find_standin(library: Library, model: OfflineModel, path: Path, given: str) -> Standin | None:
    """What computes here for a file of device code that ``model`` describes, without keeping it loaded; None where
    none is needed. Raises DataError where there is none."""
    if library.kind == "device" or model.kind == "simulator":
        return None
    handle = _load(library, path)
    try:
        return _ask_standin(library, handle, model, given)
    finally:
        library.call("cnrtUnloadModel", handle)


def _load(library: Library, path: Path) -> Any:
    pointer = library.ffi.new("cnrtModel_t *")
    library.call("cnrtLoadModel", pointer, os.fsencode(path))
    return pointer[0]


def _ask_standin(library: Library, handle: Any, model: OfflineModel, given: str) -> Standin | None:
    """Of a loaded model."""
    if library.kind == "device" or model.kind == "simulator":
        return None
    code_only = f"{given}: this file holds {model.target} device code only"
    if not library.has(_STANDIN):
        raise StandinError(f"{code_only}, and {library.path} is too old to take a stand-in: run it on a device")
    answer = library.answer(_STANDIN, handle)
    if not answer:
        said = library.status.sentence(UNSUPPORTED)
        raise StandinError(f"{code_only}. {said} A configuration names the folder of stand-ins in [simulator] standins")
    return Standin.at(Path(os.fsdecode(library.ffi.string(answer))))


def refuse_wrong_kind(kind: str, model: OfflineModel, path: str) -> None:
    """Raises DataError when a network for the simulator is offered to a device."""
    if kind == "device" and model.kind == "simulator":
        raise DataError(
            f"{path}: this file holds a network for the simulator and no device code: "
            'run it with runtime = "simulator", or compile the model for the device with the vendor\'s tools'
        )


def refuse_other_device(kind: str, model: OfflineModel, target: str, path: str) -> None:
    """Raises DataError when a model was compiled for another device than this one, both being known."""
    if kind == "device" and model.target != target and model.target in KNOWN and target in KNOWN:
        raise DataError(
            f"{path}: was compiled for an {model.target}, and this device is an {target}: compile it for that, or "
            "run it where it belongs"
        )
