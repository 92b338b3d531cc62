"""Whose frame is looked at next: decided by what waits and the time, so all of it runs here on a simulated clock."""

from __future__ import annotations

import bisect
import heapq
import math
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings, strategies as st

from mlu_agent.sources.schedule import Schedule, Share


@dataclass
class Feed:
    """A source: a frame every ``interval`` seconds (0: there always is one, as of a file), from ``start`` to ``end``;
    a live one keeps the newest. ``taken``: when its frames were."""

    share: Share
    interval: float = 0.0
    start: float = 0.0
    end: float = math.inf
    taken: list[float] = field(default_factory=list)
    dropped: int = 0
    waits: bool = False
    arrivals: int = 0

    def arrive(self, now: float) -> float:
        """Puts what came by ``now`` into its box; when the next one comes."""
        if not self.start <= now < self.end:
            return self.start if now < self.start else math.inf
        if not self.interval:
            self.waits = True
            return math.inf
        while self.start + self.arrivals * self.interval <= now:
            self.dropped += self.waits
            self.waits = True
            self.arrivals += 1
        return self.start + self.arrivals * self.interval

    def take(self, now: float) -> None:
        """Empties its box."""
        self.waits = not self.interval
        self.taken.append(now)


def run(feeds: dict[str, Feed], lanes: int, cost: float, seconds: float) -> float:
    """Sources before a device of so many lanes, each frame taking ``cost`` seconds of one; for how long a lane had
    nothing to do although a frame waited."""
    schedule, free, idle = Schedule(), [cost * lane / lanes for lane in range(lanes)], 0.0
    for key, feed in feeds.items():
        schedule.add(key, feed.share)
    while (now := heapq.heappop(free)) < seconds:
        coming = min(feed.arrive(now) for feed in feeds.values())
        waiting = [key for key, feed in feeds.items() if feed.waits]
        key = schedule.choose(waiting, now)
        if key is None:
            idle += bool(waiting)
            heapq.heappush(free, coming if coming < math.inf else seconds)
            continue
        feeds[key].take(now)
        schedule.taken(key, now)
        heapq.heappush(free, now + cost)
    return idle


def least_in_any_window(taken: list[float], length: float, seconds: float) -> int:
    """The fewest frames that lie in a window of that length."""
    starts = [0.0, *(time + 1e-9 for time in taken)]
    return min(
        bisect.bisect_left(taken, start + length) - bisect.bisect_left(taken, start)
        for start in starts
        if start + length <= seconds
    )


@st.composite
def feasible(draw) -> tuple[dict[str, Feed], int, float]:
    """Sources whose minima together are at most nine tenths of what the device can do, among others without any."""
    lanes, cost = draw(st.integers(1, 4)), draw(st.sampled_from([0.01, 0.02, 0.05]))
    weights = draw(st.lists(st.integers(1, 20), min_size=1, max_size=8))
    load = draw(st.floats(0.1, 0.9)) * lanes / cost
    feeds = {}
    for number, weight in enumerate(weights):
        # a lane is not taken from who has it: nobody can be promised more than every second frame of the device
        minimum = min(load * weight / sum(weights), lanes / cost / 2)
        interval = draw(st.sampled_from([0.0, 0.3, 0.9])) / minimum
        feeds[f"m{number}"] = Feed(Share(draw(st.integers(1, 9)), minimum), interval)
    for number in range(draw(st.integers(0, 4))):
        feeds[f"g{number}"] = Feed(Share(draw(st.integers(1, 9))), draw(st.sampled_from([0.0, 0.001, 0.04, 0.5])))
    return feeds, lanes, cost


@settings(max_examples=40, deadline=None)
@given(feasible())
def test_every_minimum_is_kept_whenever_that_is_possible(case):
    """Whatever the others want and how important they are: in any stretch of ten of its periods a source gets eight
    frames at least, and over the whole time all but two."""
    feeds, lanes, cost = case
    seconds = 30 / min(feed.share.min_fps for feed in feeds.values() if feed.share.min_fps)
    seconds = min(seconds, 2500 * cost / lanes)
    assert run(feeds, lanes, cost, seconds) == 0
    for feed in feeds.values():
        minimum = feed.share.min_fps
        if not minimum:
            continue
        assert len(feed.taken) >= math.floor(minimum * seconds) - 2
        if seconds > 10 / minimum:
            assert least_in_any_window(feed.taken, 10 / minimum, seconds) >= 8


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 9), st.sampled_from([0.0, 0.0, 2.0, 10.0])), min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(0, 4095), st.floats(0, 0.3)), max_size=60),
)
def test_who_is_owed_comes_first_then_the_most_important_and_somebody_always(shares, steps):
    """One of those who wait, none only if nobody does; nobody of less importance unless it is owed a frame."""
    schedule, keys, now = Schedule(), [str(number) for number in range(len(shares))], 100.0
    owed = dict.fromkeys(keys, -math.inf)
    share = {key: Share(*pair) for key, pair in zip(keys, shares)}
    for key in keys:
        schedule.add(key, share[key])
    for mask, pause in steps:
        now += pause
        waiting = [key for number, key in enumerate(keys) if mask >> number & 1]
        key = schedule.choose(waiting, now)
        assert (key in waiting) if waiting else key is None
        if key is None:
            continue
        creditors = [one for one in waiting if share[one].min_fps and owed[one] <= now]
        if creditors:
            assert key in creditors
        else:
            assert share[key].priority == min(share[one].priority for one in waiting)
        schedule.taken(key, now)
        if share[key].min_fps:
            period = 1 / share[key].min_fps
            owed[key] = min(max(owed[key], now - 2 * period), now) + period


def test_sources_of_one_priority_share_alike_however_many_frames_they_have():
    """One at 100 frames a second gets no more than one at 25, where a file takes what it gets."""
    feeds = {"fast": Feed(Share(), 0.01), "usual": Feed(Share(), 0.04), "file": Feed(Share())}
    run(feeds, 2, 0.05, 30)
    counts = [len(feed.taken) for feed in feeds.values()]
    assert max(counts) - min(counts) <= 30  # 400 each, and now and then one has no frame when it is its turn
    assert sum(counts) == 1200


def test_a_file_takes_what_nobody_else_wants():
    """It always has a frame, and loses none by waiting."""
    feeds = {"camera": Feed(Share(), 0.1), "file": Feed(Share())}
    run(feeds, 1, 0.02, 20)
    assert (len(feeds["camera"].taken), feeds["camera"].dropped) == (200, 0)
    assert len(feeds["file"].taken) == pytest.approx(800, abs=1)


def test_a_less_important_source_without_a_minimum_gets_what_is_left():
    """Nothing, where nothing is left: that is what its priority says; with a minimum it gets that."""
    feeds = {"first": Feed(Share(1)), "last": Feed(Share(9)), "promised": Feed(Share(9, min_fps=3.0))}
    run(feeds, 1, 0.02, 20)
    assert len(feeds["last"].taken) == 0
    assert 59 <= len(feeds["promised"].taken) <= 62
    assert len(feeds["first"].taken) >= 938


@settings(max_examples=20, deadline=None)
@given(feasible(), st.integers(1, 9), st.floats(0, 100))
def test_a_source_without_frames_costs_the_others_nothing(case, priority, minimum):
    """Whatever it was promised: they are taken at the very same moments as without it."""
    feeds, lanes, cost = case
    with_it = {key: Feed(feed.share, feed.interval) for key, feed in feeds.items()}
    broken = {"broken": Feed(Share(priority, minimum), 0.04, start=math.inf)}
    run(feeds, lanes, cost, 300 * cost)
    run({**broken, **with_it}, lanes, cost, 300 * cost)
    assert [feed.taken for feed in with_it.values()] == [feed.taken for feed in feeds.values()]


def test_a_minimum_that_is_late_each_time_is_kept_over_the_whole():
    """A lane is free every 0.07 s, a frame is owed every 0.1 s: never just then, and ten a second all the same."""
    feeds = {"a": Feed(Share(9, min_fps=10.0)), "b": Feed(Share(1))}
    run(feeds, 1, 0.07, 70)
    assert 698 <= len(feeds["a"].taken) <= 702


def test_extra_frames_are_not_held_against_a_source():
    """Alone for ten seconds it gets all there is; what it is promised still counts from then on."""
    feeds = {"a": Feed(Share(9, min_fps=5.0)), "b": Feed(Share(1), 0.0, start=10.0)}
    run(feeds, 1, 0.02, 20)
    assert sum(time < 10 for time in feeds["a"].taken) == pytest.approx(500, abs=1)
    assert sum(time >= 10 for time in feeds["a"].taken) >= 49


def test_a_source_that_comes_back_is_owed_little():
    """It makes up for two periods, not for the minute in which it had no frame; and that was nobody's fault."""
    feeds = {"a": Feed(Share(5, min_fps=10.0), 0.0, start=60.0), "b": Feed(Share(1))}
    run(feeds, 1, 0.01, 61)
    assert sum(time < 60.05 for time in feeds["a"].taken) <= 3
    assert len(feeds["a"].taken) >= 10


@pytest.mark.parametrize("overload", [1.2, 2.0, 5.0])
def test_minima_beyond_the_device_are_shared_from_below(overload):
    """Low ones are kept, the highest give way, nobody starves."""
    minima = {"a": 1.0, "b": 2.0, "c": 50.0 * overload / 2, "d": 50.0 * overload / 2}
    feeds = {key: Feed(Share(5, minimum)) for key, minimum in minima.items()}
    run(feeds, 1, 0.02, 60)
    assert [len(feeds[key].taken) for key in "ab"] == pytest.approx([60, 120], abs=3)
    assert len(feeds["c"].taken) == pytest.approx(len(feeds["d"].taken), abs=2)


def test_sixteen_sources_of_all_kinds_each_get_what_they_were_promised():
    """One at 100 frames a second, one broken, one slow, a file, priorities 1 to 3, twice as much as the device can do:
    every minimum of a source that delivers is kept, and what is left goes to the most important."""
    feeds = {f"s{number:02}": Feed(Share(1 + number % 3, 4.0), 0.04) for number in range(16)}
    feeds["s00"] = Feed(Share(3, 4.0), 0.01)
    feeds["s05"] = Feed(Share(1, 4.0), 0.04, start=math.inf)
    feeds["s10"] = Feed(Share(1, 4.0), 1.0)
    feeds["s15"] = Feed(Share(3, 4.0))
    assert run(feeds, 4, 0.02, 60) == 0
    rates = {key: len(feed.taken) / 60 for key, feed in feeds.items()}
    slow = {"s05": 0.0, "s10": 1.0}
    for key, rate in rates.items():
        assert rate >= slow.get(key, 4.0) - 0.05, key
    assert sum(rates.values()) == pytest.approx(200, rel=0.01)  # no lane ever waits
    assert rates["s03"] == rates["s06"] == pytest.approx(25, rel=0.02)  # priority 1: all there is
    others = [rates[key] for key, feed in feeds.items() if feed.share.priority > 1 and key not in slow]
    assert max(others) < 25
    low = [rates[key] for key, feed in feeds.items() if feed.share.priority == 3]
    assert max(low) < min(rates[key] for key, feed in feeds.items() if feed.share.priority == 2)
