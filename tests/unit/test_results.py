"""What a model says that detects nothing: classes of a picture by confidence, and outputs as they are."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from mlu_agent.classes import Classes
from mlu_agent.model.output_spec import PlainSpec
from mlu_agent.postprocess.classify import ROUNDING, classify
from mlu_agent.postprocess.plain import read_tensors
from mlu_agent.tensors import Tensors

if TYPE_CHECKING:
    from collections.abc import Sequence

numbers = st.one_of(
    st.sampled_from(
        [
            math.nan,
            math.inf,
            -math.inf,
            0.0,
            -0.0,
            0.5,
            1.0,
            1 + ROUNDING / 2,
            -ROUNDING / 2,
            1 + 2 * ROUNDING,
            88.0,
            -3e38,
        ]
    ),
    st.floats(width=32, allow_nan=False, allow_infinity=False, min_value=-90, max_value=90),
)


def labels_of(values: Sequence[float]) -> list[str]:
    return [f"class {number}" for number in range(len(values))]


def slow(values: Sequence[float], activation: str) -> list[float]:
    """The confidence of each class in plain Python; NaN where there is none."""
    values = [float(np.float32(value)) for value in values]
    finite = [value for value in values if math.isfinite(value)]
    greatest = max(finite, default=0.0)
    total = math.fsum(math.exp(value - greatest) for value in finite)

    def one(value: float) -> float:
        if not math.isfinite(value):
            return math.nan
        if activation == "softmax":
            return math.exp(value - greatest) / total
        if activation == "sigmoid":
            return 1 / (1 + math.exp(-value)) if value > -700 else 0.0
        return min(max(value, 0.0), 1.0) if -ROUNDING <= value <= 1 + ROUNDING else math.nan

    return [one(value) for value in values]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(numbers, min_size=1, max_size=12),
    st.sampled_from(["none", "softmax", "sigmoid"]),
    st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    st.integers(1, 20),
)
def test_classes_are_the_most_confident_ones_in_order(
    values: list[float], activation: str, confidence: float, top: int
):
    """As a plain computation has them: by descending confidence, equal ones by number, above the threshold, at most so
    many; numbers that are none are counted and take no part."""
    found = classify(np.array(values, np.float32), labels_of(values), activation, confidence, top)
    expected = slow(values, activation)
    assert found.invalid == sum(math.isnan(value) for value in expected)
    scores = found.confidence.tolist()
    ids = found.class_id.tolist()
    assert list(found.label) == [f"class {number}" for number in ids]
    assert len(set(ids)) == len(ids) <= top
    np.testing.assert_allclose(scores, [expected[number] for number in ids], rtol=3e-6, atol=1e-7)
    assert all(0 <= score <= 1 and score >= np.float32(confidence) for score in scores)
    pairs = list(zip(ids, scores))
    for (one, before), (two, after) in zip(pairs, pairs[1:]):
        assert before > after or (before == after and one < two)
    if len(ids) < top:  # then none that is sure enough is missing
        missing = [value for number, value in enumerate(expected) if number not in ids and not math.isnan(value)]
        assert all(value <= confidence + 1e-5 for value in missing)
    elif scores:
        rest = [value for number, value in enumerate(expected) if number not in ids and not math.isnan(value)]
        assert all(value <= scores[-1] + 1e-5 for value in rest)


def test_equal_confidences_stand_by_number_and_a_class_at_the_threshold_counts():
    """Both are seen in four numbers."""
    found = classify(np.array([0.5, 0.75, 0.5, 0.25], np.float16), list("abcd"), "none", 0.5, 5)
    assert (found.class_id.tolist(), found.label) == ([1, 0, 2], ("b", "a", "c"))
    assert classify(np.array([0.5, 0.75, 0.5], np.float16), list("abc"), "none", 0.5, 2).label == ("b", "a")


def test_a_softmax_of_large_numbers_is_no_overflow_and_one_of_nothing_is_empty():
    """exp(88) and more is beyond a float32; where no number is finite no class is left."""
    found = classify(np.array([30000.0, 28000.0], np.float16), ["a", "b"], "softmax", 0.0, 2)
    np.testing.assert_allclose(found.confidence, [1.0, 0.0], atol=1e-6)
    found = classify(np.array([1000.0, 1001.0], np.float32), ["a", "b"], "softmax", 0.0, 2)
    np.testing.assert_allclose(found.confidence, [1 / (1 + math.exp(-1)), 1 / (1 + math.e)], rtol=1e-6)
    nothing = classify(np.array([np.nan, np.inf], np.float32), ["a", "b"], "softmax", 0.0, 2)
    assert (len(nothing), nothing.invalid) == (0, 2)


def test_what_is_no_confidence_is_counted_unless_it_was_rounded():
    """A float16 rounds a probability a step beyond 1; logits that a manifest calls confidences are further."""
    found = classify(np.array([1.001, -0.001, 1.01, -4.0], np.float32), list("abcd"), "none", 0.0, 4)
    assert (found.label, found.confidence.tolist(), found.invalid) == (("a", "b"), [1.0, 0.0], 2)


def test_a_source_may_want_some_classes_each_with_its_own_confidence():
    """What it does not want takes no place among the first ones, and is counted."""
    least = np.array([np.inf, 0.2, 0.6, 0.1], np.float32)
    found = classify(np.array([0.9, 0.25, 0.5, 0.05], np.float32), list("abcd"), "none", 0.1, 1, least)
    assert (found.label, found.filtered, found.invalid) == (("b",), 2, 0)


def test_as_many_numbers_as_labels_are_needed():
    """A caller's mistake, as are parts of a result that do not fit each other."""
    with pytest.raises(ValueError, match="3 numbers for 2 labels"):
        classify(np.zeros(3, np.float32), ["a", "b"], "none", 0.0, 1)
    with pytest.raises(ValueError, match="do not describe the same classes"):
        Classes(np.zeros(2, np.int32), ("a",), np.zeros(1, np.float32))
    with pytest.raises(ValueError, match="1 names for 0 arrays"):
        Tensors(("a",), ())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 4), min_size=0, max_size=6), st.integers(1, 3), st.sampled_from(["float16", "float32"]))
def test_tensors_are_in_the_networks_order_whatever_the_files_is(shape: list[int], batch: int, dtype: str):
    """Each number is where the network had it: channels lie last in the file for three and four axes, all else as it
    was; every picture of a batch has its own, in memory of its own."""
    if batch > 1 and shape:
        shape[0] = 1
    arrays = [np.random.default_rng(number).normal(size=shape).astype(dtype) for number in range(batch)]
    rows = []
    for array in arrays:  # number by number, as FORMAT.md has it
        places = list(np.ndindex(*shape))
        if len(shape) == 4:
            places.sort(key=lambda at: (at[0], at[2], at[3], at[1]))
        if len(shape) == 3:
            places.sort(key=lambda at: (at[0], at[2], at[1]))
        rows.append([array[at] for at in places])
    output = np.array(rows, dtype).reshape(batch, 1, 1, -1)
    for image, array in enumerate(arrays):
        result = read_tensors([output], [PlainSpec("out", tuple(shape))], batch, image)
        np.testing.assert_array_equal(result.arrays[0], array)
        assert (result.names, result.shapes, result.dtypes) == (("out",), (tuple(shape),), (dtype,))
        assert not np.shares_memory(result.arrays[0], output)
        assert result.arrays[0].flags.c_contiguous
