"""The lowered network: exactly what the network section of the model file holds (FORMAT.md section 2)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .codes import *  # noqa: F403 - its numbers are part of a network
from .codes import FLOAT16, FLOAT32, INT8, INT16, UINT8

DTYPES: dict[int, np.dtype[Any]] = {
    FLOAT16: np.dtype("<f2"),
    FLOAT32: np.dtype("<f4"),
    INT8: np.dtype("i1"),
    INT16: np.dtype("<i2"),
    UINT8: np.dtype("u1"),
}
CONSTANT_DTYPES = (INT8, INT16, FLOAT32)
DTYPE_NAMES = {FLOAT16: "CNRT_FLOAT16", FLOAT32: "CNRT_FLOAT32", UINT8: "CNRT_UINT8"}

ABSENT = 0xFFFFFFFF

Dims = tuple[int, int, int, int]
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Tensor:
    """One activation tensor: N, H, W, C and a ``cnrtDataType_t``."""

    dims: Dims
    dtype: int


@dataclass(frozen=True)
class Operator:
    """One record of the operator table; attributes are raw words, constants may be ABSENT."""

    opcode: int
    inputs: tuple[int, ...]
    constants: tuple[int, ...]
    attributes: tuple[int, ...]
    output: int
    name: str


@dataclass(frozen=True)
class Network:
    """Tensors, constants and operators by number; inputs and outputs are tensor numbers with their names.

    ``flat``: outputs N, 1, 1, C are described as N, C.
    """

    tensors: tuple[Tensor, ...]
    constants: tuple[Array, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    flat: bool = False

    def described(self, number: int) -> tuple[int, ...]:
        """The dims of an input or output as the container has them."""
        dims = self.tensors[number].dims
        return (dims[0], dims[3]) if self.flat and number in self.outputs and dims[1:3] == (1, 1) else dims


def float_word(value: float) -> int:
    """The bits of a float32 as a word."""
    return int(struct.unpack("<I", struct.pack("<f", value))[0])


def word_float(word: int) -> float:
    """The float32 of a word's bits."""
    return float(struct.unpack("<f", struct.pack("<I", word))[0])


def word_int(word: int) -> int:
    """A word as i32."""
    return word - (1 << 32) if word >= 1 << 31 else word


def dtype_code(dtype: npt.DTypeLike) -> int:
    """``cnrtDataType_t`` of a numpy dtype."""
    wanted = np.dtype(dtype)
    return next(code for code, known in DTYPES.items() if known == wanted)
