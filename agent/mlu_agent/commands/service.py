"""``mlu-agent service``: makes this installation a service of systemd, and takes that back."""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

from mlu_client.text import printable

from .. import installation
from ..errors import UserError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

CONFIGURATION = Path("/", installation.CONFIGURATION)


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    install = actions.add_parser("install", help="write unit, user, device rules and a first configuration")
    install.add_argument("--now", action="store_true", help="enable and start it, too")
    install.add_argument(
        "--program",
        type=Path,
        default=Path(sysconfig.get_path("scripts"), "mlu-agent"),
        metavar="FILE",
        help="the mlu-agent that the unit starts (this one)",
    )
    install.add_argument("--print", action="store_true", help="show what would be written, and write nothing")
    install.set_defaults(act=_install)
    remove = actions.add_parser("remove", help="stop it and take its files away")
    remove.add_argument("--purge", action="store_true", help="the configuration, the models and the cache, too")
    remove.set_defaults(act=_remove)
    for action in (install, remove):
        action.add_argument(
            "--root",
            type=Path,
            default=Path("/"),
            metavar="DIR",
            help="a system that does not run, such as an image (/)",
        )


def run(arguments: argparse.Namespace) -> int:
    """Does it and says each step, then what comes next."""
    return int(arguments.act(arguments))


def _install(arguments: argparse.Namespace) -> int:
    program = Path(os.path.abspath(arguments.program))  # noqa: PTH100 - a link stays: it is the environment's way
    if arguments.print:
        for place, text in installation.files(program).items():
            print(f"# {Path('/', place)}\n{text}")
        return 0
    root = _root(arguments)
    if arguments.now and root != Path("/"):
        raise UserError(f"--now: nothing can be started in {root}; leave it out")
    _say(installation.install(root, program))
    if arguments.now:
        _say([installation.start()])
        print("next     mlu-agent status tells how it is; journalctl -u mlu-agent what it says")
        return 0
    print(
        f"next     put the model where [model] path of {CONFIGURATION} says and name your cameras there, then:\n"
        f"         mlu-agent check -c {CONFIGURATION} && systemctl enable --now mlu-agent"
    )
    return 0


def _remove(arguments: argparse.Namespace) -> int:
    root = _root(arguments)
    steps = _say(installation.remove(root, purge=arguments.purge))
    if not steps:
        print(f"nothing  no service of this kind was installed in {root}")
    elif arguments.purge:
        print("left     the user mlu-agent: its number must not become another's while files of it may be around")
    else:
        kept = " ".join(str(root / place) for place in installation.STATE if (root / place).exists())
        print(f"kept     {kept or 'nothing'}")
    return 0


def _root(arguments: argparse.Namespace) -> Path:
    root = Path(os.path.abspath(arguments.root))  # noqa: PTH100 - as above
    if not root.is_dir():
        raise UserError(f"--root {root}: there is no such folder")
    if root == Path("/") and os.geteuid() != 0:
        raise UserError(
            "only root may change the services of this machine: sudo, or --print to see what it would write"
        )
    return root


def _say(steps: Iterable[installation.Step]) -> int:
    """Prints each step as it is done; how many there were."""
    count = 0
    for step in steps:
        print(printable(f"{step.word:<9}{step.what}"), flush=True)
        count += 1
    return count
