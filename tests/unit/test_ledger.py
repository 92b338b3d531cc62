"""The ledger: counters that add up, latencies in fixed buckets, one snapshot of all."""

from __future__ import annotations

import threading

import pytest

from mlu_agent.latency import BUCKETS_MS, Histogram, Latency
from mlu_agent.ledger import DEVICE, Ledger, SourceAccount


def balance(counters: dict[str, int]) -> int:
    return counters["published"] + counters["failed"] + counters["dropped"] + counters["in_flight"]


def test_the_counters_of_a_source_add_up_whoever_counts_meanwhile():
    """In every snapshot of another thread, read is published, dropped, failed and in flight, none of them negative."""
    account, done = SourceAccount(), threading.Event()

    def work() -> None:
        for number in range(3000):
            account.count_read()
            if number % 3 == 0:
                account.count_published({"device": 1.0})
            elif number % 3 == 1:
                account.count_dropped("dropped_newer_frame")
            else:
                account.count_failed("preprocess")
        done.set()

    thread = threading.Thread(target=work)
    thread.start()
    while not done.is_set():
        counters = account.counters()
        assert counters["frames_read"] == balance(counters)
        assert counters["in_flight"] in (0, 1)
    thread.join()
    assert account.counters()["published"] == account.counters()["dropped_newer_frame"] == 1000
    assert account.failed() == {"preprocess": 1000}


def test_a_device_that_fails_everything_makes_no_progress():
    """Any other end of a frame is progress: published, left out as empty, failed by itself."""
    ledger = Ledger()
    account = ledger.source("a")
    for _ in range(5):
        account.count_failed(DEVICE)
    account.count_dropped("dropped_newer_frame", 7)
    assert account.progress == 0
    account.count_failed("preprocess")
    account.count_empty()
    account.count_published({})
    assert account.progress == 3
    assert account.counters()["dropped_empty"] == 1


@pytest.mark.parametrize("number, bound", list(enumerate(BUCKETS_MS)))
def test_a_bucket_holds_what_is_at_most_its_bound(number: int, bound: float):
    """The bound itself is in, what is greater in the next; the last bucket has no bound."""
    histogram = Histogram()
    histogram.add(bound)
    histogram.add(bound * 1.001)
    assert [index for index, count in enumerate(histogram.snapshot().buckets) if count] == [number, number + 1]


def test_latencies_of_several_sources_add_to_those_of_all():
    """Count, sum and buckets are added, of the greatest the greater; people read count, mean and maximum."""
    ledger = Ledger()
    ledger.source("a").count_published({"wait": 1.0, "device": 10.0})
    ledger.source("a").count_published({"wait": 3.0, "device": 11.0})
    ledger.source("b").count_published({"wait": 20000.0})
    latencies = ledger.snapshot().latencies
    assert list(latencies) == ["wait", "device"]
    assert (latencies["wait"].count, latencies["wait"].total_ms, latencies["wait"].max_ms) == (3, 20004.0, 20000.0)
    assert latencies["wait"].buckets[0] == latencies["wait"].buckets[-1] == 1
    assert latencies["device"].summary() == {"count": 2, "mean_ms": 10.5, "max_ms": 11.0}
    assert Latency().summary() == {"count": 0, "mean_ms": 0.0, "max_ms": 0.0}


def test_the_snapshot_tells_of_every_account_and_does_not_change():
    """Sources, models and sinks by name; steps of a recovery only once they were taken; an account goes on if its
    owner comes again."""
    ledger = Ledger()
    ledger.source("a").count_read()
    ledger.source("b").count_read()
    ledger.model("yolo").count("retry")
    ledger.sink("zeromq").count_sent(100)
    ledger.sink("zeromq").count_lost()
    snapshot = ledger.snapshot()
    ledger.source("a").count_read()
    assert snapshot.sources["a"]["frames_read"] == 1
    assert snapshot.device == {"device_retry": 1}
    assert (snapshot.totals["device_retry"], snapshot.totals["frames_read"]) == (1, 2)
    assert snapshot.sinks == {"zeromq": {"messages": 1, "bytes": 100, "lost": 1, "cut_off": 0}}
    assert ledger.snapshot().sources["a"]["frames_read"] == 2
    assert Ledger().snapshot().device == {}


def test_accounts_of_what_is_gone_are_bounded_and_no_sum_falls():
    """The last 64 closed ones stay and go on if they come again; older ones are added up."""
    ledger = Ledger()
    for number in range(100):
        account = ledger.source(f"s{number}")
        account.count_read(2)
        account.count_published({"device": 3.0})
        account.count_dropped("dropped_stale")
        assert account.number() == 0
        ledger.close_source(f"s{number}")
        ledger.model(f"m{number}").count("retry")
        ledger.keep_models(())
    snapshot = ledger.snapshot()
    assert list(snapshot.sources) == [f"s{number}" for number in range(36, 100)]
    assert list(snapshot.models) == [f"m{number}" for number in range(36, 100)]
    assert (snapshot.totals["frames_read"], snapshot.totals["published"], balance(snapshot.totals)) == (200, 100, 200)
    assert snapshot.totals["device_retry"] == 100
    assert snapshot.latencies["device"].count == 100
    ledger.keep_models(())
    assert list(ledger.snapshot().models)[-1] == "m99"
    assert ledger.source("s99").number() == 1
    assert ledger.source("s0").number() == 0
