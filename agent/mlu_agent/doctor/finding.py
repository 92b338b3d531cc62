"""A finding: what was looked at, what was found, and what to do. Judging makes them from facts; nothing here looks."""

from __future__ import annotations

import enum
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Verdict(str, enum.Enum):
    """How a finding is: ``NOTE`` is worth knowing and wants nothing, ``TROUBLE`` wants somebody to do something."""

    FINE = "fine"
    NOTE = "note"
    TROUBLE = "trouble"


@dataclass(frozen=True)
class Finding:
    """``area``: what was looked at. ``found``: a sentence. ``remedy``: what to do about it. ``code``: the trouble in a
    word for programs and for the table in ``docs/operate.md``; both are empty where nothing is wrong."""

    area: str
    verdict: Verdict
    found: str
    remedy: str = ""
    code: str = ""


def fine(area: str, found: str) -> Finding:
    """All is well."""
    return Finding(area, Verdict.FINE, found)


def note(area: str, found: str, remedy: str = "") -> Finding:
    """Worth knowing."""
    return Finding(area, Verdict.NOTE, found, remedy)


def trouble(area: str, code: str, found: str, remedy: str) -> Finding:
    """Something that somebody has to do something about."""
    return Finding(area, Verdict.TROUBLE, found, remedy, code)


def troubles(findings: Iterable[Finding]) -> list[Finding]:
    """Those that want something done."""
    return [one for one in findings if one.verdict is Verdict.TROUBLE]


def lines(findings: Iterable[Finding]) -> Iterator[str]:
    """For people: a line each, and one more where there is something to do."""
    for one in findings:
        yield f"{one.verdict.value:<8} {one.area:<18} {one.found}"
        if one.remedy:
            yield f"{'':<8} {'-> do' if one.code else '':<18} {one.remedy}"


def described(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """For programs."""
    return [
        {"area": one.area, "verdict": one.verdict.value, "code": one.code, "found": one.found, "remedy": one.remedy}
        for one in findings
    ]


def end(code: int, *, over: bool) -> int:
    """How a command ends that has told its findings; ``over``: whether every look came back. If not, a thread hangs in
    a driver or a disk, for which the interpreter's own end would wait."""
    if not over:
        sys.stdout.flush()
        os._exit(code)
    return code
