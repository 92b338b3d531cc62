"""The subscriber, against a real ZeroMQ publisher."""

from __future__ import annotations

import time

import pytest
import zmq

from mlu_client import codec
from mlu_client.errors import UserError
from mlu_client.subscriber import Subscriber, topic_prefixes
from mlu_client.values import End, State


class Publisher:
    """An XPUB socket, so that a test knows when a subscription has arrived."""

    def __init__(self, endpoint: str) -> None:
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.XPUB)
        self.socket.bind(endpoint)
        self.endpoint = self.socket.getsockopt_string(zmq.LAST_ENDPOINT)

    def wait(self, subscriptions: int = 1, subscriber: Subscriber | None = None) -> None:
        """Until so many subscriptions have arrived. A subscriber renews them only while it is listening."""
        end = time.monotonic() + 20
        while subscriptions:
            assert time.monotonic() < end, "no subscription arrived"
            if subscriber is not None:
                assert subscriber.receive(0.01) is None
            if self.socket.poll(10):
                subscriptions -= self.socket.recv()[:1] == b"\1"

    def send(self, kind: str, source: str, sequence: int | None = None, boot: str = "b1", **more: object) -> None:
        message = {"v": "1.0", "kind": kind, "box": "box", "boot_id": boot, "t_publish_ns": 1, "source": source, **more}
        if sequence is not None:
            message["seq"] = sequence
        self.socket.send(codec.encode(codec.topic(kind, source), message))

    def close(self) -> None:
        self.context.destroy(linger=0)


@pytest.fixture
def publisher(tmp_path):
    made = Publisher(f"ipc://{tmp_path}/p.sock")
    yield made
    made.close()


def test_messages_arrive_decoded_and_a_silence_ends_the_iteration(publisher):
    """As maps, in their order."""
    with Subscriber(publisher.endpoint, timeout_s=0.5) as subscriber:
        publisher.wait()
        for sequence in range(3):
            publisher.send("frame", "a", sequence)
        assert [message["seq"] for message in subscriber] == [0, 1, 2]
        assert (subscriber.counters.received, subscriber.counters.lost) == (3, {})


def test_only_what_was_asked_for_arrives(publisher):
    """A source whose name begins like another's stays apart, and heartbeats come without being named as a source."""
    with Subscriber(publisher.endpoint, kinds=["frame", "heartbeat"], sources=["cam1"], timeout_s=0.5) as subscriber:
        publisher.wait(2)
        publisher.send("frame", "cam1", 0)
        publisher.send("frame", "cam10", 0)
        publisher.send("state", "cam1")
        publisher.send("heartbeat", "box", 0)
        assert [(m["kind"], m["source"]) for m in subscriber] == [("frame", "cam1"), ("heartbeat", "box")]


def test_gaps_are_counted_per_source(publisher):
    """By sequence number; where one began to listen does not matter, and a restarted agent begins anew."""
    with Subscriber(publisher.endpoint, timeout_s=0.5) as subscriber:
        publisher.wait()
        for source, sequence, boot in (
            ("a", 7, "b1"),
            ("a", 8, "b1"),
            ("b", 0, "b1"),
            ("a", 12, "b1"),
            ("b", 2, "b1"),
            ("a", 0, "b2"),
            ("a", 1, "b2"),
        ):
            publisher.send("frame", source, sequence, boot)
        assert len(list(subscriber)) == 7
        assert subscriber.counters.lost == {"a": 3, "b": 1}
        assert subscriber.counters.restarts == 1


def test_omitted_empty_frames_are_no_loss(publisher):
    """With empty_frames = false a gap is a loss only as far as the counter of omitted frames does not explain it, also
    when the very message that told of some was lost."""
    with Subscriber(publisher.endpoint, timeout_s=0.5) as subscriber:
        publisher.wait()
        for sequence, omitted in ((0, 0), (5, 4), (9, 6)):  # 6 and 7, or 6 and 8 ..., were empty; one was lost
            publisher.send("frame", "a", sequence, counters={"dropped_empty": omitted})
        assert len(list(subscriber)) == 3
        assert subscriber.counters.lost == {"a": 1}


MIXED = [  # a source whose model was changed: the number, the kind, and what its counters tell at that moment
    (0, "frame", {"published": 0}),
    (1, "frame", {"published": 1}),
    (2, "classes", {"published": 2}),
    (3, "classes", {"published": 3, "published_classes": 1}),
    (4, "tensors", {"published": 4, "published_classes": 2}),
    (5, "frame", {"published": 5, "published_classes": 2, "published_tensors": 1}),
    (6, "classes", {"published": 6, "published_classes": 2, "published_tensors": 1}),
]


@pytest.mark.parametrize(
    "kinds", [None, ["frame"], ["classes"], ["frame", "classes"], ["tensors", "frame"], ["frame", "classes", "tensors"]]
)
def test_a_source_has_one_sequence_whatever_its_model_does(publisher, kinds):
    """Frames of another kind of model are no loss to who did not ask for them, and those asked for are, once."""
    heard = [number for number, kind, _ in MIXED if not kinds or kind in kinds]
    last = (kinds or ["frame"])[0]  # one more comes at the end, so that a gap before it is seen
    counters = {"published": 7, "published_classes": 3, "published_tensors": 1}
    with Subscriber(publisher.endpoint, kinds=kinds, timeout_s=0.5) as subscriber:
        publisher.wait(len(kinds or [1]))
        for missing in (None, *heard[1:]):
            for number, kind, told in MIXED:
                if number != missing:
                    publisher.send(kind, f"without-{missing}", number, counters=told)
            publisher.send(last, f"without-{missing}", 7, counters=counters)
        assert len(list(subscriber)) == len(heard) * (len(heard) + 1) - len(heard[1:])
        assert subscriber.counters.lost == {f"without-{missing}": 1 for missing in heard[1:]}


def test_what_cannot_be_read_is_dropped_and_counted(publisher):
    """And the next message is read."""
    with Subscriber(publisher.endpoint, timeout_s=0.5) as subscriber:
        publisher.wait()
        publisher.socket.send(b"1/frame/a\0\xc1")
        publisher.socket.send_multipart([codec.encode("1/frame/a", {"v": "1.0", "kind": "frame"}), b"more"])
        publisher.socket.send(codec.encode("1/frame", {"v": "1.0", "kind": "frame", "boot_id": "b", "seq": 0}))
        publisher.send("frame", "a", 0)
        assert len(list(subscriber)) == 1
        assert subscriber.counters.damaged == 3
        assert subscriber.counters.damage.startswith("message '1/frame': kind 'frame' is not that of its topic")


def test_a_box_without_a_name_is_still_counted(publisher):
    """Maps are unchecked: its name may be anything, and longer than what is kept."""
    with Subscriber(publisher.endpoint, timeout_s=0.5) as subscriber:
        publisher.wait()
        for sequence, box in ((0, [[7]]), (3, None), (4, "b" * 1_000_000)):
            packed = {"v": "1.0", "kind": "frame", "boot_id": "b", "seq": sequence, "box": box}
            publisher.socket.send(codec.encode("1/frame/a", packed))
        assert len(list(subscriber)) == 3
        assert (subscriber.counters.lost, subscriber.counters.damaged) == ({"a": 2}, 0)


def test_what_cannot_be_a_number_of_a_message_counts_nothing(publisher):
    """Nor does a boot without a name that may be kept."""
    with Subscriber(publisher.endpoint, timeout_s=0.5) as subscriber:
        publisher.wait()
        for sequence in (True, -1, 1.5, "7", None, [1]):
            publisher.send("frame", "a", sequence)
        publisher.send("frame", "a", 1, boot="b" * 65)
        publisher.send("frame", "a", 9, counters={"dropped_empty": -(2**40)})
        publisher.send("frame", "a", 12, counters={"dropped_empty": True})
        assert len(list(subscriber)) == 9
        assert (subscriber.counters.lost, subscriber.counters.restarts) == ({"a": 2}, 0)


def test_the_source_that_is_unheard_for_longest_gives_way(publisher):
    """1024 are followed; those that are heard of keep their place, and what is forgotten is counted."""
    with Subscriber(publisher.endpoint) as messages:
        publisher.wait(subscriber=messages)
        for number in range(1030):
            for source, sequence in (("a", 2 * number), (f"s{number}", 0)):
                publisher.send("frame", source, sequence)
                assert messages.receive(20) is not None
        assert messages.counters.forgotten == 1031 - 1024
        assert messages.counters.lost == {"a": 1029}


def test_a_publisher_that_comes_again_is_no_loss_and_what_it_loses_then_is(publisher):
    """Its numbers begin anew; the gap across its end is not known."""
    with Subscriber(publisher.endpoint, timeout_s=0.5) as subscriber:
        publisher.wait()
        for boot, sequence, omitted in (("b1", 100, 50), ("b2", 0, 0), ("b2", 3, 1), ("b3", 7, 0), ("b3", 8, 0)):
            publisher.send("frame", "a", sequence, boot, counters={"dropped_empty": omitted})
        assert len(list(subscriber)) == 5
        assert (subscriber.counters.lost, subscriber.counters.restarts) == ({"a": 1}, 2)


def test_a_message_of_unreasonable_size_never_gets_in(publisher):
    """ZeroMQ drops the connection for good instead of loading it; the subscriber makes a new one."""
    with Subscriber(publisher.endpoint, timeout_s=0.5) as subscriber:
        publisher.wait()
        publisher.socket.send(b"1/frame/a\0" + bytes(codec.MAX_MESSAGE))
        publisher.wait(1, subscriber)
        publisher.send("frame", "a", 0)
        assert len(list(subscriber)) == 1
        assert subscriber.counters.renewed == 1


def test_a_publisher_may_start_later_and_come_back(tmp_path):
    """The connection is tried again for ever."""
    endpoint = f"ipc://{tmp_path}/later.sock"
    with Subscriber(endpoint) as subscriber:
        for boot in ("b1", "b2"):
            made = Publisher(endpoint)
            try:
                made.wait(1, subscriber)
                made.send("frame", "a", 0, boot)
                message = subscriber.receive(10)
            finally:
                made.close()
            assert message is not None
            assert message["boot_id"] == boot
        assert (subscriber.counters.restarts, subscriber.counters.renewed) == (1, 0)


def test_an_agent_that_was_long_away_is_called_again_within_a_second(tmp_path):
    """ZeroMQ doubles its pause from call to call; up to a second, so that detections are not late by it."""
    with Subscriber(f"ipc://{tmp_path}/away.sock") as subscriber:
        assert 0 < subscriber._socket.getsockopt(zmq.RECONNECT_IVL_MAX) <= 1000


def test_the_users_mistakes_are_told():
    """A kind, a source or an endpoint that cannot be."""
    with pytest.raises(UserError, match=r"kind: 'frames' .* write one of frame, classes, tensors"):
        topic_prefixes(["frames"], None)
    with pytest.raises(UserError, match="source: 'a/b' is no source id"):
        topic_prefixes(["frame"], ["a/b"])
    with pytest.raises(UserError, match="high_water_mark: 0 is none; write 1 or more"):
        Subscriber("ipc:///tmp/x.sock", high_water_mark=0)
    with pytest.raises(UserError, match="is refused by ZeroMQ"):
        Subscriber("nonsense")


def test_closing_twice_is_fine(tmp_path):
    """Close is idempotent."""
    subscriber = Subscriber(f"ipc://{tmp_path}/x.sock")
    subscriber.close()
    subscriber.close()


def test_values_come_in_their_order_and_what_is_none_is_counted_as_damaged(publisher):
    """A map that is no frame is dropped, as bytes that are no message are."""
    with Subscriber(publisher.endpoint, timeout_s=0.5) as subscriber:
        publisher.wait()
        publisher.send("end", "a", reason="the file ended", frames=3, counters={})
        publisher.send("end", "b", reason="the file ended", frames=-3, counters={})
        publisher.send("state", "a", state="live", reason="", since_ns=1, counters={})
        read = list(subscriber.typed())
        assert [(type(value), value.source_id) for value in read] == [(End, "a"), (State, "a")]
        assert subscriber.counters.damaged == 1


def test_no_more_sources_are_told_apart_than_the_bound(publisher):
    """Names come from outside: beyond 1024 sources with losses, what more are missing is counted under no name."""
    sources = [f"s{number}" for number in range(1026)]
    with Subscriber(publisher.endpoint) as messages:
        publisher.wait(subscriber=messages)
        for source in sources:
            for sequence in (0, 2):
                publisher.send("frame", source, sequence)
                assert messages.receive(20) is not None
        assert len(messages.counters.lost) == 1025
        assert messages.counters.lost[""] == 2
