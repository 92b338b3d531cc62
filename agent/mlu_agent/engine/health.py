"""How a device is, for those who listen."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

OK, RECOVERING, SUSPECT, LOST = "ok", "recovering", "suspect", "lost"
_WORST_FIRST = (LOST, RECOVERING, SUSPECT, OK)


@dataclass(frozen=True)
class Health:
    """``state``: one of the above; ``reason``: the last fault in a sentence, "" if there was none; ``since_ns``: wall
    clock when the state began."""

    state: str = OK
    reason: str = ""
    since_ns: int = field(default_factory=time.time_ns)


def worst(healths: Iterable[Health]) -> Health:
    """Of several models' devices."""
    return min(healths, key=lambda health: _WORST_FIRST.index(health.state))
