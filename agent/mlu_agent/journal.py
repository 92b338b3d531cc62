"""The service manager's journal as an output: whether a descriptor leads into it, and how a line says its weight."""

from __future__ import annotations

import os

PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2, "exception": 3}  # of syslog(3)


def is_journal(descriptor: int) -> bool:
    """Whether what is written there goes to the journal: systemd says in JOURNAL_STREAM which file that is, and it is
    another one where somebody took the output elsewhere (systemd.exec(5))."""
    try:
        status = os.fstat(descriptor)
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM", "") == f"{status.st_dev}:{status.st_ino}"


def weighed(text: str, level: str) -> str:
    """``text`` with the priority of ``level`` before each of its lines, as the journal reads it (sd-daemon(3))."""
    mark = f"<{PRIORITIES[level]}>"
    return "".join(f"{mark}{line}" for line in text.splitlines(keepends=True))
