"""The hand-off between sources and engine: bounded, newest first for live sources, lossless for files, fair."""

from __future__ import annotations

import math
import threading
import time

from mlu_agent.sources.mailbox import FILE_CAPACITY, Exchange
from mlu_agent.sources.minima import Traffic
from mlu_agent.sources.schedule import Share


def test_a_live_mailbox_keeps_the_newest_item_and_tells_what_gave_way():
    """Of three frames put before one is taken, the last survives and two are counted as replaced."""
    exchange: Exchange[int] = Exchange()
    box = exchange.mailbox("cam", live=True)
    outcomes = [box.put(number, threading.Event()) for number in range(3)]
    assert sum(outcome.replaced for outcome in outcomes) == 2
    assert exchange.take(0) == ("cam", 2)
    assert exchange.take(0) is None


def test_a_files_mailbox_makes_the_reader_wait_instead_of_dropping():
    """A full box blocks the put until an item is taken; everything arrives in order."""
    exchange: Exchange[int] = Exchange()
    box = exchange.mailbox("cam", live=False)
    stop = threading.Event()
    accepted = []

    def fill() -> None:
        accepted.extend(box.put(number, stop).accepted for number in range(50))

    thread = threading.Thread(target=fill)
    thread.start()
    taken = [exchange.take(10) for _ in range(50)]
    thread.join(10)
    assert taken == [("cam", number) for number in range(50)]
    assert accepted == [True] * 50


def test_no_more_than_the_capacity_waits():
    """The box of a file is bounded."""
    exchange: Exchange[int] = Exchange()
    box = exchange.mailbox("cam", live=False)
    stop = threading.Event()
    thread = threading.Thread(target=lambda: [box.put(number, stop) for number in range(FILE_CAPACITY + 3)])
    thread.start()
    for _ in range(FILE_CAPACITY + 3):
        assert len(box) <= FILE_CAPACITY
        assert exchange.take(10) is not None
    thread.join(10)


def test_take_goes_round_the_sources_with_frames_ready():
    """Two full boxes are served in turn, whichever was filled first."""
    exchange: Exchange[str] = Exchange()
    boxes = [exchange.mailbox(key, live=False) for key in ("a", "b")]
    for _ in range(FILE_CAPACITY):
        boxes[0].put("a", threading.Event())
    for _ in range(FILE_CAPACITY):
        boxes[1].put("b", threading.Event())
    order = [item[1] for item in (exchange.take(0) for _ in range(2 * FILE_CAPACITY)) if item]
    assert order == ["a", "b"] * FILE_CAPACITY


def test_clearing_shuts_the_box_and_frees_a_waiting_reader():
    """What is left is counted, a put that waits for room is refused, and so is every later one."""
    exchange: Exchange[int] = Exchange()
    box = exchange.mailbox("cam", live=False)
    stop = threading.Event()
    outcomes = []
    thread = threading.Thread(
        target=lambda: outcomes.extend(box.put(n, stop).accepted for n in range(FILE_CAPACITY + 1))
    )
    thread.start()
    while len(box) < FILE_CAPACITY:
        threading.Event().wait(0.001)
    assert box.clear() == FILE_CAPACITY
    thread.join(10)
    assert outcomes == [True] * FILE_CAPACITY + [False]
    assert not box.put(9, stop).accepted


def test_closing_the_exchange_wakes_a_waiting_take():
    """The thread that feeds the engine can always be ended."""
    exchange: Exchange[int] = Exchange()
    exchange.mailbox("cam", live=True)
    results = []
    thread = threading.Thread(target=lambda: results.append(exchange.take(None)))
    thread.start()
    exchange.close()
    thread.join(10)
    assert results == [None]


def test_live_items_stay_replaceable_until_they_may_be_taken():
    """Until ``live_from`` nobody gets its turn, not even a file that has one ready; then it is the newest by now."""
    exchange: Exchange[int] = Exchange()
    live, file = exchange.mailbox("cam", live=True), exchange.mailbox("file", live=False)
    file.put(7, threading.Event())
    assert exchange.take(0, lambda: math.inf) == ("file", 7)
    live.put(1, threading.Event())
    file.put(8, threading.Event())
    assert exchange.take(0, lambda: math.inf) is None
    assert live.put(2, threading.Event()).replaced == 1
    assert exchange.take(0, lambda: time.monotonic() - 1) == ("cam", 2)


def test_a_waiting_take_asks_again_when_told_to():
    """A lane that is free sooner than was expected gets its live frame at once, not when it was expected."""
    exchange: Exchange[int] = Exchange()
    live_from, asked = [math.inf], threading.Event()
    exchange.mailbox("cam", live=True).put(1, threading.Event())

    def ask() -> float:
        asked.set()
        return live_from[0]

    taken: list[object] = []
    thread = threading.Thread(target=lambda: taken.append(exchange.take(60, ask)))
    thread.start()
    assert asked.wait(10)
    live_from[0] = 0.0
    exchange.look_again()
    thread.join(10)
    assert taken == [("cam", 1)]


def test_a_live_item_is_taken_when_its_time_comes():
    """Nobody has to say that the time has come."""
    exchange: Exchange[int] = Exchange()
    exchange.mailbox("cam", live=True).put(1, threading.Event())
    begin = time.monotonic()
    assert exchange.take(60, lambda: begin + 0.05) == ("cam", 1)
    assert time.monotonic() >= begin + 0.05


def test_a_file_leaves_lanes_to_live_sources_and_they_to_it():
    """A file has a frame whenever it is asked, a live one not before a lane is about to be free: they take turns."""
    exchange: Exchange[str] = Exchange()
    live, file = exchange.mailbox("cam", live=True), exchange.mailbox("file", live=False)
    order = []
    for _ in range(6):
        live.put("cam", threading.Event())
        while len(file) < FILE_CAPACITY:
            file.put("file", threading.Event())
        soon = time.monotonic() + 0.005
        taken = exchange.take(10, lambda at=soon: at)
        assert taken is not None
        order.append(taken[0])
    assert order == ["cam", "file"] * 3


def test_shares_decide_who_is_taken():
    """The most important first; a minimum is owed before that."""
    exchange: Exchange[int] = Exchange()
    boxes = [
        exchange.mailbox("usual", live=True),
        exchange.mailbox("important", live=True, share=Share(1)),
        exchange.mailbox("promised", live=True, share=Share(9, min_fps=1.0)),
    ]
    for box in boxes:
        box.put(0, threading.Event())
    taken = [exchange.take(0) for _ in range(3)]
    assert [one and one[0] for one in taken] == ["promised", "important", "usual"]


def test_a_share_may_change_while_frames_wait():
    """What was the least important is the most important from then on."""
    exchange: Exchange[int] = Exchange()
    first, second = exchange.mailbox("a", live=True, share=Share(1)), exchange.mailbox("b", live=True)
    for box in (first, second):
        box.put(0, threading.Event())
    first.reshare(Share(9))
    assert exchange.take(0) == ("b", 0)


def test_what_went_through_each_box_is_counted():
    """What came, replaced ones included, and what was taken, beside what is promised: who compares them notices."""
    exchange: Exchange[int] = Exchange()
    box = exchange.mailbox("cam", live=True, share=Share(min_fps=10.0))
    for number in range(3):
        box.put(number, threading.Event())
    exchange.take(0)
    file = exchange.mailbox("file", live=False)
    file.put(0, threading.Event())
    assert exchange.traffic() == {"cam": Traffic(10.0, 3, 1, 1, False), "file": Traffic(0.0, 1, 0, 0, True)}
    exchange.take(0)
    assert exchange.traffic()["file"] == Traffic(0.0, 1, 1, 1, False)
