"""``mlu-agent subscribe``: the messages of a running daemon, one line each."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from mlu_client.codec import KINDS
from mlu_client.text import printable_json

from ..client import Subscriber
from ..config import endpoint_problem
from ..errors import RuntimeFailure, UserError

if TYPE_CHECKING:
    import argparse


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
        for message in subscriber:
            print(printable_json(message) if arguments.json else _line(message), flush=True)
            received += 1
            if received == arguments.count:
                break
        counters = subscriber.counters
        if counters.damaged:
            print(f"mlu-agent: {counters.damaged} messages could not be read and were dropped", file=sys.stderr)
        for source, lost in counters.lost.items():
            print(f"mlu-agent: {lost} messages of {source} were lost on the way", file=sys.stderr)
    if received < (arguments.count or 1):
        wanted = f"{arguments.count} messages" if arguments.count else "any message"
        raise RuntimeFailure(
            f"{arguments.endpoint}: {received} messages came, then nothing for {arguments.timeout:g} s, "
            f"instead of {wanted}: "
            "check that the agent runs and publishes there"
        )
    return 0


def _line(message: dict[str, Any]) -> str:
    """A message in words; whatever is missing in a later version is left out."""
    kind = message.get("kind")
    source = message.get("source", message.get("box", ""))
    if kind == "frame":
        found = message.get("detections", [])
        names = ", ".join(f"{one.get('label', '?')} {one.get('confidence', 0):.2f}" for one in found)
        return f"frame      {source} {message.get('seq')}: {names or 'nothing'}"
    if kind == "state":
        return f"state      {source}: {message.get('state')} ({message.get('reason')})"
    if kind == "heartbeat":
        states = ", ".join(f"{name} {state}" for name, state in message.get("sources", {}).items())
        return f"heartbeat  {source} {message.get('seq')}: {states}"
    return f"{kind:<10} {source}: {message.get('reason', '')}"
