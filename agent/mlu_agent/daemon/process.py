"""What the process lends the daemon that stands above it: its log's door, and where its configuration came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable

if TYPE_CHECKING:
    from pathlib import Path

    from ..config import LogConfig


@dataclass(frozen=True)
class Process:
    """``flush()``: called when the process is about to be ended although it hangs: what was logged shall be seen.

    ``set_level(level)`` changes what is logged from now on, ``set_log(config)`` how as well; ``log_lost()``: lines that
    were lost so far.
    ``config``: the file that the configuration was read from; None: from none.
    """

    flush: Callable[[], object] = lambda: None
    set_level: Callable[[str], None] = lambda _level: None
    set_log: Callable[[LogConfig], None] = lambda _log: None
    log_lost: Callable[[], int] = lambda: 0
    config: Path | None = None
