"""``mlu-export``: its commands. What a command line does with errors and exit codes: ``mlu_agent.command_line``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from mlu_agent import entry

from . import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlu_agent.command_line import Program

COMMANDS = {
    "convert": "weights in, a float state dict (.pth) out",
    "build": "weights in, model, side-car, manifest and recipe out",
    "quantize": "calibrate only: a recipe, and what each layer loses",
    "compile": "a quantized checkpoint in, model, side-car and manifest out",
    "standin": "weights and a device file in, a model that computes for it in the simulator out",
    "bundle": "a model and all that belongs to it as one file, which can be signed",
    "sign": "sign a bundle",
    "keygen": "make a key that signs bundles",
    "verify": "prove that a model file computes what its checkpoint says",
    "eval": "accuracy of a model file on annotated pictures, beside float and beside a device",
    "bench": "how fast a model file runs, by the guide's formulas and by ours",
    "run": "a porting script written for torch_mlu, without the vendor's SDK",
}


def program() -> Program:
    """The program, for ``command_line.run``."""
    from mlu_agent.command_line import Program  # noqa: PLC0415 - Ctrl-C first: it takes a while

    return Program(
        "mlu-export",
        "Turns weights into quantized .cambricon models, and measures the file that ships.",
        lambda: __version__,
        COMMANDS,
        "mlu_export.commands",
        interrupted="interrupted; nothing was written",
        memory="for a network of this size",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code."""
    if argv is None:
        entry.take_over()
    from mlu_agent import command_line  # noqa: PLC0415 - as above

    from .support import progress  # noqa: PLC0415 - as above

    progress.begin()
    return command_line.run(program(), argv)


if __name__ == "__main__":
    sys.exit(main())
