"""Where the daemon listens: free or not, and by whom; the folder of a socket file."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError
from ..publish.endpoint import is_socket_file, listening_socket
from .finding import Finding, fine, note, trouble
from .machine import ENTER, WRITE, Who, owned

if TYPE_CHECKING:
    from collections.abc import Iterator

_LISTENS = "0A"  # in /proc/net/tcp
UNKNOWN = "a process of another user (root sees which)"
_ACCEPTS = 0x10000  # in the flags of /proc/net/unix


@dataclass(frozen=True)
class Facts:
    """Of one endpoint. ``user``: who listens now, "" nobody. ``ours``: whether that is an mlu-agent. ``folder``: what
    is wrong with a socket's folder, a code and a sentence. ``problem``: why it cannot be bound."""

    user: str = ""
    ours: bool = False
    folder: tuple[str, str] = ("", "")
    problem: str = ""


def look(endpoint: str, who: Who) -> Facts:
    """Nothing is bound while somebody listens; else an address is bound for a moment, a socket file never."""
    user, ours = listener(endpoint)
    if user:
        return Facts(user, ours)
    if is_socket_file(endpoint):
        return Facts(folder=_folder(Path(endpoint[len("ipc://") :]), who))
    try:
        listening_socket(endpoint).close()
    except UserError as error:
        return Facts(problem=error.message)
    return Facts()


def listener(endpoint: str) -> tuple[str, bool]:
    """Who listens on the endpoint, and whether that is an agent; "" for nobody. Nothing is bound or connected."""
    unix = endpoint.startswith("ipc://")
    return _user(set(_unix_listeners(endpoint[len("ipc://") :]) if unix else _tcp_listeners(endpoint)))


def _folder(path: Path, who: Who) -> tuple[str, str]:
    folder = path.parent
    if not folder.is_dir():
        return "socket-folder", f"the folder {folder} of the socket is not there"
    if not who.may_reach(folder, WRITE | ENTER):
        return "socket-permission", f"{who.name} may not make a socket in {folder} ({owned(folder)})"
    with contextlib.suppress(OSError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            return "socket-file", f"{path} is there, and is no socket"
    return "", ""


def _unix_listeners(path: str) -> Iterator[str]:
    """Inodes of the sockets that accept at the path."""
    for line in _lines("/proc/net/unix"):
        fields = line.split(None, 7)
        if len(fields) == 8 and fields[7] == path and int(fields[3], 16) & _ACCEPTS:
            yield fields[6]


def _tcp_listeners(endpoint: str) -> Iterator[str]:
    """Inodes of the sockets that listen on the port, at whatever address."""
    port = endpoint.rpartition(":")[2]
    if not port.isdigit():
        return
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in _lines(table):
            fields = line.split()
            if len(fields) > 9 and fields[3] == _LISTENS and int(fields[1].rpartition(":")[2], 16) == int(port):
                yield fields[9]


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").splitlines()[1:]
    except OSError:
        return []


def _user(inodes: set[str]) -> tuple[str, bool]:
    """The process that has one of the sockets, and whether it is an agent."""
    if not inodes:
        return "", False
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ends meanwhile, or is another user's
            if any(os.readlink(link) in wanted for link in (process / "fd").iterdir()):  # noqa: PTH115 - quick
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
                return f"process {process.name} ({command[:120]})", bool(re.search(r"mlu.agent\S* run\b", command))
    return UNKNOWN, False


def judge(endpoint: str, facts: Facts, *, running: bool, made_by_unit: bool) -> list[Finding]:
    """``running``: whether who listens is the daemon of this configuration.
    ``made_by_unit``: whether the unit makes the folder."""
    area = "endpoint"
    if facts.user:
        if running:
            return [fine(area, f"{endpoint}: the daemon listens ({facts.user})")]
        remedy = "end that process, or write another publish.endpoint"
        also = ", another mlu-agent, which may have device and cameras too" if facts.ours else ""
        return [trouble(area, "endpoint-in-use", f"{endpoint} is in use by {facts.user}{also}", remedy)]
    code, sentence = facts.folder
    if code == "socket-folder" and made_by_unit:
        return [note(area, f"{sentence}: the unit makes it at each start (RuntimeDirectory=)")]
    if code:
        return [trouble(area, code, f"{endpoint}: {sentence}", SOCKET_REMEDIES[code])]
    if facts.problem:
        remedy = "write an address of this box (`ip address`), or bring its network up"
        return [trouble(area, "endpoint-address", facts.problem, remedy)]
    return [fine(area, f"{endpoint} is free")]


OF_FOLDERS = ("socket-folder", "socket-permission")
SOCKET_REMEDIES = {
    "socket-folder": "make it, or let the unit do so (RuntimeDirectory=mlu-agent, endpoint under /run/mlu-agent)",
    "socket-permission": "chown the folder to the service's user, or let the unit make it (RuntimeDirectory=)",
    "socket-file": "remove that file, or write another publish.endpoint",
}
