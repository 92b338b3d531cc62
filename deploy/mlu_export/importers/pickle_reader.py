"""Reads tensors out of a ``.pt`` archive without running any code of it.

A ``.pt`` file is a zip of one pickle and the raw storages. The pickle may name classes and functions: those that
rebuild tensors are replaced by our own, those of model code and its usual company become inert records (``Record``),
and every other name is refused. Nothing of the file is ever imported or called. Every size is bounded before use.
"""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Callable

import numpy as np
import numpy.typing as npt

from mlu_agent.errors import DataError

MAX_ARCHIVE_BYTES = (1 << 31) - 1
MAX_PICKLE_BYTES = 64 << 20
MAX_ENTRIES = 100_000

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
RECORD_MODULES = ("torch", "models", "utils", "ultralytics", "numpy", "argparse", "pathlib", "datetime", "_codecs")
BUILTIN_RECORDS = {"set", "frozenset", "slice", "complex", "bytearray", "range"}


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
        return self.state.get(name, default) if isinstance(self.state, dict) else default

    def append(self, _item: Any) -> None:
        """Swallows items of list-like records."""

    def extend(self, _items: Any) -> None:
        """Swallows items of list-like records."""

    def __setitem__(self, _key: Any, _value: Any) -> None:
        """Swallows items of mapping-like records."""


@dataclass(frozen=True)
class _StorageKind:
    dtype: npt.DTypeLike


def read_pt(data: bytes) -> Any:
    """The object that the archive holds: dicts, lists, numbers, numpy arrays and Records. Raises DataError."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _Archive(archive).load()
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, OSError, struct.error) as error:
        raise DataError(
            f"the file is not a .pt archive of torch >= 1.6 ({error}); it is damaged or another format"
        ) from error


class _Archive:
    """One opened zip: finds the pickle and hands out storages."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        entries = archive.infolist()
        total = sum(entry.file_size for entry in entries)
        if len(entries) > MAX_ENTRIES or total > MAX_ARCHIVE_BYTES:
            raise DataError(f"the archive claims {len(entries)} entries of {total} bytes; that is no detector")
        pickles = [entry.filename for entry in entries if entry.filename.split("/")[1:] == ["data.pkl"]]
        if len(pickles) != 1:
            raise DataError("the archive has no data.pkl: it was not written by torch.save")
        self._archive = archive
        self._prefix = pickles[0][: -len("data.pkl")]
        self._storages: dict[str, npt.NDArray[Any]] = {}

    def load(self) -> Any:
        data = self._read("data.pkl", MAX_PICKLE_BYTES)
        try:
            return RestrictedUnpickler(io.BytesIO(data), self.storage).load()
        except DataError:
            raise
        except Exception as error:  # a hostile pickle may fail in any way that Python knows
            raise DataError(f"data.pkl is damaged ({type(error).__name__})") from error

    def storage(self, key: Any, dtype: np.dtype[Any], count: Any) -> npt.NDArray[Any]:
        """The raw values of one storage; its size must be what the pickle claims."""
        if not isinstance(key, str) or not key.isdigit() or not isinstance(count, int) or count < 0:
            raise DataError("data.pkl names a storage that cannot be")
        if key not in self._storages:
            data = self._read(f"data/{key}", MAX_ARCHIVE_BYTES)
            if len(data) != count * dtype.itemsize:
                raise DataError(
                    f"storage {key} has {len(data)} bytes where {count} values of {dtype} are claimed; it is truncated"
                )
            self._storages[key] = np.frombuffer(data, dtype)
        return self._storages[key]

    def _read(self, name: str, limit: int) -> bytes:
        try:
            entry = self._archive.getinfo(self._prefix + name)
        except KeyError as error:
            raise DataError(f"the archive has no {name}; it is truncated") from error
        if entry.file_size > limit:
            raise DataError(f"{name} claims {entry.file_size} bytes; at most {limit} are accepted")
        try:
            with self._archive.open(entry) as stream:
                data = stream.read(entry.file_size + 1)
        except (zipfile.BadZipFile, EOFError, ValueError, ArithmeticError) as error:
            raise DataError(f"{name} is damaged ({error})") from error
        if len(data) != entry.file_size:
            raise DataError(f"{name} does not have the size that the archive claims")
        return data


class RestrictedUnpickler(pickle.Unpickler):
    """Only names that ``find_class`` lets through exist; none of them is code from outside."""

    def __init__(self, stream: io.BytesIO, storage: Callable[[Any, Any, Any], npt.NDArray[Any]]) -> None:
        super().__init__(stream)
        self._storage = storage
        self._records: dict[str, type] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch._utils" and name in ("_rebuild_tensor", "_rebuild_tensor_v2"):
            return _rebuild_tensor
        if module == "torch._utils" and name in ("_rebuild_parameter", "_rebuild_parameter_with_state"):
            return _rebuild_parameter
        if module == "torch" and name in STORAGES:
            return _StorageKind(STORAGES[name])
        if module.split(".", maxsplit=1)[0] in RECORD_MODULES or (
            module in ("builtins", "__builtin__") and name in BUILTIN_RECORDS
        ):
            return self._record(f"{module}.{name}")
        raise DataError(
            f"it asks to run {module[:60]}.{name[:60]}, which no weights need: refused, nothing of it was run"
        )

    def persistent_load(self, pid: Any) -> npt.NDArray[Any]:
        # a sixth part says which view of another storage this is; legacy files have it, and it is always None
        fits = isinstance(pid, tuple) and len(pid) >= 5 and pid[0] == "storage" and isinstance(pid[1], _StorageKind)
        if not fits or any(extra is not None for extra in pid[5:]):
            raise DataError("data.pkl refers to something that is not a storage of numbers")
        return self._storage(pid[2], np.dtype(pid[1].dtype), pid[4])

    def _record(self, kind: str) -> type:
        if kind not in self._records:
            self._records[kind] = type("Record", (Record,), {"kind": kind})
        return self._records[kind]


def _rebuild_tensor(storage: Any, offset: Any, size: Any, stride: Any, *_rest: Any) -> npt.NDArray[Any]:
    """A copy of the elements that torch's tensor of that offset, size and stride shows."""
    numbers = (offset, *size, *stride)
    if (
        not isinstance(storage, np.ndarray)
        or storage.ndim != 1
        or len(size) != len(stride)
        or len(size) > 8
        or any(not isinstance(number, int) or number < 0 for number in numbers)
    ):
        raise DataError("data.pkl describes a tensor that cannot be")
    count = int(np.prod([1, *map(float, size)]))
    if count == 0:
        return np.zeros(tuple(size), storage.dtype)
    last = offset + sum((length - 1) * step for length, step in zip(size, stride))
    if last >= storage.size or count > storage.size:
        raise DataError("data.pkl describes a tensor that reaches beyond its storage")
    steps = tuple(step * storage.itemsize for step in stride)
    view = np.lib.stride_tricks.as_strided(storage[offset:], tuple(size), steps, writeable=False)
    return np.array(view)


def _rebuild_parameter(data: Any, *_rest: Any) -> Any:
    return data


def children(module: Record) -> dict[str, Any]:
    """The sub-modules of a pickled ``torch.nn.Module`` by name, in order."""
    modules = module.get("_modules")
    return dict(modules) if isinstance(modules, dict) else {}


def class_name(module: Any) -> str:
    """Bare class name of a pickled object, "" for anything else."""
    return module.kind.rpartition(".")[2] if isinstance(module, Record) else ""


def tensors(module: Record) -> dict[str, npt.NDArray[Any]]:
    """Parameters and buffers that a pickled module holds itself."""
    found: list[tuple[str, Any]] = []
    for group in ("_parameters", "_buffers"):
        values = module.get(group)
        found += list(values.items()) if isinstance(values, dict) else []
    return {str(name): value for name, value in found if isinstance(value, np.ndarray)}
