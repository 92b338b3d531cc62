"""``mlu-agent simulator``: where the simulator is, for C programs that want to be built and run against it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..cnrt.library import LIBRARY_NAME, bundled_folder
from ..errors import RuntimeFailure

if TYPE_CHECKING:
    import argparse


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("--libdir", action="store_true", help=f"the folder with {LIBRARY_NAME}")
    parser.add_argument("--includedir", action="store_true", help="the folder with cnrt.h")


def run(arguments: argparse.Namespace) -> int:
    """Prints the folders asked for, one a line; both, named, if none is."""
    with bundled_folder() as folder:
        if not (folder / LIBRARY_NAME).is_file():
            raise RuntimeFailure(
                f"this installation has no simulator: {folder / LIBRARY_NAME} does not exist; reinstall the wheel"
            )
        chosen = [str(folder)] * arguments.libdir + [str(folder / "include")] * arguments.includedir
        if chosen:
            print("\n".join(chosen))
        else:
            print(f"libdir      {folder}\nincludedir  {folder / 'include'}")
    return 0
