"""What `mlu-agent bench --sweep` recommends."""

from mlu_agent.commands.bench import Row, recommended


def row(batch: int, lanes: int, slots: int, rate: float, median_ms: float = 10.0) -> Row:
    return Row("net.cambricon", batch, lanes, lanes, slots, rate, median_ms, median_ms)


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
