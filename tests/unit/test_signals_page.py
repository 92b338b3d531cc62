"""Every signal has a meaning that is written: the table of docs/service.md is what the program does."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING

import pytest

from mlu_agent.daemon import signals

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

ALIASES = {"CLD": "CHLD", "IOT": "ABRT", "IO": "POLL"}
NOBODYS = {"KILL", "STOP"}  # no program decides on them
OLD = {"STKFLT"}  # of coprocessors: no kernel sends it


@pytest.fixture
def table(root: Path) -> dict[str, str]:
    """What each signal does, by its name without SIG."""
    page = (root / "docs" / "service.md").read_text(encoding="utf-8")
    found: dict[str, str] = {}
    for line in page.partition("## Signals")[2].partition("## Exit codes")[0].splitlines():
        names, _, does = line.strip("| ").partition(" | ")
        if line.startswith("| ") and names != "signal":
            found.update(dict.fromkeys(re.findall(r"[A-Z][A-Z0-9]+", names), does))
            found.update(dict.fromkeys(re.findall(r"\b([A-Z]{3,}[0-9]?)\b(?=[^.]*: the system's meaning)", does), does))
    return found


def names(numbers: Collection[int]) -> set[str]:
    """Of those that have one."""
    told = {one.name[3:] for one in signal.Signals if one in numbers and one < signal.SIGRTMIN}
    return {ALIASES.get(name, name) for name in told} - OLD


def test_every_signal_is_in_the_table(table: dict[str, str]):
    """Those of the real-time kind have a word of their own in it."""
    assert names(signal.valid_signals()) - table.keys() == NOBODYS
    assert {"TERM", "HUP", "USR1", "QUIT"} <= table.keys()


def test_what_the_table_says_is_what_the_program_does(table: dict[str, str]):
    """Ends, harmless ones, faults, and those that are only said."""
    said = {name for name, does in table.items() if does == "said and ignored"}
    handled = set(signal.valid_signals()) - signals.KEPT - set(signals.STOPS)
    assert said == names(handled) - {"HUP", "USR1"}
    assert names(signals.STOPS) == {name for name, does in table.items() if does.startswith("a clean end")}
    assert names(signals.HARMLESS) | {"XFSZ"} == {name for name, does in table.items() if does == "nothing"}
