"""``mlu-export compile``: a quantized checkpoint in, model, side-car and manifest out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..build import Request
from ..compile import compile_files
from .arguments import declare_output, declare_weights

if TYPE_CHECKING:
    import argparse


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    declare_weights(parser)
    declare_output(parser)


def run(arguments: argparse.Namespace) -> int:
    """Compiles, and prints the paths of what was written."""
    values = {key: value for key, value in vars(arguments).items() if key != "run"}
    for path in compile_files(Request(**values)):
        print(path)
    return 0
