"""``mlu-agent``: its commands. What a command line does with errors and exit codes: ``command_line``."""

from __future__ import annotations

import importlib.metadata
import sys
from typing import TYPE_CHECKING

from . import command_line

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


def _version() -> str:
    try:
        return importlib.metadata.version("mlu-agent")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


PROGRAM = command_line.Program(
    "mlu-agent",
    "Object detection on Cambricon MLU edge boxes.",
    _version(),
    COMMANDS,
    "mlu_agent.commands",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code."""
    return command_line.run(PROGRAM, argv)


if __name__ == "__main__":
    sys.exit(main())
