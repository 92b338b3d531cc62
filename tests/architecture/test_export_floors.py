"""The floors of mlu_export: rooms in one order, one door for each dependency, torch only where it is needed."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import pytest
from tests.architecture.test_floors import ROOT, STANDARD, _agent_room, _files, _imports, _room

if TYPE_CHECKING:
    from pathlib import Path

EXPORT = ROOT / "deploy" / "mlu_export"
# Low first. A room imports from rooms before it, at the top, late and for types alike.
ROOMS = (
    "support", "values", "lowering", "formats", "runners", "shards", "calibration", "learning", "quantizer",
    "recording", "importers", "measurement", "report", "workflows", "torch_mlu", "commands", "cli",
)  # fmt: skip
ANYWHERE = {"mlu_export", "mlu_agent", "numpy"}
# A dependency's doors: files, or folders with all that is in them.
DOORS: dict[str, set[str]] = {
    "cryptography": {"formats/keys"},
    "onnx": {"importers/onnx/file"},
    "pycocotools": {"measurement/annotations", "measurement/matching"},
    "ray": {"shards/ray_cluster"},
    "torch": {
        "support/torch_needed",
        "formats/checkpoint",
        "workflows/convert",
        "runners/exact",
        "quantizer",
        "torch_mlu",
    },
    "torch_mlu": {"quantizer/driver"},  # the vendor's, in the interpreter of its SDK
    "tqdm": {"support/progress"},
}
OF_THE_AGENT = {
    "detections", "geometry", "preprocess", "postprocess", "draw", "model", "detector",  # its vision
    "cnrt", "engine", "config", "command_line", "entry", "errors",
    "sources",  # its reader of picture files
}  # fmt: skip
# About torch modules, or computing in torch: they import it at their top. Everywhere else it is imported late.
TORCH = {"quantizer", "torch_mlu", "runners/exact"}


def _behind(path: Path, doors: set[str]) -> bool:
    """Whether a file is one of those doors, or in a folder that is one."""
    place = path.relative_to(EXPORT).with_suffix("")
    return any(door in doors for door in (place.as_posix(), *(parent.as_posix() for parent in place.parents)))


def _name(path: Path) -> str:
    parts = ["mlu_export", *path.relative_to(EXPORT).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {_name(path): path for path in _files(EXPORT)}
PATHS = pytest.mark.parametrize("path", MODULES.values(), ids=lambda path: str(path.relative_to(EXPORT)))


def test_every_room_has_a_floor():
    """A room that is not in the plan of the house is entered there first, and one that is gone leaves it."""
    assert {_room(path, EXPORT) for path in _files(EXPORT)} - {"__init__"} == set(ROOMS)


def test_at_most_five_files_lie_loose():
    """What has a concept has a room; beside the rooms lie the package itself and its command line."""
    assert len(list(EXPORT.glob("*.py"))) <= 5


@PATHS
def test_imports_go_down_only(path: Path):
    """No module imports from a room above its own; the version, which the package itself holds, is everybody's."""
    floor = ROOMS.index(_room(path, EXPORT)) if path != EXPORT / "__init__.py" else -1
    wrong = []
    for line, name in _imports(path, EXPORT):
        top, room, *_ = [*name.split("."), ""]
        if top == "mlu_export" and room != "__version__" and (room not in ROOMS or ROOMS.index(room) > floor):
            wrong.append(f"{path.name}:{line} imports {name}")
    assert wrong == []


@PATHS
def test_each_dependency_enters_by_its_door(path: Path):
    """numpy and the agent anywhere, the others in their rooms alone."""
    wrong = []
    for line, name in _imports(path, EXPORT):
        top = name.split(".")[0]
        if top not in STANDARD | ANYWHERE and not _behind(path, DOORS.get(top, set())):
            wrong.append(f"{path.name}:{line} imports {top}")
    assert wrong == []


def test_no_door_is_left_over():
    """A door that nobody uses is walled up."""
    users: dict[str, list[Path]] = {}
    for path in _files(EXPORT):
        for _, name in _imports(path, EXPORT):
            users.setdefault(name.split(".")[0], []).append(path)
    left = {
        (top, door)
        for top, doors in DOORS.items()
        for door in doors
        if not any(_behind(path, {door}) for path in users.get(top, []))
    }
    assert left == set()


def test_the_build_tool_uses_only_the_agents_vision_and_runtime():
    """mlu_export sees the pixels and boxes that the box sees, reads its files by the same rules and has the same frame
    of a command line; it knows none of the daemon.
    """
    used = {}
    for path in _files(EXPORT):
        for line, name in _imports(path, EXPORT):
            if (room := _agent_room(name)) is not None:
                used[room] = f"{path.name}:{line} imports {name}"
    assert {room: where for room, where in used.items() if room not in OF_THE_AGENT} == {}
    assert OF_THE_AGENT <= used.keys()


def _top_imports(path: Path) -> set[str]:
    """Dotted names that importing a file of mlu_export imports at once."""
    module = ["mlu_export", *path.relative_to(EXPORT).with_suffix("").parts]
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            stem = ".".join([*(module[: len(module) - node.level] if node.level else []), node.module or ""]).strip(".")
            names |= {stem, *(f"{stem}.{alias.name}" for alias in node.names)}
    return names


def test_torch_is_imported_late():
    """``mlu-export build --recipe`` works without torch, so no module outside the rooms that are about torch modules
    imports it at its top, be it through another module.
    """
    imports = {name: _top_imports(path) for name, path in MODULES.items()}
    reached = {"torch"}
    while grown := {name for name, used in imports.items() if name not in reached and used & reached}:
        reached |= grown
    assert {name for name in reached - {"torch"} if not _behind(MODULES[name], TORCH)} == set()


def test_a_wrong_import_would_be_noticed():
    """The tests above see imports of every kind: torch at a top, late ones, those of a whole module."""
    assert "torch" in _top_imports(EXPORT / "quantizer" / "modules.py")
    assert "torch" not in _top_imports(EXPORT / "support" / "torch_needed.py")
