"""``mlu-agent subscribe``: the messages of a running daemon, one line each."""

from __future__ import annotations

import math
import sys
import time
from typing import TYPE_CHECKING, Any

from mlu_client.codec import KINDS
from mlu_client.reading import read_message
from mlu_client.text import printable, printable_json
from mlu_client.values import Classes, End, Frame, Heartbeat, State, Tensors

from ..client import Subscriber
from ..config import endpoint_problem
from ..errors import DataError, RuntimeFailure, UserError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from mlu_client.values import Message, Tensor

    from ..client import Counters

HEARTBEAT = "heartbeat"
FIRST_S = 5.0  # until it is said that nothing came
MISSED = 3  # heartbeats
LONGEST_INTERVAL_S = 3600.0  # that a configuration may ask for


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument(
        "endpoint", metavar="ENDPOINT", help="for example tcp://127.0.0.1:5557 or ipc:///run/mlu-agent/detections.sock"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object per message")
    parser.add_argument("--count", type=int, metavar="N", help="end after N messages")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="end when nothing arrived for so long")
    parser.add_argument("--kind", action="append", choices=KINDS, help="only messages of this kind; may be repeated")
    only = "only messages of this source, and no heartbeats, unless --kind asks for them; may be repeated"
    parser.add_argument("--source", action="append", metavar="ID", help=only)


def run(arguments: argparse.Namespace) -> int:
    """Prints messages until the count, the timeout or Ctrl-C. 3 if the timeout came before the count or anything."""
    if arguments.count is not None and arguments.count < 1:
        raise UserError(f"--count {arguments.count}: give 1 or more")
    if arguments.timeout is not None and not arguments.timeout > 0:
        raise UserError(f"--timeout {arguments.timeout:g}: give more than 0 seconds")
    problem = endpoint_problem(arguments.endpoint, insecure=True)
    if problem:
        raise UserError(f"ENDPOINT: {problem}")
    received = 0
    kinds = [*arguments.kind, HEARTBEAT] if arguments.kind else None  # heartbeats always: they tell silence from calm
    with Subscriber(arguments.endpoint, kinds=kinds, sources=arguments.source) as subscriber:
        try:
            for line in _lines(subscriber, arguments):
                print(line, flush=True)
                received += 1
                if received == arguments.count:
                    break
        finally:
            _tell(subscriber.counters)
    if received < (arguments.count or 1):
        wanted = f"{arguments.count} messages" if arguments.count else "any message"
        raise RuntimeFailure(
            f"{arguments.endpoint}: {received} messages came, then nothing for {arguments.timeout:g} s, "
            f"instead of {wanted}: "
            "check that the agent runs and publishes there"
        )
    return 0


class _Pulse:
    """Whether anybody publishes there; what changes of that is said on stderr. ``due``: when to look again."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._wait_s = FIRST_S
        self._heard: float | None = None
        self.due = time.monotonic() + FIRST_S

    def beat(self, message: dict[str, Any]) -> None:
        """Something came; a heartbeat tells how soon the next one does."""
        if self.due == math.inf and self._heard is not None:
            _say(f"{self._endpoint}: heard again")
        interval = message.get("interval_s")
        if (
            message.get("kind") == HEARTBEAT
            and isinstance(interval, (int, float))
            and 0 < interval <= LONGEST_INTERVAL_S
        ):
            self._wait_s = MISSED * interval
        self._heard = time.monotonic()
        self.due = self._heard + self._wait_s

    def look(self) -> None:
        """Nothing came just now."""
        if time.monotonic() < self.due:
            return
        self.due = math.inf
        if self._heard is None:
            look = "is the daemon running (mlu-agent status), and is this its publish.endpoint?"
            _say(f"nothing heard yet from {self._endpoint}; {look}")
        else:
            _say(f"{self._endpoint}: nothing for {self._wait_s:g} s, not even a heartbeat; is the daemon running?")


def _messages(subscriber: Subscriber, arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Those that were asked for, until none of them came for so long as was asked. Heartbeats are the box's."""
    hidden = HEARTBEAT not in arguments.kind if arguments.kind else bool(arguments.source)
    patience = math.inf if arguments.timeout is None else arguments.timeout
    pulse = _Pulse(arguments.endpoint)
    end = time.monotonic() + patience
    while True:
        message = subscriber.receive(max(0.0, min(end, pulse.due) - time.monotonic()))
        if message is None:
            pulse.look()
        else:
            pulse.beat(message)
            if not (hidden and message.get("kind") == HEARTBEAT):
                yield message
                end = time.monotonic() + patience
                continue
        if time.monotonic() >= end:
            return


def _lines(subscriber: Subscriber, arguments: argparse.Namespace) -> Iterator[str]:
    """A line for each message that is what its kind must be; the others are counted."""
    for message in _messages(subscriber, arguments):
        try:
            value = read_message(message)
        except DataError as failure:
            subscriber.counters.count_damaged(failure.message)
            continue
        yield printable_json(message) if arguments.json else line(value)


def _say(sentence: str) -> None:
    print(f"mlu-agent: {printable(sentence)}", file=sys.stderr, flush=True)


def _tell(counters: Counters) -> None:
    told = [f"{lost} messages of {source} were lost on the way" for source, lost in counters.lost.items()]
    if counters.damaged:
        told.append(f"{counters.damaged} messages could not be read and were dropped, the last one: {counters.damage}")
    for sentence in told:
        _say(sentence)


def _tensor(tensor: Tensor) -> str:
    shape = "x".join(map(str, tensor.shape))
    return f"{tensor.name} {shape} {tensor.dtype}" + (" (too large: without data)" if tensor.data is None else "")


def line(message: Message) -> str:
    """A message in words, fit for a terminal."""
    if isinstance(message, Frame):
        found = ", ".join(f"{one.label} {one.confidence:.2f}" for one in message.detections) or "nothing"
        words = f"{message.source_id} {message.sequence}: {found}"
    elif isinstance(message, Classes):
        found = ", ".join(f"{one.label} {one.confidence:.2f}" for one in message.classes) or "nothing"
        words = f"{message.source_id} {message.sequence}: {found}"
    elif isinstance(message, Tensors):
        found = ", ".join(_tensor(one) for one in message.tensors)
        words = f"{message.source_id} {message.sequence}: {found}"
    elif isinstance(message, State):
        words = f"{message.source_id}: {message.state} ({message.reason})"
    elif isinstance(message, Heartbeat):
        states = ", ".join(f"{name} {state}" for name, state in message.sources.items())
        words = f"{message.box} {message.sequence}: {states}"
    elif isinstance(message, End):
        words = f"{message.source_id}: {message.reason}"
    else:
        words = message.box
    return printable(f"{message.kind:<10} {words}")
