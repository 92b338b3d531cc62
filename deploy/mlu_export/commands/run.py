"""``mlu-export run``: a porting script written for torch_mlu, without the vendor's SDK."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..torch_mlu.run import run_script


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument(
        "--trust-pickles",
        action="store_true",
        help="let torch.load run the code in a checkpoint (whole pickled models): only for files whose origin you know",
    )
    parser.add_argument("script", type=Path, metavar="SCRIPT.py")
    parser.add_argument(
        "arguments", nargs=argparse.REMAINDER, metavar="ARGUMENT", help="handed to the script as they are"
    )


def run(arguments: argparse.Namespace) -> int:
    """Runs the script; returns its exit code."""
    return run_script(arguments.script, arguments.arguments, arguments.trust_pickles)
