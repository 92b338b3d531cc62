"""Files of ``torch.save``: a zip of one pickle and the raw storages, and before torch 1.6 all in one stream."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

from mlu_agent.errors import DataError

from .pickle_reader import MAX_PICKLE_BYTES, is_same, load_pickle

MAX_ARCHIVE_BYTES = (1 << 31) - 1
MAX_ENTRIES = 100_000
MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
# What a file unpacks to, and what its tensors show, may be this many times its size: torch does not compress.
MAX_RATIO = 20
SLACK = 1 << 20


def read_torch(data: bytes) -> Any:
    """The object that a file of ``torch.save`` holds, be it a zip or of the kind before torch 1.6.

    Dicts, lists, numbers, read-only numpy arrays and Records. Raises DataError with one sentence.
    """
    if not looks_like_torch(data):
        raise DataError(
            f"the file of {len(data)} bytes does not begin as torch's files do: it is empty, damaged or of another kind"
        )
    return read_pt(data) if data[:2] == b"PK" else LegacyReader(data).load()


def looks_like_torch(data: bytes) -> bool:
    """Whether bytes begin as files of torch do; those of Darknet weights never do."""
    return data[:2] in (b"PK", b"\x80\x02")


def read_pt(data: bytes, name: str = "data") -> Any:
    """The object that a zip of torch holds, out of its pickle of that name. Raises DataError."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _Archive(archive, len(data), name).load()
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, OSError, struct.error) as error:
        raise DataError(
            f"the file is not a .pt archive of torch >= 1.6 ({error}); it is damaged or another format"
        ) from error


def check_archive(archive: zipfile.ZipFile, size: int) -> list[zipfile.ZipInfo]:
    """The entries of an archive of ``size`` bytes. Raises DataError where they claim more than a detector has."""
    entries = archive.infolist()
    total = sum(entry.file_size for entry in entries)
    if len(entries) > MAX_ENTRIES or total > min(MAX_ARCHIVE_BYTES, MAX_RATIO * size + SLACK):
        raise DataError(
            f"the archive of {size} bytes claims {len(entries)} entries of {total} bytes; that is no detector"
        )
    return entries


class _Archive:
    """One opened zip: finds the pickle and hands out storages, which lie in the folder of the pickle's name."""

    def __init__(self, archive: zipfile.ZipFile, size: int, name: str) -> None:
        entries = check_archive(archive, size)
        pickles = [entry.filename for entry in entries if entry.filename.split("/")[1:] == [f"{name}.pkl"]]
        if len(pickles) != 1:
            raise DataError(f"it is a zip without a {name}.pkl: torch.save did not write it")
        self._archive = archive
        self._limit = MAX_RATIO * size + SLACK
        self._name = name
        self._prefix = pickles[0][: -len(f"{name}.pkl")]
        self._storages: dict[str, npt.NDArray[Any]] = {}

    def load(self) -> Any:
        what = f"{self._name}.pkl"
        return load_pickle(io.BytesIO(self._read(what, MAX_PICKLE_BYTES)), self.storage, self._limit, what)

    def storage(self, key: Any, dtype: np.dtype[Any], count: Any) -> npt.NDArray[Any]:
        """The raw values of one storage; its size must be what the pickle claims."""
        if not isinstance(key, str) or not key.isdigit() or not isinstance(count, int) or count < 0:
            raise DataError(f"{self._name}.pkl names a storage that cannot be")
        if key not in self._storages:
            data = self._read(f"{self._name}/{key}", MAX_ARCHIVE_BYTES)
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
        except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, ArithmeticError) as error:
            raise DataError(f"{name} is damaged ({error})") from error
        if len(data) != entry.file_size:
            raise DataError(f"{name} does not have the size that the archive claims")
        return data


class LegacyReader:
    """Before torch 1.6: magic, protocol, system, the pickle, storage keys, then storages behind their lengths."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._stream = io.BytesIO(data)
        self._claimed: dict[str, tuple[np.dtype[Any], int]] = {}
        self._filled: dict[str, npt.NDArray[Any]] = {}
        self._sum = 0

    def load(self) -> Any:
        if not is_same(self._pickle(), MAGIC) or not is_same(self._pickle(), PROTOCOL):
            raise DataError("the file is no checkpoint of torch")
        system = self._pickle()
        if not isinstance(system, dict) or dict.get(system, "little_endian") is not True:
            raise DataError("the checkpoint was written on a machine of another byte order")
        start = self._stream.tell()
        self._pickle()  # with empty storages: what the file claims to hold is known behind them only
        keys = self._pickle()
        self._read_storages(keys)
        self._stream.seek(start)
        return self._pickle()

    def _pickle(self) -> Any:
        return load_pickle(self._stream, self._storage, MAX_RATIO * len(self._data) + SLACK, "the checkpoint")

    def _storage(self, key: Any, dtype: np.dtype[Any], count: Any) -> npt.NDArray[Any]:
        if not isinstance(key, str) or not isinstance(count, int) or not 0 <= count * dtype.itemsize <= len(self._data):
            raise DataError("the checkpoint names a storage that cannot be; it is damaged or truncated")
        if key in self._filled:
            return self._filled[key]
        if key not in self._claimed:
            self._sum += count * dtype.itemsize
            if self._sum > len(self._data) or len(self._claimed) > MAX_ENTRIES:
                raise DataError("the checkpoint claims more numbers than it has bytes; it is damaged or truncated")
            self._claimed[key] = (dtype, count)
        if self._claimed[key] != (dtype, count):
            raise DataError("the checkpoint claims one storage with two sizes; it is damaged")
        return np.zeros(count, dtype)

    def _read_storages(self, keys: Any) -> None:
        named = isinstance(keys, list) and all(isinstance(key, str) for key in keys)
        if not named or len(keys) != len(self._claimed) or set(keys) != set(self._claimed):
            raise DataError("the checkpoint's list of storages does not fit its tensors; it is damaged")
        for key in keys:
            dtype, count = self._claimed[key]
            head = self._stream.read(8)
            body = self._stream.read(count * dtype.itemsize)
            if len(head) != 8 or struct.unpack("<q", head)[0] != count or len(body) != count * dtype.itemsize:
                raise DataError(f"storage {key[:40]} has not the {count} values that are claimed; it is truncated")
            self._filled[key] = np.frombuffer(body, dtype)
