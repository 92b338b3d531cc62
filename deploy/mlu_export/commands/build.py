"""``mlu-export build``: weights in, model, side-car, manifest and recipe out, in one go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..workflows.build import build
from ..workflows.request import BuildRequest, Workers
from .arguments import declare_json, declare_model, declare_workers, print_files, quantization_of, taken, wanted_of

if TYPE_CHECKING:
    import argparse


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    declare_model(parser)
    declare_json(parser)
    declare_workers(parser)


def run(arguments: argparse.Namespace) -> int:
    """Builds, and prints the paths of what was written."""
    request = BuildRequest(
        wanted_of(arguments), arguments.output, quantization_of(arguments), taken(Workers, arguments)
    )
    print_files(build(request), arguments.json)
    return 0
