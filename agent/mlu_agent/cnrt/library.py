"""Finding and loading the runtime library: a device's own, or the bundled simulator.

Both have the same ABI. The simulator is recognised by a symbol that only it exports, so a path given by hand, or a
simulator put on the loader's path, is never taken for a device.
"""

from __future__ import annotations

import contextlib
import importlib.resources
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import RuntimeFailure, UserError, passing
from .calls import Calls
from .status import MAX_SENTENCE, UNSUPPORTED, Status

if TYPE_CHECKING:
    from collections.abc import Iterator

CHOICES = ("auto", "device", "simulator")
SIMULATOR_VARIABLE = "MLU_AGENT_SIMULATOR"
LIBRARY_NAME = "libcnrt.so"
VENDOR_FOLDER = "/usr/local/neuware"
_SIMULATOR_MARK = "cnrtSimulatorLastMessage"
_SIMULATOR_NOTES = "cnrtSimulatorNotes"
_SIMULATOR_THREADS = "cnrtSimulatorThreads"
_SIMULATOR_KERNELS = "cnrtSimulatorKernels"


class Library:
    """A loaded runtime library.

    ``kind`` is "device" or "simulator", ``path`` where it came from. It stays loaded until the process ends: worker
    threads of the library may be inside it. ``calls`` tells which thread is inside it, where and since when.
    """

    def __init__(self, ffi: Any, lib: Any, path: str, reason: str) -> None:
        self.ffi = ffi
        self.lib = lib
        self.path = path
        self.kind = "simulator" if has_symbol(ffi, lib, _SIMULATOR_MARK) else "device"
        self.because = reason
        self.status = Status(ffi, lib, self.kind)
        self.calls = Calls()

    def call(self, name: str, *arguments: Any) -> None:
        """Calls one ABI function that returns cnrtRet_t; raises RuntimeFailure unless it succeeds."""
        code = self.answer(name, *arguments)
        if code:
            self.status.fail(name, code)

    def answer(self, name: str, *arguments: Any) -> Any:
        """What the ABI function of that name returns; every call of the device goes through here."""
        function = self.function(name)
        call = self.calls.here()
        call.since = time.monotonic()
        call.name = name
        try:
            return function(*arguments)
        finally:
            call.name = ""

    def function(self, name: str) -> Any:
        """The function of that name; RuntimeFailure if this library is too old to have it."""
        try:
            return getattr(self.lib, name)
        except (AttributeError, self.ffi.error):  # not declared; declared but not exported
            message = f"{self.path} has no function {name}: it is not a CNRT 4.x library, or too old a one"
            raise RuntimeFailure(message) from None

    def has(self, name: str) -> bool:
        """Whether the library exports ``name``."""
        return has_symbol(self.ffi, self.lib, name)

    @property
    def notes(self) -> str:
        """What of the simulator's answers its environment changed (estimated times, recorded outputs, faults), in
        words; "" when nothing, and of a device."""
        if self.kind != "simulator" or not self.has(_SIMULATOR_NOTES):
            return ""
        # asked late: the simulator reads its environment with the first question
        text: bytes = self.ffi.string(getattr(self.lib, _SIMULATOR_NOTES)(), MAX_SENTENCE)
        return text.decode("utf-8", "replace")

    @property
    def threads(self) -> int | None:
        """How many cores of the simulator compute at once, since the host has no more processors for it; None where the
        host's do not count: all cores, of a device too."""
        if self.kind != "simulator" or not self.has(_SIMULATOR_THREADS):
            return None
        return int(getattr(self.lib, _SIMULATOR_THREADS)()) or None

    @property
    def kernels(self) -> tuple[str, ...]:
        """The simulator's tables of kernels that this processor can run, the one that a model takes first; none of a
        device. Raises UserError where CNRT_SIMULATOR_KERNELS names another."""
        if self.kind != "simulator" or not self.has(_SIMULATOR_KERNELS):
            return ()
        pointer = getattr(self.lib, _SIMULATOR_KERNELS)()
        if not pointer:
            self.status.fail(_SIMULATOR_KERNELS, UNSUPPORTED)
        names: bytes = self.ffi.string(pointer, MAX_SENTENCE)
        return tuple(names.decode("utf-8", "replace").split(", "))

    @property
    def times_are_estimates(self) -> bool:
        """Whether device times are estimates of a device, and not what the work took here."""
        return "estimates" in self.notes

    @property
    def outputs_are_recorded(self) -> bool:
        """Whether nothing is computed, and an input that nobody recorded gets another one's outputs."""
        return "nothing is computed" in self.notes

    @property
    def flags(self) -> tuple[str, ...]:
        """What every message has to say of its answers: "estimated" times, "recorded" outputs."""
        said = (("estimated", self.times_are_estimates), ("recorded", self.outputs_are_recorded))
        return tuple(flag for flag, true in said if true)

    @property
    def reason(self) -> str:
        """One sentence on why it was taken, with what ``notes`` has to say."""
        return "; ".join(part for part in (self.because, self.notes) if part)

    def version(self) -> str:
        """The library's own version, for example "4.10.4"."""
        number = self.ffi.new("unsigned int *")
        self.call("cnrtGetVersion", number)
        value = int(number[0])
        return f"{value // 10000}.{value // 100 % 100}.{value % 100}"

    def __repr__(self) -> str:
        return f"Library(kind={self.kind!r}, path={self.path!r})"


def has_symbol(ffi: Any, lib: Any, name: str) -> bool:
    """Whether a dlopen'ed library really exports a declared function."""
    try:
        getattr(lib, name)
    except (AttributeError, ffi.error):
        return False
    return True


def open_library(choice: str = "auto") -> Library:
    """Loads the runtime library.

    ``choice``: "device" (NEUWARE_HOME/lib64, /usr/local/neuware/lib64, then the loader's path), "simulator" (the
    bundled one, or the file that MLU_AGENT_SIMULATOR names), "auto" (device where its library is found, else simulator)
    or the path of a library. Raises UserError for a path that is no file, RuntimeFailure when nothing can be loaded.
    """
    if choice == "simulator":
        return _open_simulator('runtime = "simulator" was asked for')
    if choice in ("auto", "device"):
        library, tried = _try_device()
        if library is not None:
            return library
        if choice == "device":
            raise RuntimeFailure(
                f"no CNRT library for a device: {tried}; "
                "install the vendor's runtime, set NEUWARE_HOME, or choose the simulator"
            )
        return _open_simulator(f"no CNRT library for a device was found ({tried})")
    return _open_path(choice)


# Opened once for all models, and never closed: threads of a library may be inside it when the last model goes.
_loaded: dict[str, Any] = {}


def _load(path: str, reason: str) -> Library:
    from ._abi import ffi  # noqa: PLC0415 - importing the binding must not load cffi's backend

    if path not in _loaded:
        _loaded[path] = ffi.dlopen(path)
    return Library(ffi, _loaded[path], path, reason)


def _try_device() -> tuple[Library | None, str]:
    """The device's library, or None and what was tried."""
    tried = []
    for folder, origin in _vendor_folders():
        path = folder / LIBRARY_NAME
        if not os.path.isfile(path):  # noqa: PTH113 - unlike Path.is_file it never raises
            tried.append(f"{path} does not exist")
            continue
        try:
            return _load(str(path), f"found through {origin}"), ""
        except OSError as error:
            tried.append(f"{path} cannot be loaded: {error}")
    try:
        library = _load(LIBRARY_NAME, "found on the loader's path")
    except OSError:
        tried.append("none on the loader's path")
        return None, "; ".join(tried)
    if library.kind == "simulator":
        tried.append("the one on the loader's path is a simulator")
        return None, "; ".join(tried)
    return library, ""


def _vendor_folders() -> Iterator[tuple[Path, str]]:
    home = os.environ.get("NEUWARE_HOME")
    if home:
        yield Path(home) / "lib64", "NEUWARE_HOME"
    yield Path(VENDOR_FOLDER) / "lib64", VENDOR_FOLDER


def _open_simulator(reason: str) -> Library:
    override = os.environ.get(SIMULATOR_VARIABLE)
    if override:
        if not os.path.isfile(override):  # noqa: PTH113 - as above
            raise UserError(f"{SIMULATOR_VARIABLE}={override}: there is no such file; correct the variable or unset it")
        library = _open_path(override)
        library.because = f"{reason}; {SIMULATOR_VARIABLE} names the file"
    else:
        with bundled_folder() as folder:
            path = folder / LIBRARY_NAME
            if not path.is_file():
                raise RuntimeFailure(
                    f"{reason}, and this installation has no bundled simulator ({path} does not exist): "
                    f"reinstall the mlu-agent wheel or set {SIMULATOR_VARIABLE} to a built {LIBRARY_NAME}"
                )
            try:
                library = _load(str(path), reason)
            except OSError as error:
                raise RuntimeFailure(f"the bundled simulator cannot be loaded: {error}") from None
    if library.kind != "simulator":
        raise RuntimeFailure(f"{library.path} is not the simulator: set {SIMULATOR_VARIABLE} to ours or unset it")
    return library


@contextlib.contextmanager
def bundled_folder() -> Iterator[Path]:
    """The installed folder with the simulator (``libcnrt.so``) and its headers (``include/``)."""
    # an editable install answers with an own reader: `__file__` would point where no library is
    resource = importlib.resources.files("mlu_agent") / "_native" / LIBRARY_NAME
    with importlib.resources.as_file(resource) as path:
        yield path.parent


def _open_path(path: str) -> Library:
    if not os.path.isfile(path):  # noqa: PTH113 - as above
        sentence = f'runtime "{path}" is neither one of {", ".join(CHOICES)} nor the path of a library file'
        raise passing(UserError(sentence)) if os.path.isabs(path) else UserError(sentence)  # noqa: PTH117 - as above
    # a bare name would be searched on the loader's path instead
    absolute = str(Path(path).absolute())
    try:
        return _load(absolute, "its path was given")
    except OSError as error:
        raise RuntimeFailure(f"{path} cannot be loaded as a runtime library: {error}") from None
