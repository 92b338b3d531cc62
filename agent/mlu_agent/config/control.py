"""The table [control] of the configuration."""

from __future__ import annotations

import grp
import os
from typing import TYPE_CHECKING

from ..errors import UserError
from .fields import show
from .values import ControlConfig

if TYPE_CHECKING:
    from pathlib import Path

    from .fields import Fields

LONGEST_PATH = 107  # bytes that the system has for a socket's path
GROUP = r"(?:[A-Za-z_][A-Za-z0-9_.-]{0,31})?"


def read_control(table: Fields, folder: Path) -> ControlConfig:
    """A relative path starts at ``folder``; "" for no socket."""
    usual = ControlConfig()
    written = table.text("socket", str(usual.socket), remedy='write the path of a socket, or "" for none')
    group = table.text("group", usual.group, pattern=GROUP, remedy='write the name of a group of this machine, or ""')
    path = folder / written if written else None
    if path is not None and len(os.fsencode(path)) > LONGEST_PATH:
        table.problem("socket", f"{show(str(path))} has more than {LONGEST_PATH} bytes; write a shorter path")
    table.close()
    return ControlConfig(path, group)


def check_group(control: ControlConfig) -> None:
    """UserError if the socket cannot be given to its group, because this machine has no such group."""
    if not control.group:
        return
    try:
        grp.getgrnam(control.group)
    except KeyError:
        raise UserError(
            f"control.group: there is no group {show(control.group)} on this machine; "
            'make it (groupadd), or write "" for the group of the service'
        ) from None
