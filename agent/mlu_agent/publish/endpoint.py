"""The place where subscribers connect: the listening socket, whether it is free, a socket file that was left behind."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from pathlib import Path
from typing import Any

from ..config.files import may_pass, path_failure, path_problem
from ..errors import UserError, passing

BACKLOG = 100
FIELD = "publish.endpoint"  # what sentences call it


class EndpointInUse(UserError):
    """Another process has the endpoint: who starts a second daemon by hand wants to be told, a box waits."""


def is_socket_file(endpoint: str) -> bool:
    """Whether the endpoint is a file: a leading @ names a socket in the abstract namespace instead."""
    return endpoint.startswith("ipc://") and not endpoint.startswith("ipc://@")


def listening_socket(endpoint: str) -> socket.socket:
    """A socket bound to the endpoint, listening. UserError if it cannot be."""
    try:
        return _bound(endpoint)
    except OSError as error:
        raise _unbound(endpoint, error) from None


def _unbound(endpoint: str, error: OSError) -> UserError:
    """Why an endpoint cannot be bound; what else has it may end, and an address may come with its network."""
    kind = EndpointInUse if in_use(error) else UserError
    failure = kind(
        f"publish.endpoint: {endpoint} cannot be bound ({error.strerror}): choose another or end what uses it"
    )
    comes = error.errno in (errno.EADDRINUSE, errno.EADDRNOTAVAIL) or isinstance(error, socket.gaierror)
    failure.passes = comes or may_pass(error)
    return failure


def in_use(error: OSError) -> bool:
    """Whether the address is taken, rather than none of this machine's."""
    return error.errno == errno.EADDRINUSE


def _bound(endpoint: str) -> socket.socket:
    family, address = _address(endpoint)
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        if family != socket.AF_UNIX:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        made.bind(address)
        made.listen(BACKLOG)
    except BaseException:
        made.close()
        raise
    return made


def _address(endpoint: str) -> tuple[socket.AddressFamily, Any]:
    if endpoint.startswith("ipc://"):
        path = endpoint[len("ipc://") :]
        return socket.AF_UNIX, "\0" + path[1:] if path.startswith("@") else path
    host, _, port = endpoint[len("tcp://") :].rpartition(":")
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    bare = {"*": "0.0.0.0"}.get(host, host.strip("[]"))
    number = 0 if port == "*" else int(port)
    return family, socket.getaddrinfo(bare, number, family, socket.SOCK_STREAM)[0][4]


def told(listener: socket.socket, endpoint: str) -> str:
    """The endpoint as subscribers may write it, with the port that the system has chosen."""
    if endpoint.startswith("ipc://"):
        return endpoint
    host, port = listener.getsockname()[:2]
    return f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"


def clear_stale_socket(path: Path, log: Any, field: str = FIELD) -> None:
    """Removes a socket file that nobody listens on. UserError if somebody does, or if it is another kind of file.

    Nor is a path ever taken away from a running process. ``field``: which option names it.
    """
    problem = path_problem(path.parent)
    if problem:
        unreachable = UserError(
            f"{field}: the folder {path.parent}: {problem} (RuntimeDirectory= in the unit makes it)"
        )
        unreachable.passes = may_pass(path_failure(path.parent))
        raise unreachable
    listening = listens(path, field)
    if listening:
        raise passing(
            EndpointInUse(f"{field}: another process already listens on {path}: end it or choose another path")
        )
    if listening is not None:
        path.unlink()
        log.info("removed a stale socket", path=str(path))


def listens(path: Path, field: str = FIELD) -> bool | None:
    """Whether somebody listens on the socket file, None if there is none. UserError if it is another kind of file."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"{field}: {path} cannot be reached: {error.strerror}") from None
    if not stat.S_ISSOCK(mode):
        raise UserError(f"{field}: {path} exists and is not a socket: remove it or choose another path")
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return False
        except (BlockingIOError, socket.timeout):  # too many ask it just now
            return True
        except OSError as error:
            raise UserError(f"{field}: {path} cannot be checked: {error.strerror}") from None
    return True


def endpoint_in_use(endpoint: str) -> bool:
    """Whether another process has the endpoint now. UserError if nobody could bind it, whoever runs.

    An address is tried by binding it for a moment, a socket file by connecting: binding would take it away.
    """
    if is_socket_file(endpoint):
        return bool(listens(Path(endpoint[6:])))
    try:
        _bound(endpoint).close()
    except OSError as error:
        if in_use(error):
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
