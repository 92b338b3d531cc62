"""``mlu-agent ctl``: change a running daemon."""

from __future__ import annotations

import argparse
import base64
import binascii
import sys
from pathlib import Path
from typing import Any

from mlu_client.text import printable, printable_json

from ..config import ControlConfig, load_control
from ..config.new_files import write_whole
from ..errors import MluAgentError, RuntimeFailure, UserError
from . import status
from .asking import Refused, ask, daemon_status, declare_place, place_of

USUAL = ControlConfig().socket
TIMEOUT_S = 120.0  # a large model on a slow disk is loaded and tried meanwhile


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    _declare_common(parser, None, False, TIMEOUT_S)
    orders = parser.add_subparsers(dest="order", metavar="ORDER", required=True)

    def order(name: str, summary: str, *fields: tuple[str, str]) -> argparse.ArgumentParser:
        made = orders.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        _declare_common(made, argparse.SUPPRESS, argparse.SUPPRESS, argparse.SUPPRESS)
        for field, told in fields:
            made.add_argument(field, metavar=("FILE" if field == "path" else field.upper()), help=told)
        return made

    order("reload", "read the configuration again: all of it is applied, or nothing")
    swap = ("model", "its name in the configuration; main unless named"), ("path", "the .cambricon file or bundle")
    order("swap", "another file for a model, between two frames", *swap)
    order("status", "how everything is, as `mlu-agent status` tells it")
    order("pause", "read nothing of a source until it is resumed", ("source", "its id"))
    order("resume", "read a source again", ("source", "its id"))
    snapshot = order("snapshot", "the next picture of a source", ("source", "its id"))
    snapshot.add_argument("--output", metavar="FILE.jpg", help="where to; SOURCE.jpg unless told")
    order("log", "what is logged, until a reload or a restart", ("level", "debug, info, warning or error"))


def _declare_common(parser: argparse.ArgumentParser, place: object, as_json: object, timeout: object) -> None:
    """What may be written before the order and behind it; the defaults of each."""
    declare_place(parser, place)
    parser.add_argument("--json", action="store_true", default=as_json, help="the daemon's answer as it is")
    parser.add_argument(
        "--timeout", type=float, default=timeout, metavar="SECONDS", help=f"for the answer ({TIMEOUT_S:g})"
    )


def run(arguments: argparse.Namespace) -> int:
    """0 done; 2 refused, with the daemon's sentence; 3 if no daemon answers."""
    if not arguments.timeout > 0:
        raise UserError(f"--timeout {arguments.timeout:g}: give more than 0 seconds")
    path = _where_it_listens(arguments)
    if arguments.order == "status":
        return status.show(path, as_json=arguments.json)
    try:
        answer = ask(path, arguments.timeout, do=arguments.order, **_fields(arguments))
    except Refused as refused:
        if not arguments.json:
            raise
        print(printable_json(refused.answer))
        return refused.exit_code
    if arguments.order == "snapshot":
        answer = _keep(answer, Path(arguments.output or f"{arguments.source}.jpg"))
    print(printable_json(answer) if arguments.json else printable(str(answer.get("done", "done"))))
    return 0


def _where_it_listens(arguments: argparse.Namespace) -> Path:
    """The file may name another socket by now than the one that its daemon has: then the usual one, if what answers
    there was started with that file, so that the daemon itself says why this takes a restart."""
    if arguments.order != "reload" or arguments.config is None:
        return place_of(arguments)
    config = Path(arguments.config).absolute()
    named = load_control(config).socket
    if USUAL is not None and named != USUAL and (named is None or not _answers(named)) and _answers(USUAL) == config:
        nobody = 'control.socket = ""' if named is None else f"{named}: no daemon listens there"
        print(f"{nobody}; the daemon of {config} does at {USUAL}, and is asked", file=sys.stderr)
        return USUAL
    return place_of(arguments)


def _answers(path: Path) -> Path | None:
    """The configuration of the daemon that listens there; None: none answers."""
    try:
        return Path(daemon_status(path)["agent"]["config"])
    except (MluAgentError, KeyError, TypeError):
        return None


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
