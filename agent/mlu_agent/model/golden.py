"""The golden frame: two inputs that a formula makes, and the digests of what a model's outputs are for them.

It lies beside the model as ``NAME.golden`` (``deploy/FORMAT.md`` section 4). Two inputs, because outputs that stayed
from an invocation before are right for the same input and wrong for the other one.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..config.fields import Fields, raise_problems, show
from ..config.files import read_bounded
from ..config.toml import parse_toml
from ..errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from .offline_model import TensorInfo

SUFFIX = ".golden"
MAX_GOLDEN = 1 << 16
MAX_OUTPUTS = 64
FRAMES = 2
_CHUNK = 1 << 16  # numbers made at a time: eight bytes of memory for each
_DIGEST = "[0-9a-f]{64}"

Digests = tuple[str, ...]


@dataclass(frozen=True)
class GoldenFrame:
    """``model_sha256``: of the model's file; ``made_on``: what computed the outputs, "simulator" or a device with its
    runtime's version; ``outputs``: for each of the two inputs the digest of each output, in the container's order."""

    model_sha256: str
    made_on: str
    outputs: tuple[Digests, ...]


def golden_inputs(number: int, tensors: Sequence[TensorInfo]) -> list[NDArray[Any]]:
    """The inputs of the golden frame 0 or 1, one for each tensor, whole batches in the container's dtype.

    Byte i over all elements of all tensors is the highest of SplitMix64's output number i + 1 from the state
    ``number`` * 2^32 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014); float tensors
    hold byte / 256, exact in float16.
    """
    inputs, first = [], 0
    for tensor in tensors:
        count = int(np.prod(tensor.shape))
        bytes_ = np.empty(count, np.uint8)
        for start in range(0, count, _CHUNK):
            end = min(start + _CHUNK, count)
            bytes_[start:end] = _bytes(number, first + start, end - start)
        dtype = np.dtype(tensor.dtype)
        values: NDArray[Any] = bytes_ if dtype == np.uint8 else (bytes_.astype(np.float32) / 256).astype(dtype)
        inputs.append(values.reshape(tensor.shape))
        first += count
    return inputs


def _bytes(number: int, first: int, count: int) -> NDArray[np.uint64]:
    z = np.arange(first + 1, first + 1 + count, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z += np.uint64(number << 32)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    high: NDArray[np.uint64] = (z ^ (z >> np.uint64(31))) >> np.uint64(56)
    return high


def digests(outputs: Sequence[NDArray[Any]]) -> Digests:
    """SHA-256 of each output's bytes as they lie in memory."""
    return tuple(hashlib.sha256(output.data).hexdigest() for output in outputs)


def golden_text(golden: GoldenFrame) -> str:
    """The file's text; always the same for the same golden frame."""
    rows = ",\n".join("  [\n" + "".join(f'    "{digest}",\n' for digest in row) + "  ]" for row in golden.outputs)
    return (
        f'schema = 1\nmodel_sha256 = "{golden.model_sha256}"\nmade_on = "{golden.made_on}"\noutputs = [\n{rows},\n]\n'
    )


def parse_golden(data: bytes, name: str) -> GoldenFrame:
    """Reads what ``golden_text`` writes; ``name`` is what sentences call the file. DataError for anything else."""
    root = Fields(parse_toml(data, name, DataError), "", [])
    root.integer("schema", minimum=1, maximum=1)
    golden = GoldenFrame(
        root.text("model_sha256", pattern=_DIGEST, remedy="write the 64 hexadecimal digits of sha256sum"),
        root.text("made_on", longest=200),
        tuple(_row(root, row) for row in root.array("outputs", longest=FRAMES, remedy="write two lists of digests")),
    )
    if len(golden.outputs) != FRAMES or len({len(row) for row in golden.outputs}) != 1 or not golden.outputs[0]:
        root.problem("outputs", "is not two lists of as many digests; write a digest for each output, twice")
    root.close()
    raise_problems(name, root.problems, DataError)
    return golden


def read_golden(path: Path) -> GoldenFrame:
    """The golden frame of a file. DataError for anything else."""
    return parse_golden(read_bounded(path, MAX_GOLDEN, DataError), path.name)


def _row(root: Fields, row: object) -> Digests:
    right = isinstance(row, list) and len(row) <= MAX_OUTPUTS
    if isinstance(row, list) and right and all(isinstance(one, str) and re.fullmatch(_DIGEST, one) for one in row):
        return tuple(row)
    root.problem("outputs", f"{show(row)} is no list of at most {MAX_OUTPUTS} digests")
    return ()
