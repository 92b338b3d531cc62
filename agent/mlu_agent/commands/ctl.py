"""``mlu-agent ctl``: change a running daemon."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlu_client.text import printable, printable_json

from ..config.new_files import write_whole
from ..errors import RuntimeFailure, UserError
from .asking import ask, declare_place, place_of

if TYPE_CHECKING:
    import argparse

TIMEOUT_S = 120.0  # a large model on a slow disk is loaded and tried meanwhile


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    declare_place(parser)
    parser.add_argument("--json", action="store_true", help="the daemon's answer as it is")
    parser.add_argument("--timeout", type=float, default=TIMEOUT_S, metavar="SECONDS", help="for the answer (120)")
    orders = parser.add_subparsers(dest="order", metavar="ORDER", required=True)
    orders.add_parser("reload", help="read the configuration again: all of it is applied, or nothing")
    swap = orders.add_parser("swap", help="another file for a model, between two frames")
    swap.add_argument("model", metavar="MODEL", help="its name in the configuration; main unless named")
    swap.add_argument("path", metavar="FILE", help="the .cambricon file or bundle")
    orders.add_parser("status", help="how everything is, as `mlu-agent status` tells it")
    for name, summary in (("pause", "read nothing of a source until it is resumed"), ("resume", "read it again")):
        orders.add_parser(name, help=summary).add_argument("source", metavar="SOURCE", help="its id")
    snapshot = orders.add_parser("snapshot", help="the next picture of a source")
    snapshot.add_argument("source", metavar="SOURCE", help="its id")
    snapshot.add_argument("--output", metavar="FILE.jpg", help="where to; SOURCE.jpg unless told")
    log = orders.add_parser("log", help="what is logged, until a restart")
    log.add_argument("level", metavar="LEVEL", help="debug, info, warning or error")


def run(arguments: argparse.Namespace) -> int:
    """0 done; 2 refused, with the daemon's sentence; 3 if no daemon answers."""
    if not arguments.timeout > 0:
        raise UserError(f"--timeout {arguments.timeout:g}: give more than 0 seconds")
    path = place_of(arguments)
    if arguments.order == "status":
        from . import status  # noqa: PLC0415 - only here

        return status.show(path, as_json=arguments.json)
    answer = ask(path, arguments.timeout, do=arguments.order, **_fields(arguments))
    if arguments.order == "snapshot":
        answer = _keep(answer, Path(arguments.output or f"{arguments.source}.jpg"))
    print(printable_json(answer) if arguments.json else printable(str(answer.get("done", "done"))))
    return 0


def _fields(arguments: argparse.Namespace) -> dict[str, str]:
    fields = {name: getattr(arguments, name) for name in ("model", "path", "source", "level") if name in arguments}
    if "path" in fields:
        fields["path"] = str(Path(fields["path"]).absolute())  # the daemon has another working folder
    return fields


def _keep(answer: dict[str, Any], path: Path) -> dict[str, Any]:
    """Writes the picture; the answer tells where instead."""
    try:
        data = base64.b64decode(answer.pop("jpeg", ""), validate=True)
    except (TypeError, binascii.Error):
        data = b""
    if not data.startswith(b"\xff\xd8"):
        raise RuntimeFailure("the daemon's answer holds no picture: is it of another version?")
    try:
        write_whole(path, data)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); choose another --output") from None
    size = f"{answer.get('width')}x{answer.get('height')}"
    return {**answer, "path": str(path), "done": f"{path}: {size}{', made smaller' if answer.get('shrunk') else ''}"}
