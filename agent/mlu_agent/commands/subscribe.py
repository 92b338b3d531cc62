"""``mlu-agent subscribe``: the messages of a running daemon, one line each."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

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


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument(
        "endpoint", metavar="ENDPOINT", help="for example tcp://127.0.0.1:5557 or ipc:///run/mlu-agent/detections.sock"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object per message")
    parser.add_argument("--count", type=int, metavar="N", help="end after N messages")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="end when nothing arrived for so long")
    parser.add_argument("--kind", action="append", choices=KINDS, help="only messages of this kind; may be repeated")
    parser.add_argument("--source", action="append", metavar="ID", help="only messages of this source; may be repeated")


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
    with Subscriber(
        arguments.endpoint, kinds=arguments.kind, sources=arguments.source, timeout_s=arguments.timeout
    ) as subscriber:
        try:
            for line in _lines(subscriber, as_json=arguments.json):
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


def _lines(subscriber: Subscriber, *, as_json: bool) -> Iterator[str]:
    """A line for each message that is what its kind must be; the others are counted."""
    for message in subscriber:
        try:
            value = read_message(message)
        except DataError as failure:
            subscriber.counters.count_damaged(failure.message)
            continue
        yield printable_json(message) if as_json else line(value)


def _tell(counters: Counters) -> None:
    told = [f"{lost} messages of {source} were lost on the way" for source, lost in counters.lost.items()]
    if counters.damaged:
        told.append(f"{counters.damaged} messages could not be read and were dropped, the last one: {counters.damage}")
    for sentence in told:
        print(f"mlu-agent: {printable(sentence)}", file=sys.stderr)


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
