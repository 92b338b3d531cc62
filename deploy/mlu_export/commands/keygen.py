"""``mlu-export keygen``: a key that signs bundles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..formats.keys import make_key

if TYPE_CHECKING:
    import argparse


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument(
        "key", type=Path, metavar="NAME.key", help="the private key to write; NAME.pub, beside it, is for the boxes"
    )


def run(arguments: argparse.Namespace) -> int:
    """Makes it, and says what is whose."""
    public, key_id = make_key(arguments.key)
    print(f"{arguments.key}: the private key {key_id}: keep it where models are made, and nobody else")
    print(f"{public}: the public key: put it on every box, where model.trust says")
    return 0
