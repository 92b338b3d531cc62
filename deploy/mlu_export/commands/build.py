"""``mlu-export build``: weights in, model, side-car, manifest and recipe out, in one go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..workflows.build import Request, build
from .arguments import declare_json, declare_model, declare_workers, print_files

if TYPE_CHECKING:
    import argparse


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    declare_model(parser)
    declare_json(parser)
    declare_workers(parser)


def run(arguments: argparse.Namespace) -> int:
    """Builds, and prints the paths of what was written."""
    values = {key: value for key, value in vars(arguments).items() if key not in ("run", "json")}
    print_files(build(Request(**values)), arguments.json)
    return 0
