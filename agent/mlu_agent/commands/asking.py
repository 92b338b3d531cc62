"""Asking a running daemon over its control socket: what ``ctl`` and ``status`` share."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlu_client.text import printable

from ..config import ControlConfig, load_control
from ..config.files import reason
from ..errors import RuntimeFailure, UserError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

STATUS_S = 2.0
AGAIN_S = 0.02
SAID_AFTER_S = 5.0  # without an answer
MAX_ANSWER = 32 << 20  # bytes: twice what a daemon gives


class Refused(UserError):
    """The daemon answers that it will not, or could not: ``answer``."""

    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__(printable(str(answer.get("error", "refused without a reason")), keep="\n"))
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
    if arguments.config is None:
        return _usual()
    try:
        control = load_control(arguments.config)
    except UserError as error:
        raise UserError(f"{error.message}; or name the daemon's socket itself: --socket PATH") from None
    if control.socket is None:
        raise UserError(f'{arguments.config}: control.socket is "": this daemon cannot be asked')
    return control.socket


def _usual() -> Path:
    path = ControlConfig().socket
    assert path is not None
    return path


def ask(path: Path, timeout_s: float, /, **request: str) -> dict[str, Any]:
    """A daemon's answer, if it is one that it was done. Refused with its sentence otherwise; RuntimeFailure if no
    daemon answers within ``timeout_s`` seconds, with what to look at."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            _connect(connection, path, timeout_s)
            connection.settimeout(timeout_s)
            connection.sendall(json.dumps(request).encode() + b"\n")
            with _saying_that_it_waits(path, timeout_s):
                answer = json.loads(_line(connection))
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        other = "; one that has another socket: name its configuration (-c FILE) or the socket (--socket PATH)"
        raise RuntimeFailure(
            f"{path}: no daemon listens there: is it running (systemctl status mlu-agent)?"
            f"{other if path == _usual() else ''}"
        ) from None
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


@contextlib.contextmanager
def _saying_that_it_waits(path: Path, timeout_s: float) -> Iterator[None]:
    """A daemon that loads a model takes its time, and so does one that hangs: who waits is told until when."""
    until = time.strftime("%H:%M:%S", time.localtime(time.time() + timeout_s))

    def say() -> None:
        with contextlib.suppress(OSError, ValueError):  # nobody reads it
            print(
                f"mlu-agent: {printable(str(path))}: no answer yet; waiting until {until}", file=sys.stderr, flush=True
            )

    timer = threading.Timer(SAID_AFTER_S, say)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


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
