"""Progress where nobody watches: few lines, each with how far and how long yet."""

from __future__ import annotations

import io
import re
import time

import pytest
from hypothesis import given, settings, strategies as st

from mlu_export.support import progress
from mlu_export.support.progress import EVERY_S, Lines, count_progress, duration, show_progress


class Clock:
    """Moves when told."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def told(monkeypatch, total: int, seconds: list[float]) -> list[str]:
    """The lines of work whose items take so long."""
    clock, out = Clock(), io.StringIO()
    monkeypatch.setattr("sys.stderr", out)
    lines = Lines(total, "evaluating", "picture", clock)
    for one in seconds:
        clock.now += one
        assert lines.step() is False
    return out.getvalue().splitlines()


def test_what_is_over_soon_says_nothing(monkeypatch):
    """Within the first seconds, and at the end."""
    assert told(monkeypatch, 100, [EVERY_S / 100] * 100) == []
    assert told(monkeypatch, 1, [3600.0]) == []


def test_a_line_has_percent_and_the_time_that_is_left(monkeypatch):
    """After the first seconds, and at each tenth."""
    lines = told(monkeypatch, 100, [2.0] * 100)
    assert lines[1] == "mlu-export: evaluating: 10% (10 of 100 pictures), 3 min left"
    assert [re.search(r"(\d+)%", line)[1] for line in lines] == [
        "5",
        "10",
        "20",
        "30",
        "40",
        "50",
        "60",
        "70",
        "80",
        "90",
    ]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 400),
    st.lists(st.sampled_from([0.0, 0.01, 1.0, 60.0, 3600.0]), min_size=1, max_size=400),
)
def test_the_lines_are_few_however_long_it_takes(total, seconds):
    """Never nearer than EVERY_S; at most nine tenths, and as many more as the time doubles."""
    with pytest.MonkeyPatch.context() as patch:
        clock, out = Clock(), io.StringIO()
        patch.setattr("sys.stderr", out)
        lines, times, count = Lines(total, "x", "batch", clock), [], 0
        for one in seconds[:total]:
            clock.now += one
            lines.step()
            if out.getvalue().count("\n") > count:
                count += 1
                times.append(clock.now)
        assert out.getvalue().count("\n") == count
    assert all(later - earlier >= EVERY_S for earlier, later in zip([100.0, *times], times))
    assert len(times) <= 9 + (int(sum(seconds[:total]) / EVERY_S) + 1).bit_length()


def test_what_was_done_silently_before_counts_as_waiting(monkeypatch):
    """Loading takes time, and so does work that was over before it had a line: the next one tells at its first item."""
    out = io.StringIO()
    monkeypatch.setattr("sys.stderr", out)
    monkeypatch.setattr(progress._told, "at", time.monotonic() - EVERY_S)
    assert list(show_progress(range(128), "evaluating")) == list(range(128))
    assert "mlu-export: evaluating: 0% (1 of 128 pictures)" in out.getvalue()
    assert out.getvalue().count("\n") == 1
    assert list(show_progress(range(128), "measuring")) == list(range(128))
    assert out.getvalue().count("\n") == 1


def test_items_and_results_are_counted_alike(monkeypatch):
    """On a terminal a bar moves instead; every item comes, in its order."""
    out = io.StringIO()
    monkeypatch.setattr("sys.stderr", out)
    monkeypatch.setattr(progress, "EVERY_S", 0.0)
    assert list(show_progress(range(40), "reading", "batch")) == list(range(40))
    assert "(20 of 40 batches)" in out.getvalue()
    with count_progress(3, "others") as count:
        assert [count(number) for number in range(3)] == [False] * 3
    out = io.StringIO()
    out.isatty = lambda: True
    monkeypatch.setattr("sys.stderr", out)
    assert list(show_progress(range(3), "reading")) == [0, 1, 2]


@pytest.mark.parametrize(
    "seconds, words", [(0.2, "1 s"), (89, "89 s"), (90, "2 min"), (5400, "90 min"), (12000, "3 h 20 min")]
)
def test_times_are_said_as_people_do(seconds, words):
    """The unit that fits."""
    assert duration(seconds) == words
