"""CNRT_SIMULATOR_PROFILE=file.json: layers, queues and copies over time, in a process of its own each time."""

from __future__ import annotations

import collections
import json
import os
import random
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.models import small_bundle
from tests.native.codes import FLOAT16
from tests.native.make_model import Layers, Model

PROFILES = Path(__file__).resolve().parents[2] / "native" / "sim" / "profiles"
PROGRAM = """
import sys
from mlu_agent.cnrt import open_library
from mlu_agent.engine import Engine
with Engine(open_library("simulator"), sys.argv[2]) as engine:
    for _ in range(int(sys.argv[1])):
        engine.submit(engine.acquire())
        if sys.argv[3:]:
            engine.submit(engine.acquire())
            engine.release(engine.collect())
        engine.release(engine.collect())
"""
COPIES = """
import ctypes, sys
cnrt = ctypes.CDLL(sys.argv[1])
memory = ctypes.c_void_p()
host = ctypes.create_string_buffer(16)
cnrt.cnrtMemcpy.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
cnrt.cnrtInit(0)
cnrt.cnrtMalloc(ctypes.byref(memory), ctypes.c_size_t(16))
for _ in range(int(sys.argv[2])):
    cnrt.cnrtMemcpy(memory, host, 16, 0)
"""


MODELS = """
import sys
from mlu_agent.cnrt import open_library
from mlu_agent.engine import Engine
for path in sys.argv[1:]:
    with Engine(open_library("simulator"), path) as engine:
        engine.submit(engine.acquire())
        engine.release(engine.collect())
"""
TWO_DEVICES = """
import ctypes, sys
cnrt = ctypes.CDLL(sys.argv[1])
memory, device = ctypes.c_void_p(), ctypes.c_uint64()
host = ctypes.create_string_buffer(16)
cnrt.cnrtMemcpy.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
cnrt.cnrtInit(0)
for ordinal in 1, 0:
    cnrt.cnrtGetDeviceHandle(ctypes.byref(device), ordinal)
    cnrt.cnrtSetCurrentDevice(device)
    if ordinal == 1:
        cnrt.cnrtMalloc(ctypes.byref(memory), ctypes.c_size_t(16))
cnrt.cnrtMemcpy(memory, host, 16, 0)
cnrt.cnrtMemcpy(host, memory, 16, 2)
"""
FORK = f"""{COPIES}
import os
child = os.fork()
if child == 0:
    ctypes.CDLL(None).exit(0)
os.waitpid(child, 0)
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector of three convolutions."""
    return small_bundle(tmp_path_factory.mktemp("small"))


@pytest.fixture
def run(simulator_path: Path):
    """Runs a program with a trace in that file; what stderr said."""

    def runner(trace: Path, program: str, *arguments: object, **environment: str) -> str:
        known = {"MLU_AGENT_SIMULATOR": str(simulator_path), "CNRT_SIMULATOR_PROFILE": str(trace)}
        command = [sys.executable, "-c", program, *map(str, arguments)]
        env = {**os.environ, **known, **environment}
        done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return done.stderr

    return runner


def _events(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text(encoding="ascii"))["traceEvents"]


def _rows(events: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The slices of each named row in the order in which they begin, longer ones first; each row has a name."""
    names = {(e["pid"], e["tid"]): e["args"]["name"] for e in events if e["name"] == "thread_name"}
    rows = collections.defaultdict(list)
    for event in sorted((e for e in events if e["ph"] == "X"), key=lambda e: (e["ts"], -e["dur"])):
        rows[names[event["pid"], event["tid"]]].append(event)
    return rows


def _assert_nested(row: list[dict[str, Any]]) -> None:
    """Slices of one row lie in each other or apart, never across."""
    open_until: list[float] = []
    for event in row:
        while open_until and open_until[-1] <= event["ts"] + 5e-4:
            open_until.pop()
        end = event["ts"] + event["dur"]
        assert not open_until or end <= open_until[-1] + 1e-3, event
        open_until.append(end)


def test_each_layer_of_each_invocation_is_a_slice_on_its_core(run, small: Path, tmp_path: Path):
    """Inside the invocation's, with what the layer is; the device is the process, the core the thread."""
    assert run(tmp_path / "t.json", PROGRAM, 3, small) == ""
    events = _events(tmp_path / "t.json")
    assert {e["args"]["name"] for e in events if e["name"] == "process_name"} == {"MLU220-SIMULATOR, device 0"}
    rows = _rows(events)
    for row in rows.values():
        _assert_nested(row)
    on_cores = [event for name, row in rows.items() if name.startswith("core ") for event in row]
    assert [event["cat"] for event in on_cores].count("invocation") == 3
    layers = [event for event in on_cores if event["cat"] != "invocation"]
    assert len(layers) % 3 == 0
    assert [event["name"] for event in layers[:2]] == ["conv0", "pool"]
    assert layers[0]["cat"] == "conv"
    args = layers[0]["args"]
    assert (len(args["input"]), len(args["output"]), args["input_type"]) == (4, 4, "uint8")
    assert args["algorithm"]
    assert args["bytes"] > 0 < args["multiplications"]
    assert "estimate_ns" not in args
    assert [path.name for path in tmp_path.iterdir()] == ["t.json"]


def test_queues_and_copies_have_rows_of_their_own(run, small: Path, tmp_path: Path):
    """By the function that was called; copies say their bytes, and an invocation lies in its queue's slice."""
    run(tmp_path / "t.json", PROGRAM, 2, small)
    rows = _rows(_events(tmp_path / "t.json"))
    queued = [event for name, row in rows.items() if name.startswith("queue ") for event in row]
    assert {"cnrtInvokeRuntimeContext", "cnrtPlaceNotifier"} <= {event["name"] for event in queued}
    copies = [event for name, row in rows.items() if name.startswith("host thread ") for event in row]
    assert {event["name"] for event in copies} == {"cnrtMemcpy"}
    assert all(event["args"]["bytes"] > 0 for event in copies)
    outer = [e for e in queued if e["name"] == "cnrtInvokeRuntimeContext"]
    for inner in (e for name, row in rows.items() if name.startswith("core ") for e in row if e["cat"] == "invocation"):
        assert any(o["ts"] <= inner["ts"] and inner["ts"] + inner["dur"] <= o["ts"] + o["dur"] + 1e-3 for o in outer)


def test_invocations_side_by_side_share_no_core(run, small: Path, tmp_path: Path):
    """Two at once are on two cores, and nothing of a core overlaps."""
    text = (PROFILES / "mlu220.toml").read_text(encoding="utf-8").replace("pace = false", "pace = true")
    slow = tmp_path / "slow.toml"  # a step holds its core for 30 ms, so that the second invocation finds the first
    slow.write_text(re.sub(r"launch_us = [\d.]+", "launch_us = 30000.0", text), encoding="utf-8")
    run(tmp_path / "t.json", PROGRAM, 3, small, "two", CNRT_SIMULATOR_TIMING=str(slow))
    rows = _rows(_events(tmp_path / "t.json"))
    for row in rows.values():
        _assert_nested(row)
    cores = {name: [e for e in row if e["cat"] == "invocation"] for name, row in rows.items()}
    assert sum(map(len, cores.values())) == 6
    assert {name for name, row in cores.items() if row} == {"core 0", "core 1"}
    first, second = cores["core 0"], cores["core 1"]
    assert any(a["ts"] < b["ts"] + b["dur"] and b["ts"] < a["ts"] + a["dur"] for a in first for b in second)


def test_a_layer_of_several_cores_is_a_slice_on_each(run, tmp_path: Path):
    """At the same time, whatever the host computed it on."""
    run(tmp_path / "t.json", PROGRAM, 1, small_bundle(tmp_path, parallelism=4))
    rows = _rows(_events(tmp_path / "t.json"))
    cores = [[(e["name"], e["ts"], e["dur"]) for e in rows[f"core {n}"]] for n in range(4)]
    assert [name for name, _, _ in cores[0]][1:] == ["conv0", "pool", "conv1", "head"]
    assert cores == cores[:1] * 4


def test_with_estimated_times_each_layer_tells_its_estimate(run, small: Path, tmp_path: Path):
    """The slices stay where the host computed: an estimate says nothing of when a core is free."""
    run(tmp_path / "t.json", PROGRAM, 1, small, CNRT_SIMULATOR_TIMING="mlu220")
    layers = [event for event in _events(tmp_path / "t.json") if event.get("cat") == "conv"]
    assert layers
    assert all(event["args"]["estimate_ns"] > 0 for event in layers)


def test_a_trace_is_bounded_and_says_what_is_not_in_it(run, simulator_path: Path, tmp_path: Path):
    """200,000 slices; the file tells how many came later, stderr too."""
    said = run(tmp_path / "t.json", COPIES, simulator_path, 200_007)
    with (tmp_path / "t.json").open() as file:
        head = file.readline()
        slices = sum('"ph": "X"' in line for line in file)
    assert re.search(r'"left_out": 7\b', head)
    assert slices == 200_000
    assert "7 later events are not in it" in said


def test_a_trace_that_cannot_be_written_is_said(run, simulator_path: Path, tmp_path: Path):
    """With the file and the reason; the program goes on."""
    said = run(tmp_path / "none" / "t.json", COPIES, simulator_path, 1)
    assert re.search(r"the trace CNRT_SIMULATOR_PROFILE=\S+t\.json cannot be written: No such file", said)


def test_processes_with_one_file_leave_a_whole_trace(run, simulator_path: Path, tmp_path: Path):
    """Each writes under a name of its own: the last to end has it. What lies at such a name is not written through."""
    kept = tmp_path / "kept"
    kept.write_text("precious")
    (tmp_path / "t.json.new").symlink_to(kept)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: run(tmp_path / "t.json", COPIES, simulator_path, 40_000), range(3)))
    assert sum(event["ph"] == "X" for event in _events(tmp_path / "t.json")) == 40_000
    assert kept.read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "t.json", "t.json.new"]


def _tiny(folder: Path, number: int) -> Path:
    model = Model(f"tiny{number}")
    model.output(
        Layers(model, random.Random(0), FLOAT16).max_pool(model.input("in", (1, 4, 4, 4), FLOAT16), 2, 2, 0, 2, 2),
        "out",
    )
    path = folder / f"{number}.cambricon"
    path.write_bytes(model.build())
    return path


def _invocations(path: Path) -> int:
    return sum(event.get("cat") == "invocation" for event in _events(path))


def test_a_model_that_is_loaded_again_and_again_is_told_to_the_end(run, small: Path, tmp_path: Path):
    """It takes the room of one."""
    assert run(tmp_path / "t.json", MODELS, *[small] * 70) == ""
    assert _invocations(tmp_path / "t.json") == 70


def test_invocations_of_models_for_which_there_is_no_room_are_counted(run, tmp_path: Path):
    """A trace has 64 that differ; the file tells how many invocations were further ones', stderr too."""
    said = run(tmp_path / "t.json", MODELS, *(_tiny(tmp_path, number) for number in range(67)))
    assert _invocations(tmp_path / "t.json") == 64
    told = json.loads((tmp_path / "t.json").read_text(encoding="ascii"))["otherData"]
    assert told == {"left_out": 0, "invocations_of_further_models": 3}
    assert "no room for more than 64 models, 3 invocations of further ones are not in it" in said


def test_a_copy_is_told_under_the_device_of_its_memory(run, simulator_path: Path, tmp_path: Path):
    """Whichever the thread has selected."""
    run(tmp_path / "t.json", TWO_DEVICES, simulator_path, CNRT_SIMULATOR_DEVICES="2")
    assert [event["pid"] for event in _events(tmp_path / "t.json") if event["ph"] == "X"] == [2, 2]


def test_a_forked_child_says_nothing_of_its_parents_trace(run, simulator_path: Path, tmp_path: Path):
    """Neither writes it nor repeats that it is full."""
    said = run(tmp_path / "t.json", FORK, simulator_path, 200_003)
    assert said.count("3 later events are not in it") == 1


def test_a_trace_that_is_asked_for_too_late_is_said(run, small: Path, tmp_path: Path):
    """Its file is read with the first call, and a folder's name with each model."""
    later = "import os\n" + PROGRAM.replace(
        "    for _ in", f"    os.environ['CNRT_SIMULATOR_PROFILE'] = {str(tmp_path / 't.json')!r}\n    for _ in"
    )
    assert later.count("os.environ") == 1
    again = later + "\nwith Engine(open_library('simulator'), sys.argv[2]) as engine:\n    pass\n"
    said = run(tmp_path, again, 1, small, CNRT_SIMULATOR_PROFILE="0")
    assert "t.json is ignored, a trace must be asked for before the first call" in said
