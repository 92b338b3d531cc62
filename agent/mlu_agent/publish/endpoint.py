"""The place where a ZeroMQ socket is bound: whether it is free, and a socket file that was left behind."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from pathlib import Path
from typing import Any

import zmq

from ..config.files import may_pass, path_failure, path_problem
from ..errors import UserError, passing


class EndpointInUse(UserError):
    """Another process has the endpoint: who starts a second daemon by hand wants to be told, a box waits."""


def is_socket_file(endpoint: str) -> bool:
    """Whether the endpoint is a file: a leading @ names a socket in the abstract namespace instead."""
    return endpoint.startswith("ipc://") and not endpoint.startswith("ipc://@")


def clear_stale_socket(path: Path, log: Any) -> None:
    """Removes a socket file that nobody listens on. UserError if somebody does, or if it is another kind of file.

    ZeroMQ itself would take the path away from a running publisher without a word.
    """
    problem = path_problem(path.parent)
    if problem:
        unreachable = UserError(
            f"publish.endpoint: the folder {path.parent}: {problem} (RuntimeDirectory= in the unit makes it)"
        )
        unreachable.passes = may_pass(path_failure(path.parent))
        raise unreachable
    listening = listens(path)
    if listening:
        raise passing(
            EndpointInUse(f"publish.endpoint: another process already listens on {path}: end it or choose another path")
        )
    if listening is not None:
        path.unlink()
        log.info("removed a stale socket", path=str(path))


def listens(path: Path) -> bool | None:
    """Whether somebody listens on the socket file, None if there is none. UserError if it is another kind of file."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"publish.endpoint: {path} cannot be reached: {error.strerror}") from None
    if not stat.S_ISSOCK(mode):
        raise UserError(f"publish.endpoint: {path} exists and is not a socket: remove it or choose another path")
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return False
        except OSError as error:
            raise UserError(f"publish.endpoint: {path} cannot be checked: {error.strerror}") from None
    return True


def endpoint_in_use(endpoint: str) -> bool:
    """Whether another process has the endpoint now. UserError if nobody could bind it, whoever runs.

    An address is tried by binding it for a moment, a socket file by connecting: binding would take it away.
    """
    if is_socket_file(endpoint):
        return bool(listens(Path(endpoint[6:])))
    with zmq.Context() as context, context.socket(zmq.XPUB) as trial:
        trial.setsockopt(zmq.LINGER, 0)
        trial.setsockopt(zmq.IPV6, 1 if "[" in endpoint else 0)
        try:
            trial.bind(endpoint)
        except zmq.ZMQError as error:
            if error.errno == zmq.EADDRINUSE:
                return True
            raise UserError(
                f"publish.endpoint: {endpoint} cannot be bound ({error.strerror}): choose an address of this machine"
            ) from None
    return False


def endpoint_note(endpoint: str) -> str:
    """What is not as it will have to be at the start, but no mistake: the unit makes the folder at each start, so it
    need not be there yet, and the daemon itself may be what uses the endpoint."""
    if is_socket_file(endpoint):
        path = Path(endpoint[len("ipc://") :])
        if not path.parent.is_dir():
            return f"{path.parent} is no folder yet; make it, unless the unit does (RuntimeDirectory=)"
        if os.access(path, os.F_OK) and not os.access(path, os.W_OK):
            return f"{path} belongs to another user: whether it is in use could not be tried"
    if endpoint_in_use(endpoint):
        return f"{endpoint} is in use now; fine if that is this daemon, else end it or choose another endpoint"
    return ""
