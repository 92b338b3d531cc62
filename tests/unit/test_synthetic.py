"""The synthetic source's pictures."""

from __future__ import annotations

import itertools

import numpy as np

from mlu_agent.sources.synthetic import SyntheticCapture


def pictures(capture):
    for number in itertools.count():
        capture._position = number + 1  # as ``advance`` does after waiting for its time
        yield capture.take().pixels


def drawn(number):
    """As a capture draws its first picture, in new memory."""
    capture = SyntheticCapture(96, 64, 1e6)
    capture._position = number + 1
    return capture.take().pixels


def test_a_picture_that_somebody_has_is_never_drawn_over():
    """Neither one that is kept whole nor one of which a part is kept; each is drawn as if it were the first."""
    capture = SyntheticCapture(96, 64, 1e6)
    kept = []
    for number, pixels in zip(range(40), pictures(capture)):
        assert np.array_equal(pixels, drawn(number))
        if number % 5 == 0:
            kept.append((number, pixels[4:30, ::2] if number % 2 else pixels))
    for number, pixels in kept:
        whole = drawn(number)
        assert np.array_equal(pixels, whole[4:30, ::2] if number % 2 else whole)


def test_memory_that_all_let_go_is_used_again():
    """As many pictures as are in flight at once need memory, not as many as there are."""
    capture = SyntheticCapture(96, 64, 1e6)
    for _, pixels in zip(range(40), pictures(capture)):
        assert any(pixels is one for one in capture._kept)
        del pixels
    assert len(capture._kept) <= 2
