"""Which addresses detections may be published on."""

from __future__ import annotations

import ipaddress
import re

from .fields import show

LOOPBACK = "ipc:///path/of/a.sock or tcp://127.0.0.1:PORT"


def endpoint_problem(endpoint: str, insecure: bool) -> str:
    """Why one must not publish on ``endpoint``, with the remedy; "" if one may."""
    if endpoint.startswith("ipc://"):
        length = len(endpoint[6:].encode())
        return "" if 1 <= length <= 107 else f"{show(endpoint)}: an ipc path has 1 to 107 bytes; write {LOOPBACK}"
    match = re.fullmatch(r"tcp://(\*|\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(\*|\d{1,5})", endpoint)
    if not match or (match[2] != "*" and not 1 <= int(match[2]) <= 65535):
        return f"{show(endpoint)} is no endpoint; write {LOOPBACK}"
    if not insecure and not is_local_endpoint(endpoint):
        return (
            f"{show(endpoint)} can be read from other machines, without a key; "
            "write tcp://127.0.0.1:PORT, or insecure = true if everybody on that network may see the detections"
        )
    return ""


def is_local_endpoint(endpoint: str) -> bool:
    """Whether only this machine reaches ``endpoint``: ipc, or tcp on a loopback address."""
    if endpoint.startswith(("ipc://", "inproc://")):
        return True
    host = endpoint[6:].rpartition(":")[0].strip("[]")
    try:
        return endpoint.startswith("tcp://") and (host == "localhost" or ipaddress.ip_address(host).is_loopback)
    except ValueError:
        return False
