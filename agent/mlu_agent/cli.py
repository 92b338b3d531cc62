"""`mlu-agent`: commands, error sentences, exit codes (0 fine, 2 the user's mistake or bad data, 3 device or runtime
failure)."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.metadata
import os
import sys
from typing import TYPE_CHECKING

from .errors import MluAgentError, RuntimeFailure, UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = {
    "run": "run the daemon",
    "detect": "find objects in pictures and videos",
    "subscribe": "print the messages of a running daemon",
    "inspect": "describe a model file",
    "devices": "list the devices that the runtime sees",
    "check": "check a configuration without running it",
    "simulator": "where the simulator's library and headers are",
}
INTERRUPTED = 130  # 128 + SIGINT, as shells count
BROKEN_PIPE = 141  # 128 + SIGPIPE


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    arguments = _parser(words).parse_args(words)
    try:
        code: int = arguments.run(arguments)
        sys.stdout.flush()
    except MluAgentError as error:
        print(f"mlu-agent: {error.message}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        # what no command has foreseen, such as a full disk or a missing permission, is still no bug of ours
        if isinstance(error, BrokenPipeError):
            _drop_output()
            return BROKEN_PIPE
        place = f"{error.filename}: " if error.filename is not None else ""
        print(f"mlu-agent: {place}{error.strerror or error}", file=sys.stderr)
        if not place:  # it may be the output that cannot be written
            _drop_output()
        return UserError.exit_code if place else RuntimeFailure.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    return code


def _drop_output() -> None:
    # the interpreter flushes once more at its end, and its failure would replace our exit code
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mlu-agent", description="Object detection on Cambricon MLU edge boxes.")
    parser.add_argument("--version", action="version", version=f"mlu-agent {_version()}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    named = next((word for word in words if not word.startswith("-")), "")
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        if name == named:  # only the one that runs is imported: `subscribe` must not load OpenCV
            module = importlib.import_module(f".commands.{name}", __package__)
            module.declare(command)
            command.set_defaults(run=module.run)
    return parser


def _version() -> str:
    try:
        return importlib.metadata.version("mlu-agent")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


if __name__ == "__main__":
    sys.exit(main())
