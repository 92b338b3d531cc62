"""``mlu-agent simulator``: where the simulator is, for C programs that want to be built and run against it."""

from __future__ import annotations

import argparse
import os
import shlex
from pathlib import Path

from mlu_client.text import printable

from ..cnrt.library import LIBRARY_NAME, bundled_folder
from ..errors import RuntimeFailure


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("--libdir", action="store_true", help=f"the folder with {LIBRARY_NAME}")
    parser.add_argument("--includedir", action="store_true", help="the folder with cnrt.h")
    parser.add_argument(
        "--neuware",
        type=_folder,
        metavar="DIR",
        help="copy both into DIR as NEUWARE_HOME (/usr/local/neuware) has them, with CMake's and pkg-config's files",
    )


def run(arguments: argparse.Namespace) -> int:
    """Prints the folders asked for, one a line; both, named, if none is. Or lays out a tree."""
    with bundled_folder() as folder:
        if not (folder / LIBRARY_NAME).is_file():
            raise RuntimeFailure(
                f"this installation has no simulator: {folder / LIBRARY_NAME} does not exist; reinstall the wheel"
            )
        if arguments.neuware is not None:
            return _lay_out(folder, arguments.neuware)
        chosen = [str(folder)] * arguments.libdir + [str(folder / "include")] * arguments.includedir
        if chosen:
            print("\n".join(chosen))
        else:
            print(f"libdir      {folder}\nincludedir  {folder / 'include'}")
    return 0


def _folder(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("is empty; name a folder")
    return Path(text)


def _lay_out(folder: Path, home: Path) -> int:
    from ..cnrt.neuware import write_tree  # noqa: PLC0415 - few want it

    home = Path(os.path.abspath(home))  # noqa: PTH100 - for what is printed a link stays
    word = "renewed" if write_tree(folder, home) else "wrote"
    print(printable(f"{word:<9}{home}"))
    print(
        printable(
            f"next     export NEUWARE_HOME={shlex.quote(str(home))} LD_LIBRARY_PATH={shlex.quote(f'{home}/lib64')}"
        )
    )
    return 0
