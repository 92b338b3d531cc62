"""``mlu-export bundle``: a model and all that belongs to it as one file."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from ..workflows.bundle import LEAST_AGENT, PackRequest, pack
from .arguments import declare_json, print_files, taken


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("model", type=Path, metavar="MODEL", help="a .cambricon model or its .toml manifest")
    parser.add_argument(
        "--output",
        "-o",
        type=Path,
        metavar="NAME.bundle",
        help="what to write (default: MODEL.bundle beside the model)",
    )
    parser.add_argument(
        "--sign", dest="key", type=Path, metavar="KEY", help="a private key, as mlu-export keygen makes it"
    )
    parser.add_argument(
        "--model-version", dest="version", default="", metavar="TEXT", help="(default: of the model's digest)"
    )
    parser.add_argument(
        "--least-agent",
        type=_version,
        default=LEAST_AGENT,
        metavar="VERSION",
        help=f"agents older than that refuse it (default {LEAST_AGENT})",
    )
    parser.add_argument(
        "--provenance", type=Path, metavar="FILE", help="where it comes from (default: the recipe beside the model)"
    )
    declare_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Writes the bundle, and prints its path."""
    print_files([pack(taken(PackRequest, arguments))], arguments.json)
    return 0


def _version(text: str) -> str:
    if not re.fullmatch(r"\d{1,6}(\.\d{1,6}){2}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no version; write three numbers with dots, as {LEAST_AGENT}")
    return text
