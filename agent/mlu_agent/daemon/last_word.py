"""Work of a process that is about to be ended: it gets so much time, and whether it works changes nothing."""

from __future__ import annotations

import contextlib
import threading
from typing import Callable


def say(work: Callable[[], object], seconds: float) -> None:
    """Does ``work``, in a thread that is left behind after ``seconds``: it writes a line, say, and whoever reads that
    may be the very reason for the end. Never raises: without memory there is no thread either."""

    def quietly() -> None:
        with contextlib.suppress(Exception):
            work()

    with contextlib.suppress(RuntimeError, MemoryError):
        thread = threading.Thread(target=quietly, daemon=True)
        thread.start()
        thread.join(seconds)
