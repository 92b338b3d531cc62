"""What observers keep of the activations that they see."""

from __future__ import annotations

import numpy as np

from mlu_export.calibration.observe import BINS, LayerObserver


def test_minmax_is_all_that_was_seen():
    """The range goes from the least to the largest value of all batches."""
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
    """A limit is sought below what occurred, never beyond it."""
    observer = LayerObserver()
    observer.see(np.array([-0.25, 4.0], np.float32))
    seen = observer.finish("mse", 8)
    assert seen.low == -0.25
    assert seen.high <= 4.0


def test_a_layer_of_zeros_has_an_empty_range():
    """Where only zero occurred there is nothing to scale, and no division by it."""
    observer = LayerObserver()
    observer.see(np.zeros(10, np.float32))
    assert observer.finish("mse", 8).absmax == 0
