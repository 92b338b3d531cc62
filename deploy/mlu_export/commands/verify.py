"""``mlu-export verify``: proves that a model file computes what its checkpoint says."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..runners.simulated import simulate_target
from ..workflows.request import Files
from ..workflows.verification.verify import VerifyRequest, verify
from .arguments import Integer, taken

if TYPE_CHECKING:
    import argparse


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("model", type=Path, metavar="MODEL.cambricon")
    parser.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="the checkpoint that it was compiled from, or weights; a --module may hold its own",
    )
    parser.add_argument(
        "--recipe",
        type=Path,
        metavar="FILE",
        help="with float weights: the recipe that it was built from (default: the one beside the model)",
    )
    parser.add_argument("--arch", metavar="NAME", help="the network (default: what the manifest says)")
    parser.add_argument("--cfg", type=Path, metavar="FILE", help="Darknet description, if one was given to build")
    parser.add_argument("--module", metavar="FILE.py:FUNCTION", help="your torch module, of --arch module")
    parser.add_argument("--images", type=Path, metavar="DIR", help="run on pictures instead of random inputs")
    parser.add_argument("--count", type=Integer(1, 100000), default=2, metavar="N", help="how many inputs (default 2)")
    parser.add_argument(
        "--seed", type=Integer(0, 2**31), default=0, metavar="N", help="of the random inputs (default 0)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Verifies and prints the table; the first difference is a sentence and exit code 2."""
    simulate_target(arguments.model)
    result = verify(taken(VerifyRequest, arguments, files=taken(Files, arguments)))
    print(result.json() if arguments.json else result.text())
    if result.difference:
        print(f"mlu-export: {result.model} is not what its weights say: {result.difference}", file=sys.stderr)
    return 2 if result.difference else 0
