"""The golden frame's file: inputs by a formula, outputs as digests; bytes from outside are hostile."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from mlu_agent.errors import DataError
from mlu_agent.model.golden import GoldenFrame, digests, golden_inputs, golden_text, parse_golden
from mlu_agent.model.offline_model import TensorInfo

MASK = 2**64 - 1
GOLDEN = GoldenFrame("a" * 64, "simulator", (("b" * 64, "c" * 64), ("d" * 64, "e" * 64)))


def tensor(dtype: str, *shape: int) -> TensorInfo:
    return TensorInfo("x", shape, dtype, "NHWC", int(np.prod(shape)) * np.dtype(dtype).itemsize)


def plain(number: int, index: int) -> int:
    """The formula of FORMAT.md with Python's integers."""
    z = ((number << 32) + (index + 1) * 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return (z ^ (z >> 31)) >> 56


@pytest.mark.parametrize("number", [0, 1])
def test_inputs_are_made_by_the_formula(number: int):
    """Also beyond the 65,536 that are made at a time, and from one tensor to the next; the batch is one long row."""
    first, second = golden_inputs(number, [tensor("uint8", 2, 200, 200, 4), tensor("uint8", 1, 5)])
    assert first.shape == (2, 200, 200, 4)
    row = [*first.reshape(-1).tolist(), *second.reshape(-1).tolist()]
    for index in (0, 1, 65535, 65536, 65537, 319999, 320000, 320004):
        assert row[index] == plain(number, index), index


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_float_inputs_hold_the_same_bytes_over_256(dtype: str):
    """Exactly, in both."""
    (whole,) = golden_inputs(1, [tensor("uint8", 1, 16, 16, 3)])
    (parts,) = golden_inputs(1, [tensor(dtype, 1, 16, 16, 3)])
    assert parts.dtype == dtype
    assert np.array_equal(parts.astype(np.float64) * 256, whole)


def test_the_two_inputs_differ_in_nearly_every_byte():
    """Outputs that stayed from the other one are wrong."""
    one, two = (golden_inputs(number, [tensor("uint8", 1, 64, 64, 4)])[0] for number in (0, 1))
    assert np.mean(one != two) > 0.98


def test_digests_are_those_of_the_bytes():
    """SHA-256 of each output as it lies in memory."""
    output = np.arange(6, dtype=np.float16).reshape(1, 2, 3)
    assert digests([output]) == (hashlib.sha256(output.tobytes()).hexdigest(),)


def test_what_is_written_is_read_again():
    """The text is the same each time."""
    text = golden_text(GOLDEN)
    assert parse_golden(text.encode(), "small.golden") == GOLDEN
    assert golden_text(parse_golden(text.encode(), "small.golden")) == text


@pytest.mark.parametrize(
    "old, new, said",
    [
        ("schema = 1", "schema = 2", "schema: 2 is not accepted"),
        ("a" * 64, "a" * 63, "model_sha256: "),
        ('made_on = "simulator"', "", "made_on: is missing"),
        ("e" * 64, "e" * 63, "outputs: .* is no list of at most 64 digests"),
        (f'"{"e" * 64}",', "", "outputs: is not two lists of as many digests"),
        (f'"{"e" * 64}",', f'"{"e" * 64}",' * 64, "outputs: "),
        ("outputs = [", "outputs = 3\nx = [", "outputs: 3 is not accepted"),
        ("schema", "schema = 1\nother", "other: is not an option"),
        ("schema = 1", "schema", "small.golden"),
    ],
)
def test_a_wrong_file_is_refused_with_the_field(old: str, new: str, said: str):
    """One sentence for each that is wrong, and no exception of another kind."""
    text = golden_text(GOLDEN)
    assert old in text
    with pytest.raises(DataError, match=said):
        parse_golden(text.replace(old, new, 1).encode(), "small.golden")
