"""The executor's walls: an operator is a line of operators.def, a file of exec/operators and its kernel."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from tests.architecture.test_floors import SIM, _circle

if TYPE_CHECKING:
    from pathlib import Path

EXEC = SIM / "exec"
SOURCES = sorted(EXEC.rglob("*.c"))
OPERATORS = re.findall(r"^SIM_OPERATOR\(\d+, (\w+), (\w+),", (EXEC / "operators.def").read_text(), re.MULTILINE)
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)
DEFINITION = re.compile(
    r"^(?!static|extern|typedef|#)\w[\w *]*?\b(sim_\w+|SIM_\w+)(?:\(| = )[^;]*?(?:^\{|\{)", re.MULTILINE
)


def _text(path: Path) -> str:
    """A C file without its comments."""
    return re.sub(r"/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)


def _name(path: Path) -> str:
    return str(path.relative_to(SIM))


def _found(name: str, path: Path) -> Path | None:
    """The file that an include means: beside the including one, or in a folder of the executor's or the kernels'."""
    places = [folder / name for folder in (path.parent, EXEC, SIM / "kernels")]
    return next((place.resolve() for place in places if place.exists()), None)


def _defined(path: Path) -> set[str]:
    """What a C file defines for others. A row is known to the table alone, by its name in operators.def."""
    return set(DEFINITION.findall(_text(path))) | set(re.findall(r"\bsim_row_\w+(?= = )", _text(path)))


def _calls() -> dict[str, set[str]]:
    """Which file of the executor uses what another one defines; the table's rows are written by a macro."""
    owner = {symbol: _name(path) for path in SOURCES for symbol in _defined(path)}
    graph = {}
    for path in SOURCES:
        used = set(re.findall(r"\b(?:sim|SIM)_\w+", _text(path)))
        if path.name == "operators.c":
            used |= {f"sim_row_{name}" for _, name in OPERATORS}
        graph[_name(path)] = {owner[symbol] for symbol in used if symbol in owner} - {_name(path)}
    return graph


@pytest.mark.parametrize("upper, lower", OPERATORS, ids=[lower for _, lower in OPERATORS])
def test_an_operator_is_named_in_one_file_beside_the_list(upper: str, lower: str):
    """Of the executor and the floors above, its own file alone knows its number and its row. The third file is its
    kernel, which knows neither: it computes and is called from there.
    """
    named = {path for path in SIM.rglob("*.[ch]") if re.search(rf"\b(SIM_OP_{upper}|sim_row_{lower})\b", _text(path))}
    assert [path.parent for path in named] == [EXEC / "operators"]


def _kernels() -> list[str]:
    """What is there for an operator alone, as its caller writes it: functions in a file of their own, or a table's."""
    files = (SIM / "kernels" / name for name in ("operators.c", "detection.c"))
    functions = {symbol for path in files for symbol in DEFINITION.findall(_text(path))}
    return sorted(functions | {"kernels->max_pool", "kernels->binary", "kernels->activate"})


@pytest.mark.parametrize("kernel", _kernels())
def test_a_kernel_is_called_from_one_file(kernel: str):
    """That of its operator: no fourth file knows what an operator computes."""
    above = [path for path in SIM.rglob("*.[ch]") if SIM / "kernels" not in path.parents]
    callers = {path for path in above if re.search(rf"{kernel}\b", _text(path))}
    assert [path.parent for path in callers] == [EXEC / "operators"]


def test_every_file_of_operators_is_there_for_an_operator():
    """It has a row, or lends a step to those that have."""
    rows = {path.name for path in EXEC.glob("operators/*.c") if re.search(r"sim_row_\w+ = ", _text(path))}
    assert {path.name for path in EXEC.glob("operators/*.c")} - rows == {"copy.c"}


@pytest.mark.parametrize("path", sorted(EXEC.glob("operators/*.[ch]")), ids=_name)
def test_operators_include_kernels_and_the_executor_alone(path: Path):
    """No file of core or api, and nothing that makes, follows or times a whole plan."""
    floors = {"kernels": SIM / "kernels", "exec": EXEC}
    for name in INCLUDE.findall(path.read_text(encoding="utf-8")):
        found = _found(name, path)
        assert found is not None, f"{path.name} includes {name}, which neither floor has"
        assert any(floor in found.parents for floor in floors.values())
        assert found.name not in {"operators.h", "profile.h", "team.h"}


def test_no_circle_of_calls():
    """Its files call one another in one direction only: a plan calls the operators through their table, and these what
    helps to make a step.
    """
    assert _circle(_calls()) == []


def test_the_walls_of_the_executor_would_be_noticed():
    """The reader of C sees who defines and who uses, so the tests above cannot pass by blindness."""
    calls = _calls()
    assert "exec/operators.c" in calls["exec/plan.c"]
    assert "exec/operators/conv.c" in calls["exec/operators.c"]
    assert {"exec/steps.c", "exec/operators/normalize.c"} <= calls["exec/operators/conv.c"]
    assert "exec/places.c" in calls["exec/steps.c"]
    assert "exec/checks.c" in calls["exec/plan.c"]
    assert len(OPERATORS) >= 25
    assert set(_circle({"a": {"b"}, "b": {"a"}})) == {"a", "b"}
