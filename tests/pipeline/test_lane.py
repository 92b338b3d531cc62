"""When a lane will be free, and when its next live frame is to be taken: arithmetic on times that are given."""

from __future__ import annotations

import math
from typing import Any

import pytest

from mlu_agent.engine.lane import SLACK_S, WINDOW, Lane, Pace

_CONTEXT: Any = None


def test_nothing_is_waited_for_before_anything_is_known():
    """The first frames are taken at once, whatever the lane has to do."""
    pace = Pace()
    lane = Lane(0, _CONTEXT, pace)
    lane.begin(100.0)
    assert lane.ends - pace.lead_s == -math.inf


def test_a_lane_ends_when_all_that_it_has_takes_as_long_as_usual():
    """Each invocation after the one before it; seen anew when one ended earlier or later than was expected."""
    pace = Pace()
    pace.took(2.0)
    lane = Lane(0, _CONTEXT, pace)
    lane.begin(100.0)
    assert lane.ends == 102.0
    lane.begin(101.0)
    assert lane.ends == 104.0
    lane.end(101.5)
    assert lane.ends == 103.5
    assert lane.idle_since == 101.5
    lane.end(104.0)
    assert lane.ends == 0.0
    lane.begin(110.0)
    assert lane.ends == 112.0


def test_one_late_invocation_changes_nothing_and_a_slower_device_is_learnt():
    """Durations are the median of the last ones, so the past is forgotten."""
    pace = Pace()
    for _ in range(9):
        pace.took(1.0)
    pace.took(50.0)
    assert pace.duration_s == 1.0
    for _ in range(WINDOW):
        pace.took(3.0)
    assert pace.duration_s == 3.0


def test_the_lead_is_what_nine_of_ten_preparations_need():
    """One that took long does not make every frame wait."""
    pace = Pace()
    for milliseconds in range(1, 11):
        pace.prepared(milliseconds / 1000)
    assert pace.lead_s == pytest.approx(0.009 + SLACK_S)
