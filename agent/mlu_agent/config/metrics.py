"""The table [metrics] of the configuration: where figures for Prometheus are given out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .endpoints import is_local_endpoint
from .fields import show
from .values import MetricsConfig

if TYPE_CHECKING:
    from .fields import Fields

_LISTEN = r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(\d{1,5})"


def read_metrics(table: Fields) -> MetricsConfig:
    """The table; nothing is given out without it."""
    usual = MetricsConfig()
    metrics = MetricsConfig(
        listen=table.text("listen", usual.listen), insecure=table.boolean("insecure", usual.insecure)
    )
    reason = listen_problem(metrics.listen, metrics.insecure)
    if reason:
        table.problem("listen", reason)
    table.close()
    return metrics


def listen_problem(listen: str, insecure: bool) -> str:
    """Why figures must not be given out on ``listen``, with the remedy; "" if they may, or are not."""
    if not listen:
        return ""
    match = re.fullmatch(_LISTEN, listen)
    if not match or int(match[2]) > 65535:
        return f"{show(listen)} is no address; write 127.0.0.1:9464"
    if not insecure and not is_local_endpoint(f"tcp://{listen}"):
        return (
            f"{show(listen)} can be read from other machines, without a password; "
            "write 127.0.0.1:PORT, or insecure = true if everybody on that network may see the figures"
        )
    return ""


def split_listen(listen: str) -> tuple[str, int]:
    """Host, without brackets, and port of an address that has no problem."""
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)
