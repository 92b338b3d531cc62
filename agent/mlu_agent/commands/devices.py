"""``mlu-agent devices``: which runtime library is taken, why, and what it sees."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

from ..cnrt import open_library
from ..cnrt.device import list_devices

if TYPE_CHECKING:
    import argparse


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("--runtime", default="auto", help="auto, device, simulator or the path of a library (auto)")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Prints the devices; 3 if the runtime has none."""
    library = open_library(arguments.runtime)
    devices = list_devices(library)
    kernels = library.kernels
    if arguments.json:
        described = [dataclasses.asdict(device) for device in devices]
        values = {
            "runtime": library.kind,
            "library": library.path,
            "reason": library.reason,
            "version": library.version(),
            "kernels": kernels,
        }
        print(json.dumps({**values, "devices": described}))
    else:
        print(f"runtime  {library.kind}, version {library.version()}")
        print(f"library  {library.path}")
        print(f"reason   {library.reason}")
        if kernels:
            also = f" (also {', '.join(kernels[1:])})" if kernels[1:] else ""
            print(f"kernels  {kernels[0]}{also}")
        for device in devices:
            print(f"device   {device.ordinal}: {device.name}, {device.target}, {device.cores} cores")
    return 0 if devices else 3
