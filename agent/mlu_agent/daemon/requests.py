"""What may be asked of a running daemon: one JSON object, one line. What comes from outside is bounded before it is
read, and whatever is wrong with it is one sentence."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..config.fields import show
from ..errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_LINE = 8192  # bytes, without its end: a path has 4096 at most
# What may be asked, and the texts that belong to it.
ASKED: dict[str, tuple[str, ...]] = {
    "status": (),
    "reload": (),
    "swap": ("model", "path"),
    "pause": ("source",),
    "resume": ("source",),
    "snapshot": ("source",),
    "log": ("level",),
}
LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True)
class Asked:
    """``do`` is one of ASKED; ``fields`` are its texts, all of them and no others."""

    do: str
    fields: Mapping[str, str]


def parse(line: bytes) -> Asked:
    """Reads one line. UserError tells what is wrong with it, and what would be right."""
    if len(line) > MAX_LINE:
        raise UserError(f"the request has more than {MAX_LINE} bytes; write one short JSON object on one line")
    request = _object(line)
    do = request.pop("do", None)
    if not isinstance(do, str) or do not in ASKED:
        raise UserError(f"do: {show(do)} is not known; write one of {', '.join(ASKED)}")
    wanted = ASKED[do]
    for name in request:
        if name not in wanted:
            known = f"write {', '.join(wanted)}" if wanted else "write nothing beside do"
            raise UserError(f"{do}: {show(name)} is no field of it; {known}")
    for name in wanted:
        value = request.get(name)
        if not isinstance(value, str) or not value or not value.isprintable():
            raise UserError(f"{do}: {name}: {show(value)} is not accepted; write a text in quotes")
    if do == "log" and request["level"] not in LEVELS:
        raise UserError(f"log: level: {show(request['level'])} is not known; write one of {', '.join(LEVELS)}")
    if do == "swap" and not request["path"].startswith("/"):
        raise UserError(f"swap: path: {show(request['path'])} is not absolute; write the path from / on")
    return Asked(do, request)


def _object(line: bytes) -> dict[str, Any]:
    try:
        request = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):  # no UTF-8 and no JSON are ValueErrors
        request = None
    if not isinstance(request, dict):
        raise UserError('the request is no JSON object on one line; write {"do": "status"}, for example')
    return request
