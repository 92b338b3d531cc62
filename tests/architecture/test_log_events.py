"""The daemon's log is an interface: docs/log.md has every event with its fields, and no other."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
AGENT = ROOT / "agent" / "mlu_agent"
ROOMS = ("daemon", "engine", "publish", "sources", "commands/run.py")  # whose log is the service's
LEVELS = {"debug", "info", "warning", "error", "critical", "exception"}
BY_NAME = {"log", "say", "tell"}  # functions that stand for one of the log's
OF_THE_LOG = "log lines were lost"  # which logs.py writes itself


def _events(tree: ast.AST) -> Iterator[tuple[str, set[str], int]]:
    """Every line that is logged: its event, its fields, where it stands. Of a sum of texts the first counts."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        function, event = node.func, node.args[0]
        if isinstance(function, ast.Attribute):
            logs = (function.attr in LEVELS and "log" in ast.unparse(function.value)) or function.attr == "_tell"
        else:
            logs = isinstance(function, ast.Name) and function.id in BY_NAME
        event = event.left if isinstance(event, ast.BinOp) else event
        if logs and isinstance(event, ast.Constant) and isinstance(event.value, str):
            yield event.value.removesuffix(": "), {one.arg for one in node.keywords if one.arg}, node.lineno


def _logged() -> Iterator[tuple[str, set[str], str]]:
    for room in ROOMS:
        folder = AGENT / room
        for path in [folder] if folder.is_file() else sorted(folder.rglob("*.py")):
            for event, fields, line in _events(ast.parse(path.read_text(encoding="utf-8"))):
                yield event, fields, f"{path.relative_to(AGENT)}:{line}"


def _documented() -> dict[str, set[str]]:
    lines = (ROOT / "docs" / "log.md").read_text(encoding="utf-8").splitlines()
    rows = [line.strip("|").split("|") for line in lines if line.startswith("| `")]
    return {event.strip(" `"): set(re.findall(r"`(\w+)`", fields)) for event, _, fields, _ in rows}


def test_every_event_of_the_log_stands_in_its_document_with_its_fields():
    """Whoever adds a line to the log, or a field to one, adds it to the table in docs/log.md."""
    documented = _documented()
    missing = [f"{place}: {event}" for event, _, place in _logged() if event not in documented]
    assert missing == []
    fields = [
        f"{place}: {event}: {sorted(fields - documented[event])}"
        for event, fields, place in _logged()
        if not fields <= documented[event]
    ]
    assert fields == []


def test_the_document_has_no_event_that_nobody_logs():
    """An event that is gone is taken out."""
    assert set(_documented()) - {event for event, _, _ in _logged()} - {OF_THE_LOG} == set()
    assert OF_THE_LOG in (AGENT / "logs.py").read_text(encoding="utf-8")


def test_a_line_would_be_seen_however_it_is_logged():
    """By a logger of any name, by a function chosen before, as a sum of texts; nothing else is taken for one."""
    lines = ('self._log.warning("a", b=1)', 'log("c", **more)', 'log.info("d: " + REASON)', 'f("e")', 're.error("g")')
    found = [(event, fields) for event, fields, _ in _events(ast.parse("\n".join(lines)))]
    assert found == [("a", {"b"}), ("c", set()), ("d", set())]
