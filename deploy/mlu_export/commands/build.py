"""``mlu-export build``: weights in, model, side-car, manifest and recipe out, in one go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..build import Request, build
from .arguments import declare_model, declare_workers

if TYPE_CHECKING:
    import argparse


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    declare_model(parser)
    declare_workers(parser)


def run(arguments: argparse.Namespace) -> int:
    """Builds, and prints the paths of what was written."""
    values = {key: value for key, value in vars(arguments).items() if key != "run"}
    for path in build(Request(**values)):
        print(path)
    return 0
