"""Work for the tests of shards, in a module of its own: other processes import it by name."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from mlu_agent.errors import DataError


def double(shard):
    """One result for each item, a negative one is bad data, and what a worker may do otherwise."""
    for item in shard:
        if item == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if item == "leave":
            os._exit(7)
        if item == "bug":
            raise ZeroDivisionError("a bug")
        if isinstance(item, Path):  # a promise to be at work
            item.write_text(str(os.getpid()))
            time.sleep(600)
        if item < 0:
            raise DataError(f"{item} is negative")
        yield 2 * item


class Counter:
    """State that stays with its worker."""

    def __init__(self, start, shard):
        self.values = [start + item for item in shard]

    def add(self, number):
        self.values = [value + number for value in self.values]
        return ()

    def tell(self):
        yield from self.values
