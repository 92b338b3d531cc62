"""The house of docs/architecture.md, checked on the syntax trees: imports go down, and each dependency has one door."""

from __future__ import annotations

import ast
import graphlib
import re
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[2]
AGENT = ROOT / "agent" / "mlu_agent"
SIM = ROOT / "native" / "sim"

# A room is a folder of mlu_agent, or a file beside them. One of a higher floor may import those of lower floors, at run
# time and for types alike, and none of its own floor unless listed in MAY_SHARE.
FLOORS: dict[str, int] = {
    "errors": 0, "entry": 0, "latency": 0, "journal": 0, "version": 0,
    "frame": 1, "detections": 1, "classes": 1, "tensors": 1, "geometry": 1, "ledger": 1,
    "config": 2, "command_line": 2,
    "model": 3, "installation": 3,
    "adopt": 4, "preprocess": 4, "postprocess": 4, "draw": 4, "ffmpeg": 4, "cnrt": 4,
    "sources": 5, "publish": 5, "client": 5, "annotated": 5,
    "engine": 6,
    "detector": 7, "daemon": 7,
    "doctor": 8, "commands": 8, "cli": 8, "logs": 8,
}  # fmt: skip
# Neighbours on one floor that may know each other; everything else on a floor is independent.
MAY_SHARE = {("commands", "logs"), ("commands", "doctor")}


def _standard_modules() -> set[str]:
    """The standard library's top names; sys.stdlib_module_names would do from Python 3.10 on."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    entries = [*folder.iterdir(), *(folder / "lib-dynload").glob("*.so")]
    return {entry.name.split(".")[0] for entry in entries} | set(sys.builtin_module_names)


STANDARD = _standard_modules() | {"tomllib"}  # imported where Python is new enough to have it
ANYWHERE = {"mlu_agent", "numpy"}
DOORS: dict[str, set[str]] = {
    "cffi": {"cnrt"},  # the generated declarations import its C part alone, the next line
    "_cffi_backend": {"cnrt"},
    "zmq": {"publish"},
    "mlu_client": {"errors", "client", "command_line", "logs", "publish", "daemon", "commands"},
    "av": {"ffmpeg"},
    "cv2": {"sources", "preprocess", "draw", "postprocess"},
    "structlog": {"logs"},
    "cryptography": {"model"},  # an extra
    "prometheus_client": {"daemon"},  # likewise
    "tomli": {"config"},
}
C_FLOORS = {"api": 3, "core": 2, "exec": 1, "kernels": 0}


def _room(path: Path, package: Path) -> str:
    """The room a file is in: its module, or its first folder."""
    return path.relative_to(package).parts[0].removesuffix(".py")


def _imports(path: Path, package: Path) -> list[tuple[int, str]]:
    """Every import of a file as (line, absolute dotted name), wherever it stands; ``from a import b`` counts as a.b."""
    module = [package.name, *path.relative_to(package).with_suffix("").parts]
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(module[: len(module) - node.level]) if node.level else ""
            stem = ".".join(part for part in (base, node.module) if part)
            found += [(node.lineno, f"{stem}.{alias.name}") for alias in node.names]
    return found


def _files(package: Path) -> list[Path]:
    return sorted(package.rglob("*.py"))


def _circle(graph: Mapping[str, set[str]]) -> list[str]:
    """One circle of the graph, its first node twice; empty if there is none."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def _agent_room(name: str) -> str | None:
    parts = name.split(".")
    return parts[1] if parts[0] == "mlu_agent" and len(parts) > 1 else None


def test_every_module_has_a_floor():
    """A module that is not in the plan of the house has no right to be imported: it is entered there first."""
    rooms = {_room(path, AGENT) for path in _files(AGENT)} - {"__init__", "__main__", "_native"}
    assert rooms - FLOORS.keys() == set()


@pytest.mark.parametrize("path", _files(AGENT), ids=lambda path: str(path.relative_to(AGENT)))
def test_imports_go_down_only(path: Path):
    """No module imports one of a higher floor, nor a neighbour that it is not said to share with."""
    room = _room(path, AGENT)
    wrong = []
    for line, name in _imports(path, AGENT):
        target = _agent_room(name)
        if target is None or target == room or target not in FLOORS or room not in FLOORS:
            continue
        if FLOORS[target] > FLOORS[room] or (FLOORS[target] == FLOORS[room] and (room, target) not in MAY_SHARE):
            wrong.append(f"{path.name}:{line} imports {name}: floor {FLOORS[room]} -> {FLOORS[target]}")
    assert wrong == []


@pytest.mark.parametrize("path", _files(AGENT), ids=lambda path: str(path.relative_to(AGENT)))
def test_each_dependency_enters_by_its_door(path: Path):
    """cffi, zmq, cv2, structlog, tomli and the client are imported only in their rooms, and nothing else anywhere."""
    room = _room(path, AGENT)
    wrong = []
    for line, name in _imports(path, AGENT):
        top = name.split(".")[0]
        if top in STANDARD | ANYWHERE:
            continue
        if room not in DOORS.get(top, set()):
            wrong.append(f"{path.name}:{line} imports {top}, whose door is {sorted(DOORS.get(top, {'nowhere'}))}")
    assert wrong == []


def test_no_permit_is_left_over():
    """What neighbours may share and which doors there are is what they use: a permit nobody uses is withdrawn."""
    shared, doors = set(), set()
    for path in _files(AGENT):
        room = _room(path, AGENT)
        for _, name in _imports(path, AGENT):
            doors.add((name.split(".")[0], room))
            target = _agent_room(name)
            if target != room and FLOORS.get(target, -1) == FLOORS.get(room, -2):
                shared.add((room, target))
    assert MAY_SHARE - shared == set()
    assert {(top, room) for top, rooms in DOORS.items() for room in rooms} - doors <= {("cffi", "cnrt")}


def test_the_device_layer_and_the_vision_layer_never_meet():
    """cnrt moves bytes, preprocess and postprocess move boxes: neither imports the other, not even late."""
    vision, device = {"preprocess", "postprocess", "draw"}, {"cnrt"}
    for path in _files(AGENT):
        room = _room(path, AGENT)
        targets = {_agent_room(name) for _, name in _imports(path, AGENT)}
        assert room not in vision or not targets & device, path
        assert room not in device or not targets & vision, path


def test_the_agent_never_knows_the_build_tool_nor_torch():
    """mlu_export may import the agent, never the reverse; torch never reaches the box."""
    tops = {name.split(".")[0] for path in _files(AGENT) for _, name in _imports(path, AGENT)}
    assert not tops & {"mlu_export", "torch"}


@pytest.mark.parametrize("path", sorted(SIM.rglob("*.[ch]")), ids=lambda path: str(path.relative_to(SIM)))
def test_c_includes_go_down_only(path: Path):
    """In C: api -> core -> exec -> kernels; a kernel knows nothing of models, the executor nothing of devices."""
    floor = C_FLOORS[path.relative_to(SIM).parts[0]]
    for line in path.read_text(encoding="utf-8").splitlines():
        match = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
        if match is None:
            continue
        parts = [part for part in match.group(1).split("/") if part not in {"..", "."}]
        if parts[0] in C_FLOORS:
            assert C_FLOORS[parts[0]] <= floor, f"{path.name} includes {match.group(1)}"


def test_the_walls_would_be_noticed(tmp_path: Path):
    """The reader of imports sees late, relative and aliased imports, so the tests above cannot pass by blindness."""
    package = tmp_path / "mlu_agent"
    (package / "cnrt").mkdir(parents=True)
    module = package / "cnrt" / "device.py"
    module.write_text(
        "def f():\n    from ..daemon.pipeline import Pipeline as P\n    import cv2 as c\nfrom .status import check\n"
    )
    names = {name for _, name in _imports(module, package)}
    assert names == {"mlu_agent.daemon.pipeline.Pipeline", "cv2", "mlu_agent.cnrt.status.check"}
