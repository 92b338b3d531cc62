"""TOML text and labels."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from mlu_agent.config.toml import parse_toml
from mlu_agent.config.toml_text import dump
from mlu_agent.errors import DataError, UserError
from mlu_agent.model.label_sets import COCO
from mlu_export.formats.labels import choose_labels


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
    """The first of them that is given counts, and must name each class once."""
    assert choose_labels(2, ("a", "b"), ("c", "d")) == ("a", "b")
    assert choose_labels(2, None, ("c", "d")) == ("c", "d")
    assert choose_labels(80, None, None) == COCO
    for given_labels in (("a",), ("a", "a"), ("a", "")):
        with pytest.raises(UserError):
            choose_labels(2, given_labels, None)
