"""What holds for the tests: each says what it is for, skips are markers, every mutation has its place."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTS = Path(__file__).resolve().parents[1]
SKIPS = {"skip", "skipif", "importorskip", "xfail"}


def _files() -> list[Path]:
    return sorted(path for path in TESTS.rglob("*.py") if "__pycache__" not in path.parts)


def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _tests(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield node


def test_every_test_says_in_a_sentence_what_it_is_for():
    """Its docstring is a part of the specification, and ends with a full stop."""
    wrong = []
    for path in _files():
        name = path.relative_to(TESTS)
        if not path.name.startswith("test_"):
            continue
        tree = _parse(path)
        wrong += [] if ast.get_docstring(tree) else [str(name)]
        wrong += [f"{name}: {test.name}" for test in _tests(tree) if not _is_sentence(ast.get_docstring(test))]
    assert wrong == []


def _is_sentence(text: str | None) -> bool:
    return bool(text) and text.endswith((".", ".)"))


def test_tests_are_skipped_by_markers_alone():
    """Whether a need is there is looked up in one place: a skip is somebody's marker, never a swallowed error."""
    found = [
        f"{path.relative_to(TESTS)}:{node.lineno}"
        for path in _files()
        if path != TESTS / "conftest.py"
        for node in ast.walk(_parse(path))
        if isinstance(node, ast.Attribute) and node.attr in SKIPS
    ]
    assert found == []


def test_every_need_is_in_the_guide_for_contributors():
    """CONTRIBUTING.md lists each marker of pyproject.toml that says what a test needs."""
    settings = (TESTS.parent / "pyproject.toml").read_text(encoding="utf-8")
    markers = re.findall(r'^  "(\w+): needs ', settings, re.MULTILINE)
    guide = (TESTS.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert len(markers) > 10
    assert [name for name in markers if f"`{name}`" not in guide] == []


def test_tests_of_the_export_tool_lie_in_folders_like_its_rooms():
    """A test file is in the folder of the room that it is about."""
    rooms = {path.parent.name for path in (TESTS.parent / "deploy" / "mlu_export").glob("*/__init__.py")}
    found = {path.relative_to(TESTS / "deploy").parts[0] for path in (TESTS / "deploy").rglob("test_*.py")}
    assert found <= rooms


@pytest.mark.checkout
def test_every_mutation_has_its_place_and_its_tests(monkeypatch: pytest.MonkeyPatch):
    """Its text is found exactly once and its tests exist; that they fail is shown by tests/mutation/run.py."""
    monkeypatch.setattr(sys, "path", [str(TESTS / "mutation"), *sys.path])
    from changes import CHANGES, Change
    from run import LIBRARY, NATIVE, ROOT, Broken, find_tests, find_text

    def problem(change: Change) -> str:
        try:
            find_text(ROOT, change)
            for test in change.tests:
                _ = test.startswith(NATIVE) or find_tests(ROOT, test[len(LIBRARY) * test.startswith(LIBRARY) :])
        except Broken as reason:
            return f"{change.name}: {reason}"
        return ""

    assert [text for text in map(problem, CHANGES) if text] == []
    assert len({change.name for change in CHANGES}) == len(CHANGES) >= 25
