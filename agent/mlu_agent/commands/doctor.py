"""``mlu-agent doctor``: what is wrong with this box, and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlu_client.text import printable, printable_json

from ..doctor import finding
from ..doctor.doctor import USUAL, examine
from .asking import daemon_status

if TYPE_CHECKING:
    import argparse


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    usual = f"the configuration (TOML); without it {USUAL} if it is there, else only the machine is looked at"
    parser.add_argument("-c", "--config", type=Path, metavar="FILE", help=usual)
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Prints what was found; 1 if there is something to do."""
    findings, over = examine(arguments.config, daemon_status)
    wrong = finding.troubles(findings)
    if arguments.json:
        print(printable_json({"troubles": len(wrong), "findings": finding.described(findings)}))
    else:
        for line in finding.lines(findings):
            print(printable(line))
        print(f"{len(wrong)} of {len(findings)} findings want something done" if wrong else "all is well")
    return finding.end(1 if wrong else 0, over=over)
