"""``mlu-export compile``: a quantized checkpoint in, model, side-car and manifest out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..workflows.compile import compile_files
from ..workflows.request import CompileRequest, VendorSdk
from .arguments import declare_json, declare_output, declare_weights, print_files, wanted_of

if TYPE_CHECKING:
    import argparse


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    declare_weights(parser)
    declare_output(parser)
    parser.add_argument(
        "--backend",
        choices=("simulator", "vendor"),
        help="vendor: drive the vendor's SDK too, and put its file for the device beside ours in one bundle",
    )
    parser.add_argument(
        "--vendor-python", type=Path, metavar="PATH", help="the interpreter that torch_mlu is installed for"
    )
    declare_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Compiles, and prints the paths of what was written."""
    device = VendorSdk(arguments.vendor_python) if arguments.backend == "vendor" else None
    print_files(compile_files(CompileRequest(wanted_of(arguments), arguments.output, device)), arguments.json)
    return 0
