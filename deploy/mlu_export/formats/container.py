"""The model file: the lowered network in the vendor's container, byte by byte as FORMAT.md says.

Equal inputs give equal bytes.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

from mlu_agent.errors import DataError, UserError

from ..values.network import DTYPES as DTYPE_OF, Network, Operator, dtype_code

if TYPE_CHECKING:
    from collections.abc import Sequence

MAGIC = b"\x7fMEF"
FORMAT_DATE = (20, 20, 3, 30)
LEVEL = 15
RUNTIME_VERSION, RUNTIME_HASH = 40708, b"mlu-agent"
COMPILER_VERSION, COMPILER_HASH = 10000, b"mlu-export"
HEADER_SIZE = 0x434
HDXF = 0x450
NETWORK = 0x4B0
ARCHITECTURES = {"MLU220": 8, "MLU270": 6}
KERNEL_NAME = b"subnet00"
FUNCTION = b"subnet0"
MASK = 0x14260609
ORDER_NHWC = 0x231
MAX_FILE = (1 << 31) - 1
CRC_OFFSET = NETWORK + 0x10


def write_model(network: Network, name: str, target: str, parallelism: int) -> bytes:
    """The bytes of the whole file. Raises UserError for a bad name, DataError for a network beyond the limits."""
    encoded = name.encode("utf-8")
    if not 0 < len(encoded) <= 127:
        raise UserError(f"the model name has {len(encoded)} bytes; 1 to 127 are possible: choose another --name")
    section = network_section(network)
    descriptors = _descriptors(network)
    ati = struct.pack(
        "<4sIQIII", b"atiR", 0x0E, 12 + sum(map(len, descriptors)), 0, len(network.inputs), len(network.outputs)
    )
    hdxf_size = (NETWORK - HDXF) + len(section) + len(ati) + sum(map(len, descriptors)) + 4
    footer = _footer(network, descriptors)
    payload = (HDXF - HEADER_SIZE) + hdxf_size + len(footer)
    if HEADER_SIZE + payload > MAX_FILE:
        raise DataError(f"the model file would have {HEADER_SIZE + payload} bytes; at most {MAX_FILE} are possible")
    parts = [
        _header(encoded, payload),
        struct.pack("<4sIQIQ", b"wfcs", 1, payload, 1, hdxf_size),
        _hdxf(hdxf_size, ARCHITECTURES[target], parallelism),
        section,
        ati,
        *descriptors,
        b"ZLYF",
        footer,
    ]
    data = bytearray(b"".join(parts))
    struct.pack_into("<I", data, CRC_OFFSET, zlib.crc32(data))
    return bytes(data)


def network_section(network: Network) -> bytes:
    """The ``MLUS`` section with its checksum still zero."""
    table = b"".join(_record(operator) for operator in network.operators)
    offsets, constants = _constant_data(network)
    tensors = b"".join(struct.pack("<4iI12x", *tensor.dims, tensor.dtype) for tensor in network.tensors)
    described = b"".join(
        struct.pack("<QQI12x", offset, array.size, dtype_code(array.dtype))
        for offset, array in zip(offsets, network.constants)
    )
    numbers = struct.pack(f"<{len(network.inputs) + len(network.outputs)}I", *network.inputs, *network.outputs)
    body = _padded(tensors + described + numbers, 8) + table
    head = 0x40
    before = _padded(bytes(head) + body, 64)[head:]
    size = head + len(before) + len(constants)
    header = struct.pack(
        "<4sIQIIIIQQIIQ",
        b"MLUS",
        1,
        size,
        0,
        len(network.tensors),
        len(network.constants),
        len(network.operators),
        len(table),
        len(constants),
        len(network.inputs),
        len(network.outputs),
        0,
    )
    return header + before + constants


def _header(name: bytes, payload: int) -> bytes:
    start = struct.pack("<4s4BII", MAGIC, *FORMAT_DATE, 1, len(name)) + name
    end = struct.pack(
        "<II12sI12sQQ", LEVEL, RUNTIME_VERSION, RUNTIME_HASH, COMPILER_VERSION, COMPILER_HASH, HEADER_SIZE, payload
    )
    return start.ljust(0x400, b"\0") + end


def _hdxf(size: int, architecture: int, parallelism: int) -> bytes:
    start = struct.pack("<4sIQ4III", b"hdxf", 13, size, 56, 2, 3, 4, architecture, parallelism)
    return start.ljust(0x48, b"\0") + KERNEL_NAME.ljust(24, b"\0")


def _descriptors(network: Network) -> list[bytes]:
    named = list(zip(network.inputs, network.input_names)) + list(zip(network.outputs, network.output_names))
    if len(named) > 64:
        raise DataError(f"{len(named)} inputs and outputs; the format holds 64")
    return [_descriptor(network, number, name) for number, name in named]


def _descriptor(network: Network, number: int, name: str) -> bytes:
    tensor = network.tensors[number]
    encoded = name.encode("utf-8")[:127]
    dims = network.described(number)
    start = struct.pack(f"<II{len(dims)}iI", MASK, len(dims), *dims, len(encoded)) + _padded(encoded, 4)
    return start + struct.pack("<IIIif", number, tensor.dtype, ORDER_NHWC, 0, 0.0)


def _footer(network: Network, descriptors: Sequence[bytes]) -> bytes:
    entry = struct.pack("<II", 56, 0)
    count = len(network.inputs)
    groups = (descriptors[:count], descriptors[count:])
    parts = [struct.pack("<I", len(group)) + b"".join(entry + one for one in group) for group in groups]
    return b"".join(parts) + struct.pack("<I", len(FUNCTION)) + _padded(FUNCTION, 4) + b"CDHB"


def _record(operator: Operator) -> bytes:
    name = operator.name.encode("utf-8")
    words = 8 + len(operator.inputs) + len(operator.constants) + len(operator.attributes) + (len(name) + 3) // 4
    values = (
        operator.opcode,
        words,
        len(operator.inputs),
        len(operator.constants),
        len(operator.attributes),
        operator.output,
        len(name),
        0,
        *operator.inputs,
        *operator.constants,
        *(word & 0xFFFFFFFF for word in operator.attributes),
    )
    return struct.pack(f"<{len(values)}I", *values) + _padded(name, 4)


def _constant_data(network: Network) -> tuple[list[int], bytes]:
    offsets, parts, position = [], [], 0
    for array in network.constants:
        data = _padded(array.astype(DTYPE_OF[dtype_code(array.dtype)], copy=False).tobytes(), 64)
        offsets.append(position)
        parts.append(data)
        position += len(data)
    return offsets, b"".join(parts)


def _padded(data: bytes, multiple: int) -> bytes:
    return data + bytes(-len(data) % multiple)
