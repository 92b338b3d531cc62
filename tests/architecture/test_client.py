"""The floors and doors of mlu_client: it stands below the agent and knows nothing of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.architecture.test_floors import ROOT, STANDARD, _files, _imports

if TYPE_CHECKING:
    from pathlib import Path

CLIENT = ROOT / "agent" / "client" / "mlu_client"
# A module imports from lower floors only.
FLOORS = {"errors": 0, "text": 0, "codec": 1, "table": 2, "values": 2, "reading": 3, "subscriber": 4, "convert": 4}
DOORS = {"zmq": {"subscriber"}, "msgpack": {"codec"}, "numpy": {"convert"}}  # numpy: late, tests/client sees to it


def test_every_module_has_a_floor_and_every_door_is_used():
    """And the package itself imports nothing."""
    assert {path.stem for path in _files(CLIENT)} == {*FLOORS, "__init__"}
    assert _imports(CLIENT / "__init__.py", CLIENT) == []
    doors = {(name.split(".")[0], path.stem) for path in _files(CLIENT) for _, name in _imports(path, CLIENT)}
    assert {(top, room) for top, rooms in DOORS.items() for room in rooms} <= doors


@pytest.mark.parametrize("path", _files(CLIENT), ids=lambda path: path.name)
def test_imports_go_down_and_out_by_their_doors(path: Path):
    """The standard library anywhere, ZeroMQ, msgpack and numpy by one door each, and nothing of the agent."""
    wrong = []
    for line, name in _imports(path, CLIENT):
        top, *rest = name.split(".")
        if top == "mlu_client":
            right = FLOORS[rest[0]] < FLOORS[path.stem]
        else:
            right = top in STANDARD or path.stem in DOORS.get(top, set())
        if not right:
            wrong.append(f"{path.name}:{line} imports {name}")
    assert wrong == []
