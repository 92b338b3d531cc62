"""Reads what torch's pickles hold without running any code of them.

A pickle may name classes and functions: those that rebuild tensors are replaced by our own, those of model code and its
usual company become inert records (``Record``), and every other name is refused. Nothing of the file is ever imported
or called. Every size is bounded before use: what a pickle makes Python remember, and what its tensors add up to.
"""

from __future__ import annotations

import pickle
import pickletools
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Callable

import numpy as np
import numpy.typing as npt

from mlu_agent.errors import DataError

if TYPE_CHECKING:
    import io

MAX_PICKLE_BYTES = 64 << 20

STORAGES: dict[str, np.dtype[Any]] = {
    "HalfStorage": np.dtype("<f2"),
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}
# What a detector's checkpoint may mention; all of it becomes inert records.
RECORD_MODULES = (
    "torch", "__torch__", "models", "utils", "ultralytics", "yolov5", "numpy", "argparse", "pathlib", "datetime",
    "_codecs",
)  # fmt: skip
# getattr: a segmentation head's pickle names a method of its own so; the record looks nothing up
BUILTIN_RECORDS = {"set", "frozenset", "slice", "complex", "bytearray", "range", "getattr"}


class Record:
    """An inert stand-in: remembers which class was named, its arguments and its state; never runs anything."""

    kind = ""

    def __init__(self, *arguments: Any, **_named: Any) -> None:
        self.arguments = arguments
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute of the pickled object, or ``default``."""
        return dict.get(self.state, name, default) if isinstance(self.state, dict) else default

    def append(self, _item: Any) -> None:
        """Swallows items of list-like records."""

    def extend(self, _items: Any) -> None:
        """Swallows items of list-like records."""

    def __setitem__(self, _key: Any, _value: Any) -> None:
        """Swallows items of mapping-like records."""


class _StorageKind:
    """The type of a storage's numbers; a pickle cannot change it."""

    __slots__ = ("dtype",)

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype

    def __setstate__(self, _state: Any) -> None:
        raise DataError("the pickle gives a type of numbers a state; it is damaged")


class RestrictedUnpickler(pickle.Unpickler):
    """Only names that ``find_class`` lets through exist; none of them is code from outside.

    ``limit`` bounds the bytes of all tensors together, which may show the same storage many times.
    """

    def __init__(self, stream: io.BytesIO, storage: Callable[[Any, Any, Any], npt.NDArray[Any]], limit: int) -> None:
        super().__init__(stream)
        self._storage = storage
        self._left = limit
        self._records: dict[str, type] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch._utils" and name in ("_rebuild_tensor", "_rebuild_tensor_v2"):
            return self._rebuild_tensor
        if module == "torch._utils" and name in ("_rebuild_parameter", "_rebuild_parameter_with_state"):
            return self._rebuild_parameter
        if module == "torch" and name in STORAGES:
            return _StorageKind(STORAGES[name])
        if module.split(".", maxsplit=1)[0] in RECORD_MODULES or (
            module in ("builtins", "__builtin__") and name in BUILTIN_RECORDS
        ):
            return self._record(f"{module}.{name}")
        asked = "".join(letter if letter.isprintable() else "?" for letter in f"{module[:60]}.{name[:60]}")
        raise DataError(f"it asks to run {asked}, which no weights need: refused, nothing of it was run")

    def persistent_load(self, pid: Any) -> Any:
        if isinstance(pid, tuple) and len(pid) == 4 and pid[0] == "module" and isinstance(pid[1], type):
            return pid[1]  # legacy files name a module's class with its source beside it
        # a sixth part says which view of another storage this is; legacy files have it, and it is always None
        fits = isinstance(pid, tuple) and len(pid) >= 5 and pid[0] == "storage" and isinstance(pid[1], _StorageKind)
        if not fits or any(extra is not None for extra in pid[5:]):
            raise DataError("the pickle refers to something that is not a storage of numbers")
        return self._storage(pid[2], pid[1].dtype, pid[4])

    def _record(self, kind: str) -> type:
        if kind not in self._records:
            self._records[kind] = type("Record", (Record,), {"kind": kind})
        return self._records[kind]

    def _rebuild_tensor(self, storage: Any, offset: Any, size: Any, stride: Any, *_rest: Any) -> npt.NDArray[Any]:
        view = _tensor_view(storage, offset, size, stride)
        self._left -= view.nbytes
        if self._left < 0:
            raise DataError("the pickle's tensors show many times more numbers than the file holds: refused")
        return view

    def _rebuild_parameter(self, data: Any, *_rest: Any) -> Any:
        return data


def load_pickle(stream: io.BytesIO, storage: Callable[[Any, Any, Any], npt.NDArray[Any]], limit: int, what: str) -> Any:
    """The object that the pickle at the stream's place holds; the stream then stands behind it. Raises DataError.

    ``storage(key, dtype, count)`` gives the numbers that the pickle refers to; ``limit`` as for RestrictedUnpickler.
    """
    start = stream.tell()
    try:
        _check_opcodes(stream)
        stream.seek(start)
        return RestrictedUnpickler(stream, storage, limit).load()
    except DataError:
        raise
    except Exception as error:  # a hostile pickle may fail in any way that Python knows
        raise DataError(f"{what} is damaged or truncated ({type(error).__name__})") from error


def _check_opcodes(stream: io.BytesIO) -> None:
    """Python's unpickler takes memory for the number of a memo and for a bytearray before it sees the bytes."""
    start = stream.tell()
    puts = 0
    for opcode, argument, place in pickletools.genops(stream):
        if (place or start) - start > MAX_PICKLE_BYTES:
            raise DataError(f"the pickle has more than {MAX_PICKLE_BYTES} bytes")
        if "PUT" in opcode.name or opcode.name == "MEMOIZE":
            puts += 1
            if isinstance(argument, int) and not 0 <= argument <= 4 * puts + 1024:
                raise DataError("the pickle numbers its objects in a way that no writer does; it is damaged")


def _tensor_view(storage: Any, offset: Any, size: Any, stride: Any) -> npt.NDArray[Any]:
    """The elements of a storage that torch's tensor of that offset, size and stride shows, read-only."""
    if not (
        isinstance(storage, np.ndarray)
        and storage.ndim == 1
        and isinstance(size, (tuple, list))
        and isinstance(stride, (tuple, list))
        and len(size) == len(stride) <= 8
        and all(isinstance(number, int) and 0 <= number < 1 << 40 for number in (offset, *size, *stride))
    ):
        raise DataError("the pickle describes a tensor that cannot be")
    count = int(np.prod([1, *map(float, size)]))
    if count == 0:
        if max(size) > 1 << 24:
            raise DataError("the pickle describes a tensor that cannot be")
        return np.zeros(tuple(size), storage.dtype)
    last = offset + sum((length - 1) * step for length, step in zip(size, stride))
    if last >= storage.size or count > storage.size:
        raise DataError("the pickle describes a tensor that reaches beyond its storage")
    steps = tuple(step * storage.itemsize for step in stride)
    return np.lib.stride_tricks.as_strided(storage[offset:], tuple(size), steps, writeable=False)


def children(module: Record) -> dict[str, Any]:
    """The sub-modules of a pickled ``torch.nn.Module`` by name, in order."""
    modules = module.get("_modules")
    return {str(name): child for name, child in dict.items(modules)} if isinstance(modules, dict) else {}


def class_name(module: Any) -> str:
    """Bare class name of a pickled object, "" for anything else."""
    return module.kind.rpartition(".")[2] if isinstance(module, Record) else ""


def tensors(module: Record) -> dict[str, npt.NDArray[Any]]:
    """Parameters and buffers that a pickled module holds itself."""
    found: list[tuple[str, Any]] = []
    for group in ("_parameters", "_buffers"):
        values = module.get(group)
        found += list(dict.items(values)) if isinstance(values, dict) else []
    return {str(name): value for name, value in found if isinstance(value, np.ndarray)}


def is_same(value: Any, expected: int | str) -> bool:
    """Whether a value of a hostile file is that number or text; an array would compare element by element."""
    return type(value) is type(expected) and bool(value == expected)


def shown(value: Any) -> str:
    """A value of a hostile file, short enough for a sentence and safe to write down."""
    if isinstance(value, str):
        return repr(value[:40])
    small = value is None or isinstance(value, (bool, float)) or (isinstance(value, int) and abs(value) < 1 << 64)
    return repr(value) if small else f"a {type(value).__name__}"
