"""Asking a running daemon over its control socket: what ``ctl`` and ``status`` share."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlu_client.text import printable

from ..config import ControlConfig, load_config
from ..config.files import reason
from ..errors import RuntimeFailure, UserError

if TYPE_CHECKING:
    import argparse

STATUS_S = 2.0
AGAIN_S = 0.02
MAX_ANSWER = 32 << 20  # bytes: twice what a daemon gives


class Refused(UserError):
    """The daemon answers that it will not, or could not: ``answer``."""

    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__(printable(str(answer.get("error", "refused without a reason"))))
        self.answer = answer


def declare_place(parser: argparse.ArgumentParser, default: object = None) -> None:
    """Which daemon is asked. ``default``: argparse.SUPPRESS where these may be written a second time."""
    place = parser.add_mutually_exclusive_group()
    usual = ControlConfig().socket
    place.add_argument(
        "--socket", default=default, metavar="PATH", help=f"the daemon's control socket; {usual} unless told"
    )
    place.add_argument(
        "-c", "--config", default=default, metavar="FILE", help="the daemon's configuration, which names the socket"
    )


def place_of(arguments: argparse.Namespace) -> Path:
    """The socket that the arguments name. UserError if they name none."""
    if arguments.socket is not None:
        return Path(arguments.socket)
    control = ControlConfig() if arguments.config is None else load_config(arguments.config).control
    if control.socket is None:
        raise UserError(f'{arguments.config}: control.socket is "": this daemon cannot be asked')
    return control.socket


def ask(path: Path, timeout_s: float, /, **request: str) -> dict[str, Any]:
    """A daemon's answer, if it is one that it was done. Refused with its sentence otherwise; RuntimeFailure if no
    daemon answers within ``timeout_s`` seconds, with what to look at."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            _connect(connection, path, timeout_s)
            connection.settimeout(timeout_s)
            connection.sendall(json.dumps(request).encode() + b"\n")
            answer = json.loads(_line(connection))
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        raise RuntimeFailure(f"{path}: no daemon listens there: is it running (systemctl status mlu-agent)?") from None
    except PermissionError:
        raise RuntimeFailure(
            f"{path}: permission denied: become a member of the socket's group "
            "(usermod -aG mlu-agent USER, then log in again), or ask as root"
        ) from None
    except socket.timeout:
        raise RuntimeFailure(
            f"{path}: no answer within {timeout_s:g} s: see its log (journalctl -u mlu-agent)"
        ) from None
    except (OSError, ValueError) as error:
        raise RuntimeFailure(f"{path}: no answer: {reason(error)}") from None
    if not isinstance(answer, dict):
        raise RuntimeFailure(f"{path}: what listens there is no mlu-agent")
    if answer.get("ok") is not True:
        raise Refused(answer)
    return answer


def daemon_status(path: Path) -> dict[str, Any]:
    """How the daemon is that listens there, for those who look at more than it. Raises what ``ask`` does."""
    status = ask(path, STATUS_S, do="status").get("status")
    if not isinstance(status, dict):
        raise RuntimeFailure(f"{path}: what listens there is no mlu-agent of this version")
    return status


def _connect(connection: socket.socket, path: Path, timeout_s: float) -> None:
    """Where too many ask just now the system says so at once, instead of letting us wait."""
    end = time.monotonic() + timeout_s
    connection.setblocking(False)
    while True:
        try:
            return connection.connect(str(path))
        except BlockingIOError:  # noqa: PERF203 - seldom
            if time.monotonic() >= end:
                raise socket.timeout from None
            time.sleep(AGAIN_S)


def _line(connection: socket.socket) -> bytes:
    data = bytearray()
    while not data.endswith(b"\n"):
        part = connection.recv(1 << 16)
        if not part:
            raise OSError("it closed the connection; it may have been stopped")
        data += part
        if len(data) > MAX_ANSWER:
            raise OSError(f"more than {MAX_ANSWER} bytes came")
    return bytes(data)
