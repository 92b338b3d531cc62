"""When a trial of another range ends, and what it finds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from mlu_export.calibration.refine import GAIN, LEAST, STAGES, _Trials


class Shards:
    """Pictures' errors in contiguous parts, given out in any order, one from here and one from there."""

    def __init__(self, errors, parts, rng):
        self.errors = errors
        self.parts = [list(part) for part in np.array_split(np.arange(len(errors)), parts)]
        self.rng = rng
        self.looked_at = 0

    def call(self, name, rests, on_result=lambda _: False):
        assert name == "errors"
        waiting = [[(int(n), self.errors[n]) for n in part if n % 4 in rests] for part in self.parts]
        found = [[] for _ in waiting]
        enough = False
        while any(waiting) and not enough:
            index = int(self.rng.choice([index for index, part in enumerate(waiting) if part]))
            found[index].append(waiting[index].pop(0))
            self.looked_at += 1
            enough = on_result(found[index][-1])
        return found


def straightforward(errors, best):
    """All errors if they are better than ``best``: looking at a quarter, half and all pictures."""
    seen: list[int] = []
    for rests, most in STAGES:
        seen = sorted([*seen, *(number for number in range(len(errors)) if number % 4 in rests)])
        if len(seen) >= LEAST and plain_sum(errors, seen) > most * plain_sum(best, seen):
            return None
    return dict(enumerate(errors)) if plain_sum(errors, seen) < plain_sum(best, seen) * (1 - GAIN) else None


def plain_sum(errors, numbers):
    total = 0.0
    for number in numbers:
        total += errors[number]
    return total


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 32), st.integers(1, 5), st.sampled_from([0.7, 0.95, 1.0, 1.3]))
def test_a_trial_does_not_depend_on_how_pictures_are_shared(seed, count, parts, level):
    """The same errors or none, as a loop over all pictures says."""
    rng = np.random.default_rng(seed)
    best = rng.uniform(0.2, 2, count).tolist()
    errors = (best * rng.normal(level, 0.15, count).clip(0.01)).tolist()
    trials = _Trials(Shards(errors, min(parts, count), rng))
    assert trials.better(dict(enumerate(best))) == straightforward(errors, best)


def test_all_pictures_are_asked_for_their_first_error():
    """By their numbers, whatever the shards."""
    errors = [1.0, 0.5, 2.0, 0.25, 3.0]
    found = _Trials(Shards(errors, 2, np.random.default_rng(0))).errors()
    assert list(found.items()) == list(enumerate(errors))


@pytest.mark.parametrize(
    "errors, looked_at",
    [([1.06] * 16, 4), ([1.0, 1.0, 1.2, 1.0] * 4, 8), ([0.985] * 16, 16), ([9.0] * 16, 2), ([1.2] * 6 + [0.9], 4)],
)
def test_a_trial_ends_as_soon_as_few_pictures_say_so(errors, looked_at):
    """A quarter of the pictures or half of them that is clearly worse, or an error that is too large already; of fewer
    than four nothing is concluded."""
    shards = Shards(errors, 1, np.random.default_rng(0))
    assert _Trials(shards).better(dict.fromkeys(range(len(errors)), 1.0)) is None
    assert shards.looked_at == looked_at


def test_few_pictures_are_all_looked_at():
    """Three that gain less than what counts."""
    shards = Shards([0.97] * 3, 1, np.random.default_rng(0))
    assert _Trials(shards).better(dict.fromkeys(range(3), 1.0)) is None
    assert shards.looked_at == 3
