"""Observers, labels, TOML text, atomic writing."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st

from mlu_agent.config.toml import parse_toml
from mlu_agent.errors import DataError, UserError
from mlu_export.calibration.observe import BINS, LayerObserver
from mlu_export.formats.labels import COCO, choose_labels
from mlu_export.formats.toml_text import dump
from mlu_export.support.files import write_all


def test_minmax_is_all_that_was_seen():
    observer = LayerObserver()
    for values in ([-1.0, 2.0], [0.5], [-3.0, 1.0]):
        observer.see(np.array(values, np.float32))
    seen = observer.finish("minmax", 8)
    assert (seen.low, seen.high, seen.absmax) == (-3.0, 2.0, 3.0)


def test_a_growing_histogram_equals_one_of_the_final_size():
    """Folding bins as the range grows loses no count."""
    rng = np.random.default_rng(4)
    small, large = rng.normal(0, 0.1, 5000).astype(np.float32), rng.normal(0, 50, 5000).astype(np.float32)
    growing, whole = LayerObserver(), LayerObserver()
    growing.see(small)
    growing.see(large)
    whole.see(large)
    whole.see(small)
    assert growing.limit == whole.limit
    assert growing.counts.sum() == whole.counts.sum() == 10000
    assert np.abs(growing.counts - whole.counts).sum() <= 20  # values on a bin's very edge may round either way
    assert len(growing.counts) == BINS


def test_least_error_clips_outliers_and_keeps_what_is_common():
    """One value of 100 among a million of a normal distribution does not cost the others their steps."""
    observer = LayerObserver()
    values = np.random.default_rng(1).normal(0, 1, 1_000_000).astype(np.float32)
    values[1] = 100.0
    for _ in range(3):
        observer.see(values)
    absmax = observer.finish("mse", 8).absmax
    assert 4 < absmax < 80

    def error(limit):
        codes = np.clip(np.rint(values * (127 / limit)), -127, 127)
        return float(((values - codes * (limit / 127)) ** 2).mean())

    assert error(absmax) < 0.5 * error(100.0)


def test_least_error_never_leaves_what_was_seen():
    observer = LayerObserver()
    observer.see(np.array([-0.25, 4.0], np.float32))
    seen = observer.finish("mse", 8)
    assert seen.low == -0.25
    assert seen.high <= 4.0


def test_a_layer_of_zeros_has_an_empty_range():
    observer = LayerObserver()
    observer.see(np.zeros(10, np.float32))
    assert observer.finish("mse", 8).absmax == 0


@given(
    st.dictionaries(
        st.text(max_size=8),
        st.one_of(
            st.text(max_size=20), st.integers(-(2**62), 2**62), st.booleans(),
            st.floats(allow_nan=False, allow_infinity=False),
            st.lists(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1), min_size=1),
            st.dictionaries(st.text(max_size=5), st.floats(allow_nan=False, allow_infinity=False), max_size=3),
            st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=5)), min_size=1, max_size=3),
        ),
    )
)  # fmt: skip
def test_toml_text_reads_back_as_it_was(document):
    """Any text, number or nesting that manifests and recipes may hold, floats to the last bit."""
    assert parse_toml(dump(document).encode("utf-8"), "x", DataError) == document


def test_labels_come_from_the_user_then_the_file_then_coco():
    assert choose_labels(2, ("a", "b"), ("c", "d")) == ("a", "b")
    assert choose_labels(2, None, ("c", "d")) == ("c", "d")
    assert choose_labels(80, None, None) == COCO
    for given_labels in (("a",), ("a", "a"), ("a", "")):
        with pytest.raises(UserError):
            choose_labels(2, given_labels, None)


def test_files_are_written_all_or_none(tmp_path):
    """A name that cannot be written leaves no file and no temporary one."""
    with pytest.raises(UserError):
        write_all(tmp_path, {"a": b"1", "no/such/folder": b"2"})
    assert list(tmp_path.iterdir()) == []
    write_all(tmp_path, {"a": b"1", "b": b"2"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_only_a_regular_file_is_replaced(tmp_path):
    """A pipe or a folder of that name is named and stays, and so do the other files of the set."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name, word in (("pipe", "a device or a pipe"), ("folder", "a folder")):
        with pytest.raises(UserError, match=f"{name} is {word}"):
            write_all(tmp_path, {"a": b"1", name: b"2"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "pipe"]
    assert (tmp_path / "pipe").is_fifo()
    with pytest.raises(UserError, match="it is a file; give a folder"):
        write_all(Path(__file__), {"a": b"1"})
