"""``mlu-agent``: its commands. What a command line does with errors and exit codes: ``command_line``."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from . import entry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .command_line import Program

COMMANDS = {
    "run": "run the daemon",
    "ctl": "change a running daemon, and ask it",
    "status": "how a running daemon is, for people or programs",
    "detect": "find objects in pictures and videos",
    "infer": "classes of pictures and videos, or a network's plain outputs",
    "subscribe": "print the messages of a running daemon",
    "adopt": "write the manifest of a model of the vendor's compiler",
    "inspect": "describe a model file",
    "verify": "whether a bundle is whole, who signed it, and what it is for",
    "bench": "how fast a model is on this box, and how to run it",
    "devices": "list the devices that the runtime sees",
    "check": "check a configuration without running it",
    "doctor": "what is wrong with this box, and what to do",
    "simulator": "where the simulator's library and headers are, and a tree of them for building programs",
    "service": "make this installation a service of systemd, and take that back",
}
DAEMON_PATIENCE_S = 1.0  # with whoever takes its last sentence


def program() -> Program:
    """The program, for ``command_line.run``."""
    from .command_line import Program  # noqa: PLC0415 - signals first: it takes a while

    return Program(
        "mlu-agent", "Object detection on Cambricon MLU edge boxes.", _version, COMMANDS, "mlu_agent.commands"
    )


def _version() -> str:
    from .version import version  # noqa: PLC0415 - as above

    return version()


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code. Without ``argv`` it is the process's own: then signals are taken over
    before anything is imported, and the process ends with the daemon."""
    if argv is None:
        entry.take_over()
        if sys.argv[1:2] == ["run"]:
            _run_daemon()
    from . import command_line  # noqa: PLC0415 - as above

    return command_line.run(program(), argv)


def _run_daemon() -> None:
    """Never returns: the interpreter's own end would wait for threads that hang in a library, or crash around them."""
    from .daemon import signals  # noqa: PLC0415 - as above

    signals.take_over()
    import dataclasses  # noqa: PLC0415 - as above

    from . import command_line  # noqa: PLC0415 - as above

    try:
        code = command_line.run(dataclasses.replace(program(), patience_s=DAEMON_PATIENCE_S))
    except Exception:  # a bug
        sys.excepthook(*sys.exc_info())
        code = 1
    os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
