"""Reading of files whose size others decide."""

from __future__ import annotations

import io
import resource
from pathlib import Path

import pytest

from mlu_agent.config.files import read_at_most, read_bounded
from mlu_agent.errors import DataError

SPARE = 256 << 20


@pytest.fixture
def little_memory():
    """So much address space more than the process has now, and no byte beyond."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + SPARE, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def test_a_small_file_costs_little_memory_however_large_it_may_be(tmp_path: Path, little_memory):
    """A limit of 2 GB is not 2 GB taken: a small box without swap would refuse them, and no model would ever load."""
    path = tmp_path / "model"
    path.write_bytes(b"abc")
    assert read_bounded(path, 2**31 - 1, DataError) == b"abc"


def test_a_file_beyond_its_limit_is_refused(tmp_path: Path):
    """By the size that the system tells, before a byte is read."""
    path = tmp_path / "model"
    path.write_bytes(b"abcd")
    with pytest.raises(DataError, match="larger than 3 bytes"):
        read_bounded(path, 3, DataError)


@pytest.mark.parametrize("likely", [1, 3, 7, 100])
def test_a_file_that_grew_is_read_to_its_end_or_to_the_limit(likely: int):
    """What was likely is a guess: neither less nor more is read for it."""
    assert read_at_most(io.BytesIO(b"abcdefg"), 100, likely) == b"abcdefg"
    assert read_at_most(io.BytesIO(b"abcdefg"), 5, likely) == b"abcde"
