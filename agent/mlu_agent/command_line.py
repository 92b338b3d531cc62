"""The frame of a command line, the agent's and the export tool's: commands, error sentences, exit codes.

0 fine, 2 the user's mistake or bad data, 3 device or runtime failure, 130 interrupted, 141 nobody reads the output.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlu_client.text import printable

from .errors import MluAgentError, RuntimeFailure, UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

INTERRUPTED = 130  # 128 + SIGINT, as shells count
BROKEN_PIPE = 141  # 128 + SIGPIPE


@dataclass(frozen=True)
class Program:
    """A program with commands.

    ``commands``     name -> what it does, in a few words.
    ``package``      where their modules are: each declares its arguments with ``declare`` and works with ``run``.
    ``interrupted``  what Ctrl-C leaves, said where it is not plain.
    ``memory``       what the memory was not enough for.
    """

    name: str
    description: str
    version: str
    commands: Mapping[str, str]
    package: str
    interrupted: str = ""
    memory: str = ""


def run(program: Program, argv: Sequence[str] | None = None) -> int:
    """Runs one command of ``argv`` (None: the process's own); returns its exit code. A user's mistake is one sentence
    on stderr, never a traceback."""
    _stand_in_for_closed_outputs()
    try:
        code = _work(program, list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
    except MluAgentError as error:
        return _end(program, error.message, error.exit_code)
    except BrokenPipeError:  # who read our output wants no more of it
        _drop_output()
        return BROKEN_PIPE
    except OSError as error:
        return _foreign(program, error)
    except MemoryError:
        return _end(program, f"not enough memory {program.memory}".strip(), RuntimeFailure.exit_code)
    except KeyboardInterrupt:
        return _end(program, program.interrupted, INTERRUPTED)
    return code


def _stand_in_for_closed_outputs() -> None:
    """Whoever closed an output (``>&-``) wants nothing of it. Nor may the next file to be opened take its descriptor:
    what a library prints would go into it."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - it stays open


def _work(program: Program, words: Sequence[str]) -> int:
    try:
        arguments = parser(program, words).parse_args(words)
    except SystemExit:  # of --help and --version: an output that cannot be written is noticed here, not by Python's end
        sys.stdout.flush()
        raise
    return int(arguments.run(arguments))


def _end(program: Program, sentence: str, code: int) -> int:
    if sentence:
        # it may repeat names and words from outside, and has several lines where a file has several problems
        shown = printable(sentence, keep="\n")
        print(f"{program.name}: {shown}", file=sys.stderr)
    return code


def _foreign(program: Program, error: OSError) -> int:
    """What no command has foreseen, such as a full disk or a missing permission, is still no bug of ours."""
    place = f"{error.filename}: " if error.filename is not None else ""
    code = _end(
        program, f"{place}{error.strerror or error}", UserError.exit_code if place else RuntimeFailure.exit_code
    )
    if not place:  # it may be the output that cannot be written
        _drop_output()
    return code


def _drop_output() -> None:
    # the interpreter flushes once more at its end, and its failure would replace our exit code
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def parser(program: Program, words: Sequence[str]) -> argparse.ArgumentParser:
    """The program's parser, with the arguments of the one command that ``words`` name."""
    made = argparse.ArgumentParser(prog=program.name, description=program.description)
    made.add_argument("--version", action="version", version=f"{program.name} {program.version}")
    commands = made.add_subparsers(metavar="COMMAND", required=True)
    named = next((word for word in words if not word.startswith("-")), "")
    for name, summary in program.commands.items():
        command = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        if name == named:  # only the one that runs is imported: `subscribe` must not load OpenCV
            module = importlib.import_module(f"{program.package}.{name}")
            module.declare(command)
            command.set_defaults(run=module.run)
    return made
