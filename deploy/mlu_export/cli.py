"""Command line of ``mlu-export``. Exit codes: 0 fine, 2 the user's mistake or bad data, 3 device or runtime failure."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import sys
from typing import TYPE_CHECKING

from mlu_agent.errors import MluAgentError, RuntimeFailure, UserError

from . import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = {
    "convert": "weights in, a float state dict (.pth) out",
    "build": "weights in, model, side-car, manifest and recipe out",
    "quantize": "calibrate only: a recipe, and what each layer loses",
    "compile": "a quantized checkpoint in, model, side-car and manifest out",
    "verify": "prove that a model file computes what its checkpoint says",
    "eval": "accuracy of a model file on annotated pictures, beside float and beside a device",
    "bench": "how fast a model file runs, by the guide's formulas and by ours",
    "run": "a porting script written for torch_mlu, without the vendor's SDK",
}
INTERRUPTED = 130  # 128 + SIGINT, as shells count
BROKEN_PIPE = 141  # 128 + SIGPIPE


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; a user's mistake is one sentence on stderr, never a traceback."""
    words = list(sys.argv[1:] if argv is None else argv)
    arguments = _parser(words).parse_args(words)
    try:
        code = int(arguments.run(arguments))
        sys.stdout.flush()
    except MluAgentError as error:
        print(f"mlu-export: {error}", file=sys.stderr)
        return int(error.exit_code)
    except BrokenPipeError:  # who read our output wants no more of it; files were written before it was printed
        _drop_output()
        return BROKEN_PIPE
    except OSError as error:  # what no command has foreseen, such as a full disk, is still no bug of ours
        place = f"{error.filename}: " if error.filename is not None else ""
        print(f"mlu-export: {place}{error.strerror or error}", file=sys.stderr)
        if not place:  # it may be the output that cannot be written
            _drop_output()
        return UserError.exit_code if place else RuntimeFailure.exit_code
    except MemoryError:
        print("mlu-export: not enough memory for a network of this size", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("mlu-export: interrupted; nothing was written", file=sys.stderr)
        return INTERRUPTED
    return code


def _drop_output() -> None:
    # the interpreter flushes once more at its end, and its failure would replace our exit code
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mlu-export",
        description="Turns weights into quantized .cambricon models, and measures the file that ships.",
    )
    parser.add_argument("--version", action="version", version=f"mlu-export {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    named = next((word for word in words if not word.startswith("-")), "")
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        if name == named:  # only the one that runs is imported: `build --recipe` needs none of what `eval` loads
            module = importlib.import_module(f".commands.{name}", __package__)
            module.declare(command)
            command.set_defaults(run=module.run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
