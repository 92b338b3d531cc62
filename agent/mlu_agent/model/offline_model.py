"""Reads any ``.cambricon`` container, the vendor's or ours: names, shapes, types, target, parallelism, versions.

The layout is written down in ``deploy/FORMAT.md`` section 1, our network section in section 2. Every size is bounded
before it is used; whatever the bytes are, the only exception that comes out is DataError.
"""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..config.files import read_bounded
from ..errors import DataError

MAX_FILE = 2**31 - 1
MAX_TENSOR = 2**31 - 1
MAX_TENSORS = 64
MAX_RANK = 8
MAX_DIM = 2**24
MAX_NAME = 127
MAX_PARALLELISM = 64

_HEADER_SIZE = 0x434
_MASK = 0x14260609
_ORDERS = {
    0x0123: "NCHW",
    0x0231: "NHWC",
    0x2310: "HWCN",
    0x401: "TNC",
    0x041: "NTC",
    0x01523: "NCDHW",
    0x05231: "NDHWC",
}
_TARGETS = {8: "MLU220", 6: "MLU270"}
_DTYPES = {  # cnrtDataType_t: name, bytes
    0x12: ("float16", 2),
    0x13: ("float32", 4),
    0x14: ("float64", 8),
    0x21: ("int8", 1),
    0x22: ("int16", 2),
    0x23: ("int32", 4),
    0x24: ("int64", 8),
    0x31: ("uint8", 1),
    0x32: ("uint16", 2),
    0x33: ("uint32", 4),
    0x41: ("fix8", 1),
    0x51: ("quant8", 1),
    0x61: ("bool", 1),
}


@dataclass(frozen=True)
class TensorInfo:
    """One input or output: ``shape`` as stored (NHWC for rank 4, compiled batch first), ``bytes`` of all of it."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    order: str
    bytes: int


@dataclass(frozen=True)
class OfflineModel:
    """What a container says of itself.

    ``kind``         "device" (instructions for an MLU only) or "simulator" (holds the network section).
    ``target``       "MLU220", "MLU270" or "unknown".
    ``parallelism``  cores that one invocation takes.
    ``versions``     "level", "format" (date), "cnrt", "cnrt_hash", "compiler", "compiler_hash".
    ``inputs``, ``outputs``  empty for containers of 2019, which hold no descriptors; ``borrowed``: of its stand-in.
    ``size``         bytes of the file.
    """

    kind: str
    name: str
    target: str
    parallelism: int
    functions: list[str]
    versions: dict[str, Any]
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    size: int
    borrowed: bool = False

    def describe(self) -> dict[str, Any]:
        """The same as plain values, for ``inspect --json``."""
        tensors = [
            [
                {"name": t.name, "shape": list(t.shape), "dtype": t.dtype, "order": t.order, "bytes": t.bytes}
                for t in group
            ]
            for group in (self.inputs, self.outputs)
        ]
        return {
            "kind": self.kind,
            "name": self.name,
            "target": self.target,
            "parallelism": self.parallelism,
            "functions": list(self.functions),
            "versions": dict(self.versions),
            "inputs": tensors[0],
            "outputs": tensors[1],
            "size": self.size,
        }


class _Reader:
    """A cursor over [position, end) that never leaves it."""

    def __init__(self, data: memoryview, position: int, end: int, what: str) -> None:
        self.data, self.position, self.end, self.what = data, position, end, what

    def take(self, count: int) -> memoryview:
        if count < 0 or count > self.end - self.position:
            raise DataError(
                f"ends early: {self.what} at 0x{self.position:x} needs {count} bytes more; copy the file again"
            )
        self.position += count
        return self.data[self.position - count : self.position]

    def u32(self) -> int:
        return int.from_bytes(self.take(4), "little")

    def u64(self) -> int:
        return int.from_bytes(self.take(8), "little")

    def tag(self, expected: bytes) -> None:
        found = bytes(self.take(4))
        if found != expected:
            raise DataError(
                f"has {found!r} at 0x{self.position - 4:x} where {self.what} needs {expected!r}; it is damaged"
            )

    def text(self, padded: bool = True) -> str:
        length = self.u32()
        if length > MAX_NAME:
            raise DataError(f"has a name of {length} bytes in {self.what}, more than {MAX_NAME}; the file is damaged")
        raw = bytes(self.take(length))
        if padded:
            self.take(-length % 4)
        return _printable(raw, self.what)


@dataclass(frozen=True)
class _Layout:
    """Where things are: offsets from the start of the file. ``footer`` is that of the "ZLYF" tag."""

    hdxf: int
    footer: int
    old: bool


@dataclass
class _Descriptors:
    inputs: list[TensorInfo] = field(default_factory=list)
    outputs: list[TensorInfo] = field(default_factory=list)


def read_offline_model(source: str | Path | bytes) -> OfflineModel:
    """Describe the container in the file ``source``, or in the bytes ``source``.

    Raises DataError with one sentence if it cannot be read, is not a container, or contradicts itself.
    """
    if isinstance(source, bytes):
        return _parse(memoryview(source))
    path = Path(source)
    data = read_bounded(path, MAX_FILE, DataError)
    try:
        return _parse(memoryview(data))
    except DataError as failure:
        raise DataError(f"{path.name}: {failure.message}") from None


def _parse(data: memoryview) -> OfflineModel:
    name, versions = _read_header(data)
    layout = _find_layout(data)
    target = _TARGETS.get(_u32(data, layout.hdxf + 0x20), "unknown")
    parallelism = _u32(data, layout.hdxf + 0x24)
    if not 1 <= parallelism <= MAX_PARALLELISM:
        raise DataError(
            f"says that one invocation takes {parallelism} cores, not 1 to {MAX_PARALLELISM}; the file is damaged"
        )
    tag = b"" if layout.old else bytes(data[layout.hdxf + 0x60 : layout.hdxf + 0x64])
    kind = "simulator" if tag == b"MLUS" else "device"
    if layout.old:
        kernel = bytes(data[layout.hdxf + 0x48 : layout.hdxf + 0x60]).split(b"\0")[0]
        return OfflineModel(
            kind, name, target, parallelism, [_printable(kernel, "the kernel name")], versions, (), (), len(data)
        )
    named = _read_named(data, layout, kind)
    symbol = _read_footer(data, layout, named)
    if kind == "simulator":
        _check_network(data, layout.hdxf + 0x60, named)
    inputs, outputs = tuple(named.inputs), tuple(named.outputs)
    return OfflineModel(kind, name, target, parallelism, [symbol], versions, inputs, outputs, len(data))


def _read_header(data: memoryview) -> tuple[str, dict[str, Any]]:
    if len(data) < 4 or bytes(data[:4]) != b"\x7fMEF":
        raise DataError("does not begin with 7F 'MEF': not a .cambricon model; give the file that mlu-export wrote")
    reader = _Reader(data, 4, min(len(data), _HEADER_SIZE), "the header")
    if len(data) < _HEADER_SIZE:
        raise DataError(f"ends early: {len(data)} bytes do not hold the header of {_HEADER_SIZE}; copy the file again")
    date = reader.take(4)
    count = reader.u32()
    if count != 1:
        raise DataError(f"holds {count} functions; models with exactly 1 are known")
    name = reader.text(padded=False)
    level, version_a, hash_a, version_b, hash_b, header, payload = struct.unpack_from("<II12sI12sQQ", data, 0x400)
    if header != _HEADER_SIZE:
        raise DataError(
            f"has a header of {header} bytes, not {_HEADER_SIZE}; the file is damaged or of an unknown version"
        )
    if header + payload != len(data):
        raise DataError(
            f"is {len(data)} bytes long, but its header says {header + payload}; it is truncated or damaged"
        )
    if len(data) > MAX_FILE:
        raise DataError(f"is {len(data)} bytes long, more than {MAX_FILE}; build a smaller model")
    versions = {
        "level": level,
        "format": "{:02d}{:02d}-{:02d}-{:02d}".format(*date),
        "cnrt": _version(version_a),
        "cnrt_hash": _hash(hash_a),
        "compiler": _version(version_b),
        "compiler_hash": _hash(hash_b),
    }
    return name, versions


def _find_layout(data: memoryview) -> _Layout:
    payload = len(data) - _HEADER_SIZE
    reader = _Reader(data, _HEADER_SIZE, len(data), "the payload")
    old = bytes(data[_HEADER_SIZE : _HEADER_SIZE + 4]) == b"hdxf"
    hdxf = _HEADER_SIZE
    expected = payload
    if not old:
        reader.tag(b"wfcs")
        reader.u32()
        size, _, expected = reader.u64(), reader.u32(), reader.u64()
        if size != payload:
            raise DataError(
                f"says in 'wfcs' that its payload has {size} bytes, but it has {payload}; the file is damaged"
            )
        hdxf = reader.position
    reader.tag(b"hdxf")
    reader.u32()
    size = reader.u64()
    if size != expected or not 0x64 <= size <= len(data) - hdxf:
        raise DataError(f"says that its 'hdxf' section has {size} bytes, which does not fit; the file is damaged")
    footer = hdxf + size - 4
    _Reader(data, footer, len(data), "the footer").tag(b"ZLYF")
    return _Layout(hdxf, footer, old)


def _read_named(data: memoryview, layout: _Layout, kind: str) -> _Descriptors:
    """The named descriptors of the last "atiR" section."""
    start = _find_named(data, layout, kind)
    reader = _Reader(data, start, layout.footer, "the last 'atiR' section")
    reader.tag(b"atiR")
    kind_word, size = reader.u32(), reader.u64()
    if kind_word != 0x0E or size != layout.footer - reader.position:
        raise DataError(f"has an 'atiR' section at 0x{start:x} that does not end at the footer; the file is damaged")
    reader.u32()
    counts = reader.u32(), reader.u32()
    if counts[0] < 1 or counts[1] < 1 or sum(counts) > MAX_TENSORS:
        raise DataError(
            f"claims {counts[0]} inputs and {counts[1]} outputs, not 2 to {MAX_TENSORS} together; it is damaged"
        )
    found = _Descriptors()
    for count, group in zip(counts, (found.inputs, found.outputs)):
        group.extend(_read_descriptor(reader) for _ in range(count))
    if reader.position != reader.end:
        raise DataError(f"has {reader.end - reader.position} bytes too many after its descriptors; the file is damaged")
    return found


def _find_named(data: memoryview, layout: _Layout, kind: str) -> int:
    """Ours says where it is; in a device file it is the last section of its tag that ends at the footer."""
    if kind == "simulator":
        begin = layout.hdxf + 0x60
        size = int.from_bytes(data[begin + 8 : begin + 16], "little")
        if not 0x40 <= size <= layout.footer - begin:
            raise DataError(f"says that its network section has {size} bytes, which does not fit; the file is damaged")
        return begin + size
    widest = 28 + MAX_TENSORS * (8 + 4 * MAX_RANK + 4 + MAX_NAME + 1 + 20)
    lowest = max(layout.hdxf + 0x60, layout.footer - widest)
    window = bytes(data[lowest : layout.footer])
    position = len(window)
    while (position := window.rfind(b"atiR\x0e\0\0\0", 0, position)) >= 0:
        size = int.from_bytes(window[position + 8 : position + 16], "little")
        if position + 16 + size == len(window):
            return lowest + position
    raise DataError("has no 'atiR' section with its tensor descriptors before the footer; the file is damaged")


def _read_descriptor(reader: _Reader) -> TensorInfo:
    mask, rank = reader.u32(), reader.u32()
    if mask != _MASK or not 1 <= rank <= MAX_RANK:
        raise DataError(
            f"has no tensor descriptor at 0x{reader.position - 8:x} (mask 0x{mask:x}, rank {rank}); it is damaged"
        )
    shape = tuple(reader.u32() for _ in range(rank))
    name = reader.text()
    _, code, order_code = reader.u32(), reader.u32(), reader.u32()
    reader.take(8)  # quantize position and scale: uninitialised in the vendor's files
    if not all(1 <= dim <= MAX_DIM for dim in shape):
        raise DataError(
            f"has a tensor {name!r} of shape {list(shape)}; each size must be 1 to {MAX_DIM}: it is damaged"
        )
    if code not in _DTYPES or order_code not in _ORDERS:
        raise DataError(
            f"has a tensor {name!r} of unknown type 0x{code:x} or order 0x{order_code:x}; the file is damaged"
        )
    dtype, width = _DTYPES[code]
    size = math.prod(shape) * width
    if size > MAX_TENSOR:
        raise DataError(f"has a tensor {name!r} of {size} bytes, more than {MAX_TENSOR}; the file is damaged")
    return TensorInfo(name, shape, dtype, _ORDERS[order_code], size)


def _read_footer(data: memoryview, layout: _Layout, named: _Descriptors) -> str:
    """Checks the footer against the named descriptors; returns the function's symbol."""
    reader = _Reader(data, layout.footer, len(data), "the footer")
    reader.tag(b"ZLYF")
    for what, group in (("inputs", named.inputs), ("outputs", named.outputs)):
        count = reader.u32()
        if count != len(group):
            raise DataError(f"names {len(group)} {what} in 'atiR' but {count} in its footer; the file is damaged")
        for expected in group:
            reader.take(8)
            found = _read_descriptor(reader)
            if (found.shape, found.dtype, found.order) != (expected.shape, expected.dtype, expected.order):
                raise DataError(f"describes its tensor {expected.name!r} in two ways that differ; the file is damaged")
    symbol = reader.text()
    if not symbol:
        raise DataError("has no function symbol in its footer; the file is damaged")
    reader.tag(b"CDHB")
    if reader.position != reader.end:
        raise DataError(f"has {reader.end - reader.position} bytes after its end mark; the file is damaged")
    return symbol


def _check_network(data: memoryview, begin: int, named: _Descriptors) -> None:
    """The head of our section: version, counts, checksum, and agreement with the descriptors."""
    version, size, crc, tensors, constants, operators, table, blob, n_in, n_out = struct.unpack_from(
        "<IQIIIIQQII", data, begin + 4
    )
    if version != 1:
        raise DataError(f"has a network section of version {version}; this program reads version 1: update it")
    zero = zlib.crc32(b"\0\0\0\0", zlib.crc32(data[: begin + 0x10]))
    if zlib.crc32(data[begin + 0x14 :], zero) != crc:
        raise DataError("has a wrong checksum: it was changed or damaged after it was built; copy or build it again")
    if not (1 <= tensors <= 65536 and constants <= 65536 and 1 <= operators <= 65536):
        raise DataError(f"claims {tensors} tensors, {constants} constants, {operators} operators; rebuild the model")
    fixed = 0x40 + 32 * (tensors + constants) + 4 * (n_in + n_out)
    if (n_in, n_out) != (len(named.inputs), len(named.outputs)) or fixed + table + blob > size:
        raise DataError("has a network section whose counts do not fit its size or its descriptors; rebuild the model")
    numbers = struct.unpack_from(f"<{n_in + n_out}I", data, begin + 0x40 + 32 * (tensors + constants))
    for number, info in zip(numbers, named.inputs + named.outputs):
        if number >= tensors:
            raise DataError(f"gives {info.name!r} the tensor number {number} of {tensors}; rebuild the model")
        *dims, code = struct.unpack_from("<5I", data, begin + 0x40 + 32 * number)
        # a height of 1, or height and width, may be left out
        shapes = [(dims[0], *dims[kept:]) for kept in (1, 2, 3) if set(dims[1:kept]) <= {1}]
        if info.shape not in shapes or _DTYPES.get(code, ("",))[0] != info.dtype:
            raise DataError(f"describes {info.name!r} differently in its network section; rebuild the model")


def _u32(data: memoryview, offset: int) -> int:
    return int.from_bytes(data[offset : offset + 4], "little")


def _printable(raw: bytes, what: str) -> str:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if not text.isprintable():
        raise DataError(f"has a name that is no readable text in {what}; the file is damaged")
    return text


def _hash(raw: bytes) -> str:
    """Fixed fields are not cleared by the vendor's tool: garbage follows the first NUL."""
    return raw.split(b"\0")[0].decode("ascii", "replace")


def _version(number: int) -> str:
    """40708 -> 4.7.8; 7009112 -> 7.9.112: newer compilers leave three digits for each part."""
    step = 1000 if number >= 1_000_000 else 100
    return f"{number // step**2}.{number // step % step}.{number % step}"
