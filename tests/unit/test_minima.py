"""Whether guaranteed minima are kept, as it is noticed at run time."""

from __future__ import annotations

import pytest

from mlu_agent.sources.minima import WINDOW_S, Minima, Traffic, Verdict


def verdict(*windows: dict[str, Traffic]) -> Verdict | None:
    minima, result = Minima(), None
    for number, traffic in enumerate(windows):
        result = minima.look(5.0 + number * WINDOW_S, traffic)
    return result


@pytest.mark.parametrize(
    "came, taken, missed",
    [
        (250, 100, {}),  # all that was promised
        (250, 99, {}),  # one may be on its way
        (250, 98, {"a": 2}),
        (50, 50, {}),  # a slow source gets all that it has
        (50, 49, {}),
        (50, 20, {"a": 30}),  # held to what it delivered
        (0, 0, {}),
    ],
)
def test_a_source_misses_what_it_was_promised_and_had(came, taken, missed):
    """At ten frames a second for ten seconds; what it did not deliver cannot be taken."""
    found = verdict({"a": Traffic(10.0, 7, 3)}, {"a": Traffic(10.0, 7 + came, 3 + taken)})
    assert found is not None
    assert found.missed == missed


@pytest.mark.parametrize(
    "first, last, missed",
    [
        ((7, 3, 0, True), (27, 25, 0, True), 78),  # it had one all the time: the next one comes when one is taken
        ((0, 0, 0, True), (0, 0, 0, True), 100),
        ((7, 3, 0, True), (27, 27, 1, False), 0),  # it has come to its end
        ((7, 3, 0, True), (27, 25, 3, True), 0),  # it decodes no faster
        ((0, 0, 0, False), (0, 0, 0, False), 0),
    ],
)
def test_a_file_that_always_has_a_frame_is_held_to_all_that_it_was_promised(first, last, missed):
    """What came of it is what was taken, so that alone tells nothing."""
    found = verdict({"a": Traffic(10.0, *first)}, {"a": Traffic(10.0, *last)})
    assert found is not None
    assert found.missed.get("a", 0) == missed


def test_the_figures_are_those_of_all_sources():
    """What was promised to those that delivered it, beside all that was taken."""
    before = dict.fromkeys("abc", Traffic(10.0, 0, 0)) | {"d": Traffic(0.0, 0, 0)}
    after = {
        "a": Traffic(10.0, 250, 60),
        "b": Traffic(10.0, 20, 20),
        "c": Traffic(10.0, 0, 0),
        "d": Traffic(0.0, 90, 40),
    }
    assert verdict(before, after) == Verdict({"a": 40}, 12.0, 12.0)


def test_there_is_one_verdict_for_each_window():
    """Of ten seconds; within it there is none, however often it is asked."""
    minima = Minima()
    traffic = {"a": Traffic(1.0, 0, 0)}
    assert [minima.look(now, traffic) for now in (0.0, 1.0, 9.9)] == [None] * 3
    assert minima.look(10.0, traffic) is not None
    assert minima.look(11.0, traffic) is None


def test_a_source_that_is_new_or_changed_counts_from_the_next_window_on():
    """It had no whole window yet in which to get what it is promised."""
    new = {"a": Traffic(10.0, 200, 0)}
    assert verdict({}, new) == Verdict({}, 0.0, 0.0)
    assert verdict(new) is None
    changed = verdict({"a": Traffic(1.0, 0, 0)}, new)
    assert changed is not None
    assert changed.missed == {}
    again = verdict({"a": Traffic(10.0, 900, 900)}, {"a": Traffic(10.0, 5, 0)})
    assert again == Verdict({}, 0.0, 0.0)
