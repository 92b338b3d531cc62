"""Figures over pictures drawn anew, and the intervals made of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from tests.deploy.measurement.test_matching import random_found, random_truth

from mlu_export.measurement.resampling import (
    Interval,
    draws,
    interval_of,
    pictures_needed,
    rankings,
    resample,
)

pytestmark = pytest.mark.eval


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_a_draw_counts_each_picture_as_often_as_it_was_drawn(seed, tmp_path_factory):
    """What pycocotools' sums give where a picture's detections and objects are there so many times."""
    from mlu_export.measurement.accuracy import mean_of
    from mlu_export.measurement.matching import AREAS, match, precisions

    rng = np.random.default_rng(seed)
    coco = random_truth(rng, tmp_path_factory.mktemp("truth"))
    detections = [replace(one, scores=rng.random(len(one.scores))) for one in random_found(rng, coco)]  # no equal ones
    cells = match(coco, detections)
    weights = np.array([[1, 1, 1, 1], rng.integers(0, 3, 4), [0, 0, 0, 2]], np.float64)
    found = resample(rankings(cells, coco.getImgIds()), weights)
    for row, counts in enumerate(weights.astype(int).tolist()):
        many = [cell for cell in cells for _ in range(counts[cell.picture - 1])]
        if not many:
            continue
        precision, order = precisions(coco, many)
        for area in range(len(AREAS)):
            expected = mean_of(precision[..., area])
            assert found.means[row, area] == pytest.approx(np.nan if expected is None else expected, nan_ok=True)
        expected = mean_of(precision[0, ..., 0])
        assert found.map50[row] == pytest.approx(np.nan if expected is None else expected, nan_ok=True)
        for number, category in enumerate(order):
            expected = mean_of(precision[:, :, number, 0])
            mine = found.by_category.get(category, np.full(3, np.nan))[row]
            assert mine == pytest.approx(np.nan if expected is None else expected, nan_ok=True)


def test_draws_are_the_same_everywhere():
    """As many pictures as there are, some twice and some not at all, by numbers that no release of numpy changes."""
    found = draws(5)
    assert found.shape == (400, 5)
    assert (found.sum(axis=1) == 5).all()
    assert found[:2].tolist() == draws(5, 2).tolist() == DRAWN


DRAWN = [[2.0, 2.0, 0.0, 0.0, 1.0], [0.0, 1.0, 1.0, 2.0, 1.0]]


def test_portions_change_nothing(monkeypatch, tmp_path):
    """Draws that are counted a few at a time give the figures of all at once."""
    from mlu_export.measurement import resampling
    from mlu_export.measurement.matching import match

    rng = np.random.default_rng(3)
    coco = random_truth(rng, tmp_path)
    ranked = rankings(match(coco, random_found(rng, coco)), coco.getImgIds())
    whole = resample(ranked, draws(4, 50))
    monkeypatch.setattr(resampling, "MOST_NUMBERS", 100)
    np.testing.assert_array_equal(whole.means, resample(ranked, draws(4, 50)).means)


def test_an_interval_holds_the_mean_of_what_was_drawn_from_as_often_as_it_says():
    """Of means of 40 numbers, whose own mean is known: 95 of 100, give or take what chance allows."""
    rng = np.random.default_rng(5)
    weights = draws(40)
    held = 0
    for _ in range(300):
        sample = rng.normal(1.0, 1.0, 40)
        one = interval_of(float(sample.mean()), weights @ sample / 40)
        held += one.low <= 1.0 <= one.high
    assert 0.9 <= held / 300 <= 0.97


def test_what_most_draws_do_not_know_has_no_interval():
    """Objects of a size that hardly any picture has, and figures that are not there."""
    assert interval_of(None, np.ones(9)) is None
    assert interval_of(0.5, np.array([np.nan, np.nan, 0.5, 0.5])) is None
    assert interval_of(0.5, np.array([np.nan, 0.5, 0.5])) == Interval(0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    "pictures, half, wanted, needed",
    [
        (128, 0.004, 0.002, 520),
        (128, 0.005, 0.002, 800),
        (9, 0.1, 0.5, 1),
        (9, 0.0, 0.0, 1),
        (128, 0.004, 0.0, None),
        (128, 0.004, 1e-300, None),
        (128, 0.004, 5e-324, None),
        (100, 0.01, 3.2e-6, 980_000_000),
        (100, 0.01, 3.1e-6, None),
    ],
)
def test_pictures_that_would_be_enough(pictures, half, wanted, needed):
    """Half the width takes four times the pictures; two digits, never fewer than needed; a billion is never there."""
    assert pictures_needed(pictures, half, wanted) == needed
