"""What `mlu-agent bench` measures, and what its sweep recommends."""

import collections
import statistics
from types import SimpleNamespace

import pytest

from mlu_agent.commands import bench
from mlu_agent.commands.bench import Row, keep_busy, recommendations, recommended
from mlu_agent.errors import RuntimeFailure


def row(batch: int, lanes: int, slots: int, rate: float, median_ms: float = 10.0, path: str = "net.cambricon") -> Row:
    return Row(path, path, batch, lanes, lanes, slots, rate, median_ms, median_ms)


class Lanes:
    """An engine in a time of its own: each lane works off its invocations one by one, and they are collected in the
    order of their submission, so that those behind a slow one come in a burst."""

    def __init__(self, seconds, slots):
        self.seconds = seconds
        self.slots = slots * len(seconds)
        self.now = 0.0
        self.ends = [0.0] * len(seconds)
        self.free = [SimpleNamespace(inputs=(), lane=index % len(seconds), end=0.0) for index in range(self.slots)]
        self.running = collections.deque()

    def acquire(self):
        return self.free.pop(0)

    def submit(self, slot):
        self.ends[slot.lane] = slot.end = max(self.now, self.ends[slot.lane]) + self.seconds[slot.lane]
        self.running.append(slot)

    def collect(self):
        slot = self.running.popleft()
        self.now = max(self.now, slot.end)
        return slot

    def release(self, slot):
        self.free.append(slot)


@pytest.mark.parametrize("seconds", [0.001, 0.7, 30.0])
@pytest.mark.parametrize("slots", [1, 2, 3])
@pytest.mark.parametrize("lanes", [(1.0,), (1.0, 1.0, 1.0, 1.0), (1.0, 0.1, 0.1), (0.1, 0.1, 1.0), (0.1, 1.0, 0.1)])
def test_bursts_of_collected_invocations_do_not_change_the_rate(lanes, slots, seconds, monkeypatch):
    """In order, each lane gives one invocation in the time of the slowest; rate by time is what is in flight."""
    engine = Lanes(lanes, slots)
    monkeypatch.setattr(bench.time, "perf_counter", lambda: engine.now)
    rate, latencies = keep_busy(engine, seconds)
    assert rate == pytest.approx(len(lanes) / max(lanes), rel=0.03)
    assert rate * statistics.median(latencies) == pytest.approx(engine.slots, rel=0.03)
    assert len(latencies) >= 3 * engine.slots
    assert len(latencies) % engine.slots == 0
    assert len(engine.free) == engine.slots


def test_each_network_has_its_own_recommendation():
    """Batches of one network compete, different networks do not: a smaller one is faster and finds less."""
    rows = [row(1, 1, 1, 50.0, path="a1"), row(8, 1, 1, 90.0, path="a8"), row(1, 1, 1, 300.0, path="b")]
    assert recommendations(rows, {"a1": "a", "a8": "a", "b": "b"}) == [rows[1], rows[2]]


def test_of_ways_that_are_as_fast_the_one_with_the_fewest_pictures_inside_is_recommended():
    """A picture more inside makes all wait longer, and 3 % of a rate are noise."""
    fast = row(1, 2, 1, 98.0)
    assert recommended([row(1, 1, 1, 50.0), fast, row(1, 2, 2, 99.0), row(1, 4, 3, 100.0)]) is fast


def test_a_batch_counts_as_pictures_inside_and_is_recommended_where_nothing_else_is_as_fast():
    """Batches are files of their own: the sweep compares them by pictures, not by invocations."""
    batched = row(4, 1, 1, 100.0)
    assert recommended([row(1, 1, 3, 90.0), batched]) is batched
    single = row(1, 1, 3, 97.5)
    assert recommended([single, batched]) is single


def test_of_equal_ways_the_fewer_cores_and_then_the_shorter_wait_decide():
    """Cores that are not needed are left to others."""
    short = row(1, 1, 2, 100.0, median_ms=9.0)
    assert recommended([row(1, 2, 1, 100.0, median_ms=8.0), row(1, 1, 2, 100.0), short]) is short


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), RuntimeFailure("the device is gone")])
def test_what_was_measured_before_an_end_is_told(failure, monkeypatch, capsys):
    """A sweep takes minutes; the exit code is still that of the interruption or failure."""
    library = SimpleNamespace(kind="device", kernels=(), notes="")
    monkeypatch.setattr(bench, "open_library", lambda _: library)
    monkeypatch.setattr(bench, "_network", lambda *_: None)
    monkeypatch.setattr(bench, "_ways", lambda *_: [(1, 1), (1, 2)])
    measured = iter([row(1, 1, 1, 47.0)])

    def measure(*_):
        for one in measured:
            return one
        raise failure

    monkeypatch.setattr(bench, "_measured", measure)
    arguments = SimpleNamespace(seconds=1.0, runtime="auto", models=["net.cambricon"], sweep=True, json=False)
    with pytest.raises(type(failure)):
        bench.run(arguments)
    said = capsys.readouterr()
    assert "47.0" in said.out
    assert "recommended" not in said.out
    assert "47.0 pictures/s" in said.err
