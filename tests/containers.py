"""Model files as the vendor's compiler leaves them: described inputs and outputs around device code of no meaning."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from tests.native.make_model import Model, padded

if TYPE_CHECKING:
    from collections.abc import Sequence

DTYPES = {"uint8": 0x31, "float16": 0x12, "float32": 0x13, "int32": 0x23}
Tensor = tuple[tuple[int, ...], str]


class _DeviceFile(Model):
    def section(self) -> bytes:
        return b"\x01code of a device".ljust(64, b"\x55")

    def descriptor(self, index: int, tensor: int, name: str) -> bytes:
        dims, dtype = self.tensors[tensor]
        raw = name.encode()
        head = struct.pack(f"<II{len(dims)}iI", 0x14260609, len(dims), *dims, len(raw)) + padded(raw, 4)
        return head + struct.pack("<IIIif", index, dtype, 0x231, 0, 0.0)


def device_file(
    inputs: Sequence[Tensor], outputs: Sequence[Tensor], *, parallelism: int = 1, names: Sequence[str] = ()
) -> bytes:
    """The bytes of a container with such inputs and outputs, each a shape and a type; ``names`` of the outputs."""
    model = _DeviceFile("forward_model", parallelism=parallelism)
    for shape, dtype in inputs:
        model.input("data", shape, DTYPES[dtype])  # type: ignore[arg-type]  # descriptors of any rank
    for number, (shape, dtype) in enumerate(outputs):
        name = names[number] if names else ""
        model.output(model.tensor(shape, DTYPES[dtype]), name)  # type: ignore[arg-type]
    data = bytearray(model.build())
    data[0x408:0x414] = b"dbf7bf5e".ljust(12, b"\0")
    return bytes(data)
