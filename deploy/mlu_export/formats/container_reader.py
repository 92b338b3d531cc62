"""Reads the network section of a model file back, for runs layer by layer and for verification.

Trusts nothing that it has not checked.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np

from mlu_agent.errors import DataError

from ..support.files import read_bounded
from ..values.network import CONSTANT_DTYPES, DTYPES, Array, Network, Operator, Tensor
from . import container as layout

if TYPE_CHECKING:
    from pathlib import Path

MAX_COUNT = 65536


def load_network(path: Path) -> Network:
    """The lowered network in a model file. Raises DataError, also for a file that only a device can run."""
    return read_network(read_bounded(path, layout.MAX_FILE, "model"))


def read_network(data: bytes) -> Network:
    """The lowered network in the bytes of a model file. Raises DataError (also for a wrong checksum)."""
    if data[:4] != layout.MAGIC or data[layout.NETWORK : layout.NETWORK + 4] != b"MLUS":
        raise DataError("the file holds no network section: it is no model of mlu-export")
    blank = bytearray(data)
    claimed = struct.unpack_from("<I", data, layout.CRC_OFFSET)[0]
    struct.pack_into("<I", blank, layout.CRC_OFFSET, 0)
    if zlib.crc32(blank) != claimed:
        raise DataError("the checksum of the model file is wrong: it was damaged")
    try:
        return _parse(data[layout.NETWORK :])
    except (struct.error, ValueError, IndexError, KeyError) as error:
        raise DataError(f"the network section is damaged ({error})") from error


def _parse(data: bytes) -> Network:
    header = struct.unpack_from("<4sIQIIIIQQIIQ", data)
    size, tensors, constants, operators, table, constant_bytes, inputs, outputs = header[2], *header[4:11]
    if size > len(data) or max(tensors, constants, operators, inputs, outputs) > MAX_COUNT or constant_bytes > size:
        raise DataError("the network section claims sizes that cannot be")
    position = 0x40
    found = []
    for _ in range(tensors):
        *dims, dtype = struct.unpack_from("<4iI", data, position)
        found.append(Tensor((dims[0], dims[1], dims[2], dims[3]), dtype))
        position += 32
    arrays, position = _constants(data, position, constants, size - constant_bytes)
    numbers = struct.unpack_from(f"<{inputs + outputs}I", data, position)
    position += -(-4 * (inputs + outputs) // 8) * 8
    records = _operators(data[position : position + table], operators)
    names = {record.output: record.name for record in records}
    return Network(
        tuple(found),
        tuple(arrays),
        records,
        numbers[:inputs],
        numbers[inputs:],
        ("input",) * inputs,
        tuple(names[number] for number in numbers[inputs:]),
    )


def _constants(data: bytes, position: int, count: int, base: int) -> tuple[list[Array], int]:
    arrays = []
    for _ in range(count):
        offset, elements, dtype = struct.unpack_from("<QQI", data, position)
        if dtype not in CONSTANT_DTYPES:
            raise DataError(f"a constant has the type {dtype:#x}, which constants cannot have")
        arrays.append(np.frombuffer(data, DTYPES[dtype], elements, base + offset))
        position += 32
    return arrays, position


def _operators(table: bytes, count: int) -> tuple[Operator, ...]:
    words = struct.unpack(f"<{len(table) // 4}I", table)
    records, position = [], 0
    for _ in range(count):
        opcode, length, inputs, constants, attributes, output, name_bytes, _zero = words[position : position + 8]
        ends = [
            position + 8,
            position + 8 + inputs,
            position + 8 + inputs + constants,
            position + 8 + inputs + constants + attributes,
        ]
        name = table[4 * ends[3] : 4 * ends[3] + name_bytes].decode("utf-8")
        records.append(
            Operator(opcode, words[ends[0] : ends[1]], words[ends[1] : ends[2]], words[ends[2] : ends[3]], output, name)
        )
        position += length
    return tuple(records)
