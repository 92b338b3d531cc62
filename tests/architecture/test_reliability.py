"""The table of docs/reliability.md: what it promises is what the code has and what tests hold."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.mutation.changes import CHANGES

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "docs" / "reliability.md"
NOTHING = "-"
MUTATED = ("agent/", "native/")  # where a changed constant is looked for among the mutations; a unit's line is not
# How a line begins that gives a constant its value, by the kind of file.
STARTS = {
    ".py": r"\s*{name}(: [\w .|\[\],]+)? = ",
    ".toml": r"{name} = ",
    ".service": r"{name}=",
    ".c": r"\s*(#define |static const \w+ )?{name}( = | )",
    ".h": r"\s*(#define |static const \w+ )?{name}( = | )",
}
FIELD = re.compile(r"^    \w+: \w+ = ")  # of a configuration: the documented file holds its default


class Row(NamedTuple):
    """One promise of the table, its cells."""

    promise: str
    bound: str
    constants: list[str]
    tests: list[str]
    measured: str


class Constant(NamedTuple):
    """``file: NAME = value`` as the table has it."""

    file: str
    name: str
    value: str


def rows(text: str) -> list[Row]:
    """The rows of the table; every cell but the figure must say something."""
    found = []
    for line in text.splitlines():
        if line.startswith("| ") and not line.startswith("| Promise"):
            cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
            assert len(cells) == 5, f"{len(cells)} cells, expected 5: {line}"
            assert all(cells), f"an empty cell: {line}"
            lists = [re.findall(r"`([^`]+)`", cell) for cell in cells[2:4]]
            found.append(Row(cells[0], cells[1], lists[0], lists[1], cells[4]))
    return found


def constant(text: str) -> Constant:
    """Takes ``file: NAME = value`` apart."""
    match = re.fullmatch(r"([\w./-]+): (\w+) ?= ?(.+)", text)
    assert match, f"{text!r} is not `file: NAME = value`"
    return Constant(*match.groups())


def lines_of(held: Constant, text: str) -> list[str]:
    """The lines that give the constant a value."""
    start = re.compile(STARTS[Path(held.file).suffix].format(name=held.name))
    return [line for line in text.splitlines() if start.match(line)]


def problem(held: Constant, text: str) -> str:
    """What is wrong with a constant of the table, given its file's text; nothing: the empty string."""
    lines = lines_of(held, text)
    if len(lines) != 1:
        return f"{held.file} gives {held.name} a value {len(lines)} times, expected once"
    start = STARTS[Path(held.file).suffix].format(name=held.name)
    if not re.fullmatch(rf"{start}{re.escape(held.value)}[;,]?\s*((#|//|/\*).*)?", lines[0]):
        return f"{held.file} says {lines[0].strip()!r}, the table {held.name} = {held.value}"
    return ""


def is_mutated(held: Constant, text: str) -> bool:
    """Whether a mutation changes the line; a field of the configuration is held by the documented file instead."""
    (line,) = lines_of(held, text)
    changed = [change for change in CHANGES if held.file.startswith(change.folder)]
    return bool(FIELD.match(line)) or any(re.search(rf"\b{held.name}\b", change.old) for change in changed)


ROWS = rows(TABLE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("row", ROWS, ids=[row.promise[:40] for row in ROWS])
def test_every_promise_has_tests_that_exist(row: Row):
    """``path::name``, or ``ctest name`` of the C tests."""
    assert row.tests, "a promise without a test"
    for named in row.tests:
        if named.startswith("ctest "):
            assert named[6:] in "".join(path.read_text() for path in (ROOT / "tests" / "native").glob("*.c*"))
            continue
        path, _, name = named.partition("::")
        assert re.search(rf"^def {name}\(", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE), named


@pytest.mark.parametrize("row", ROWS, ids=[row.promise[:40] for row in ROWS])
def test_every_bound_is_what_the_code_has(row: Row):
    """A constant that is loosened in the code fails here, and so does one that is loosened in the table alone."""
    for held in map(constant, row.constants):
        text = (ROOT / held.file).read_text(encoding="utf-8")
        assert problem(held, text) == ""
        assert not held.file.startswith(MUTATED) or is_mutated(held, text), (
            f"no change of tests/mutation/changes.py moves {held.name}"
        )


def test_a_figure_comes_with_its_command():
    """Whoever doubts a figure can measure it again."""
    assert [row.promise for row in ROWS if row.measured != NOTHING and "`" not in row.measured] == []


def test_a_loosened_bound_would_be_noticed():
    """The test of the test: in the forms that constants have."""
    held = Constant("a.py", "CALM_S", "60.0")
    for good in ("CALM_S = 60.0", "CALM_S = 60.0  # why", "    CALM_S: float = 60.0", "CALM_S: Final = 60.0"):
        assert problem(held, good) == ""
    for bad in ("CALM_S = 60.01", "CALM_S = 6.0", "CALM_S: float = 600.0", "", "CALM_S = 60.0\nCALM_S = 60.0"):
        assert problem(held, bad) != ""
    assert problem(Constant("a.h", "MOST", "8"), "#define MOST 8 /* why */") == ""
    assert problem(Constant("a.h", "MOST", "8"), "#define MOST 80") != ""
    assert problem(Constant("a.service", "RestartSec", "2"), "RestartSec=2") == ""
    assert problem(Constant("a.service", "RestartSec", "2"), "RestartSec=20") != ""
    assert len(ROWS) >= 10
