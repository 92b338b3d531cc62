"""Nothing goes round in a circle: neither rooms nor modules; neither headers nor folders of C."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from tests.architecture.test_client import CLIENT
from tests.architecture.test_export_floors import EXPORT
from tests.architecture.test_floors import AGENT, SIM, _circle, _files, _imports, _room

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

PACKAGES = pytest.mark.parametrize("package", [CLIENT, AGENT, EXPORT], ids=lambda package: package.name)


def _module(path: Path, package: Path) -> str:
    parts = [package.name, *path.relative_to(package).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _modules_used(path: Path, package: Path, modules: Collection[str]) -> set[str]:
    """The modules that a file imports, wherever: of ``a.b`` the module a.b, or a where b is in it."""
    names = {name for _, name in _imports(path, package)}
    return {name if name in modules else name.rpartition(".")[0] for name in names} & set(modules)


@PACKAGES
def test_no_circle_of_rooms(package: Path):
    """Rooms import each other one way only, at run time, late and for types alike."""
    graph: dict[str, set[str]] = {}
    rooms = {_room(path, package) for path in _files(package)} - {"__init__"}
    for path in _files(package):
        room = _room(path, package)
        names = [name.split(".") for _, name in _imports(path, package)]
        used = {parts[1] for parts in names if parts[0] == package.name and len(parts) > 1 and parts[1] in rooms}
        graph.setdefault(room, set()).update(used - {room})
    assert _circle(graph) == []


@PACKAGES
def test_no_circle_of_modules(package: Path):
    """Within a room too: following imports, late ones and those for types among them, never leads back to where one
    came from.
    """
    modules = {_module(path, package): path for path in _files(package)}
    graph = {name: _modules_used(path, package, modules.keys()) - {name} for name, path in modules.items()}
    assert _circle(graph) == []


def _includes(path: Path) -> set[Path]:
    """Files of the simulator that a file includes: beside it, or from native/sim or one of its floors."""
    homes = (path.parent, SIM, *(SIM / floor for floor in ("exec", "kernels")))
    names = re.findall(r'^\s*#\s*include\s+"([^"]+)"', path.read_text(encoding="utf-8"), re.MULTILINE)
    found = (next((home / name for home in homes if (home / name).is_file()), None) for name in names)
    return {target.resolve() for target in found if target is not None}


def test_no_circle_of_c_headers_or_folders():
    """A header can be read from below, and so can a folder of the simulator, with all that is in it."""
    headers: dict[str, set[str]] = {}
    folders: dict[str, set[str]] = {}
    for path in (path for ending in ("*.c", "*.h", "*.inc") for path in SIM.rglob(ending)):
        targets = _includes(path)
        if path.suffix == ".h":
            headers[str(path)] = {str(target) for target in targets}
        folder = path.parent.relative_to(SIM).parts[0]
        folders.setdefault(folder, set()).update({target.relative_to(SIM).parts[0] for target in targets} - {folder})
    assert len(headers) > 20
    assert folders["api"] >= {"core"}, "the reader of includes is blind"
    assert _circle(headers) == []
    assert _circle(folders) == []


def test_a_circle_would_be_noticed():
    """The readers see late imports, those of a whole module and a circle, so the tests above cannot pass by
    blindness.
    """
    modules = {_module(path, EXPORT) for path in _files(EXPORT)}
    assert "mlu_export.torch_mlu.modules" in _modules_used(EXPORT / "torch_mlu" / "run.py", EXPORT, modules)
    assert "mlu_export.recording.values" in _modules_used(EXPORT / "recording" / "to_graph.py", EXPORT, modules)
    assert set(_circle({"a": {"b"}, "b": {"a"}})) == {"a", "b"}
