"""``mlu-export sign``: one signature more on a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..formats.bundle import sign_bundle
from ..formats.keys import signer

if TYPE_CHECKING:
    import argparse


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    parser.add_argument("--key", type=Path, required=True, metavar="KEY", help="the private key")
    parser.add_argument(
        "--output", "-o", type=Path, metavar="FILE", help="(default: the bundle itself, replaced whole)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Signs, and says by which key."""
    made = sign_bundle(arguments.bundle, arguments.output or arguments.bundle, signer(arguments.key))
    print(f"{arguments.output or arguments.bundle}: signed by {made.key_id}")
    return 0
