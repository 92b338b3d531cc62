"""The frame of a command line, the agent's and the export tool's: commands, error sentences, exit codes.

0 fine, 2 the user's mistake, bad data or an output that takes nothing (a full disk),
3 device or runtime failure, 130 interrupted, 141 nobody reads the output.
"""

from __future__ import annotations

import argparse
import codecs
import contextlib
import errno
import importlib
import os
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, NoReturn, TextIO

from mlu_client.text import printable

from . import entry
from .errors import MluAgentError, RuntimeFailure, UserError
from .journal import is_journal, weighed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BROKEN_PIPE = 141  # 128 + SIGPIPE
ESCAPED = "mlu_agent.escaped"  # how an output writes what its encoding lacks


@dataclass(frozen=True)
class Program:
    """A program with commands.

    ``version``      says it: some have to look it up.
    ``commands``     name -> what it does, in a few words.
    ``package``      where their modules are: each declares its arguments with ``declare`` and works with ``run``.
    ``interrupted``  what Ctrl-C leaves, said where it is not plain.
    ``memory``       what the memory was not enough for.
    ``patience_s``   the longest that the last sentence may take to be written, 0: for ever.
    """

    name: str
    description: str
    version: Callable[[], str]
    commands: Mapping[str, str]
    package: str
    interrupted: str = ""
    memory: str = ""
    patience_s: float = 0.0


def run(program: Program, argv: Sequence[str] | None = None) -> int:
    """Runs one command of ``argv`` (None: the process's own); returns its exit code. A user's mistake is one sentence
    on stderr, never a traceback."""
    try:
        return _run(program, list(sys.argv[1:] if argv is None else argv))
    except KeyboardInterrupt:  # also one that comes while another failure is told
        entry.end_at_interrupts()
        return _end(program, program.interrupted, entry.INTERRUPTED)
    finally:
        entry.end_at_interrupts()


def _run(program: Program, words: Sequence[str]) -> int:
    _make_outputs_fit()
    try:
        code = _work(program, words)
        sys.stdout.flush()
    except MluAgentError as error:
        return _end(program, error.message, error.exit_code)
    except BrokenPipeError:  # who read our output wants no more of it
        _drop(sys.stdout)
        return BROKEN_PIPE
    except OSError as error:
        return _foreign(program, error)
    except MemoryError:
        return _end(program, f"not enough memory {program.memory}".strip(), RuntimeFailure.exit_code)
    return code


def _make_outputs_fit() -> None:
    """No output is missing, and none refuses a letter.

    Whoever closed one (``>&-``) wants nothing of it. Nor may the next file to be opened take its descriptor: what a
    library prints would go into it.
    """
    codecs.register_error(ESCAPED, escaped)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - it stays open
        if hasattr(getattr(sys, name), "reconfigure"):
            getattr(sys, name).reconfigure(errors=ESCAPED)


def escaped(error: UnicodeError) -> tuple[str, int]:
    r"""A handler of encoding errors: ``\uXXXX``, in pairs beyond the first plane, which JSON and people can read."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{high:02x}{low:02x}" for high, low in zip(units[::2], units[1::2])), error.end


def _work(program: Program, words: Sequence[str]) -> int:
    try:
        arguments, unknown = parser(program, words).parse_known_args(words)
        if unknown:  # told by the parser of the command, or of its order, not by the one of all commands
            arguments.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    except SystemExit:  # of --help and --version: an output that cannot be written is noticed here, not by Python's end
        sys.stdout.flush()
        raise
    arguments.words = tuple(words)
    entry.raise_at_interrupts()
    return int(arguments.run(arguments))


def _end(program: Program, sentence: str, code: int) -> int:
    if sentence:
        # it may repeat names and words from outside, and has several lines where a file has several problems
        text = f"{program.name}: {printable(sentence, keep=chr(10))}\n"
        _say(weighed(text, "error") if _to_journal(sys.stderr) else text, program.patience_s)
    return code


def _to_journal(stream: TextIO) -> bool:
    try:
        return is_journal(stream.fileno())
    except (OSError, ValueError):  # no descriptor, or closed
        return False


def _say(text: str, patience_s: float) -> None:
    """Writes to stderr, whose reader may be gone, full or asleep: that changes no exit code."""

    def write() -> None:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except OSError:
            _drop(sys.stderr)

    if not patience_s:
        write()
        return
    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    writer.join(patience_s)


def _foreign(program: Program, error: OSError) -> int:
    """What no command has foreseen, such as a full disk or a missing permission, is still no bug of ours."""
    if error.filename is None and _refused_output(error):
        _drop(sys.stdout)
        told = f"standard output: cannot be written ({error.strerror or error}); make room, or send it elsewhere"
        return _end(program, told, UserError.exit_code)
    place = f"{error.filename}: " if error.filename is not None else ""
    code = _end(
        program, f"{place}{error.strerror or error}", UserError.exit_code if place else RuntimeFailure.exit_code
    )
    if not place:  # it may be the output that cannot be written
        _drop(sys.stdout)
    return code


def _refused_output(error: OSError) -> bool:
    """Whether it is standard output that failed: then it still holds what it did not get rid of, and fails again."""
    try:
        sys.stdout.flush()
    except OSError as again:
        return again.errno == error.errno
    except ValueError:  # closed
        return False
    # what is written at once leaves nothing behind; files that are written elsewhere have had their sentence
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) and bool(
        getattr(sys.stdout, "write_through", False)
    )


def _drop(output: TextIO) -> None:
    # the interpreter flushes once more at its end, and its failure would replace our exit code
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), output.fileno())


def parser(program: Program, words: Sequence[str], *, whole: bool = False) -> argparse.ArgumentParser:
    """The program's parser, with the arguments of the one command that ``words`` name; ``whole``: of all of them, for
    those who write manuals."""
    made = _Parser(prog=program.name, description=program.description)
    made.add_argument(
        "--version",
        action=_Version,
        nargs=0,
        const=program,
        default=argparse.SUPPRESS,
        help="show program's version number and exit",
    )
    commands = made.add_subparsers(metavar="COMMAND", required=True)
    named = next((word for word in words if not word.startswith("-")), "")
    for name, summary in program.commands.items():
        command = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        if whole or name == named:  # only the one that runs is imported: `subscribe` must not load OpenCV
            module = importlib.import_module(f"{program.package}.{name}")
            module.declare(command)
            command.set_defaults(run=module.run)
    return made


class _Parser(argparse.ArgumentParser):
    """One that tells a mistake in two lines, however many options it has. The innermost one is ``parser`` of what it
    finds."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.set_defaults(parser=self)

    def error(self, message: str) -> NoReturn:
        needed = [_shown(action) for action in self._actions if action.required or not action.option_strings]
        usage = f"usage: {' '.join([self.prog, *filter(None, needed), '[OPTIONS]'])}; see {self.prog} --help"
        self.exit(UserError.exit_code, printable(f"{usage}\n{self.prog}: {message}", keep="\n") + "\n")


def _shown(action: argparse.Action) -> str:
    """An argument in a line of usage."""
    name = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    written = " ".join([*action.option_strings[:1], name])
    return written if action.required else f"[{written}]"


class _Version(argparse.Action):
    """``action="version"`` of a version that is looked up only then."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        program: Program = self.const
        print(f"{program.name} {program.version()}")
        parser.exit()
