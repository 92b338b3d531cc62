"""CNRT_SIMULATOR_COMPUTE: outputs that are recorded once and given back without computing. A process for each case."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from tests.models import small_bundle

if TYPE_CHECKING:
    from pathlib import Path

HEAD = struct.Struct("<8s5Q")
PROGRAM = """
import hashlib, json, sys
from mlu_agent.cnrt import open_library
from mlu_agent.engine import Engine
library = open_library("simulator")
with Engine(library, sys.argv[1]) as engine:
    digests = []
    for value in sys.argv[2:]:
        slot = engine.acquire()
        slot.inputs[0][:] = int(value)
        engine.submit(slot)
        slot = engine.collect()
        digests.append(hashlib.sha256(slot.outputs[0].tobytes()).hexdigest()[:8])
        engine.release(slot)
print(json.dumps({"outputs": digests, "reason": library.reason}))
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A one-core detector; its outputs lie beside it."""
    return small_bundle(tmp_path)


@pytest.fixture
def invoke(model: Path, simulator_path: Path):
    """Invocations on grey pictures of these values."""

    def run(compute: str, *values: int) -> tuple[dict[str, Any], str]:
        env = {**os.environ, "MLU_AGENT_SIMULATOR": str(simulator_path), "CNRT_SIMULATOR_COMPUTE": compute}
        command = [sys.executable, "-c", PROGRAM, str(model), *map(str, values)]
        done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=60, check=False)
        return json.loads(done.stdout) if done.returncode == 0 else {}, done.stderr

    return run


def test_recorded_outputs_are_given_back_for_their_inputs(invoke, model: Path):
    """Each picture its own; one that was not recorded gets another's, always the same, and that is said once."""
    right = invoke("1", 10, 20, 30)[0]["outputs"]
    recorded, said = invoke("record", 20, 10, 10, 20)
    assert recorded["outputs"] == [right[1], right[0], right[0], right[1]]
    assert "outputs are being recorded" in recorded["reason"]
    assert f"2 outputs are in {model}.outputs" in said
    given, said = invoke("0", 10, 20, *range(30, 46), 30)
    assert given["outputs"][:2] == right[:2]
    assert set(given["outputs"][2:]) == set(right[:2])
    assert given["outputs"][2] == given["outputs"][-1]
    assert "nothing is computed, outputs are recorded ones" in given["reason"]
    assert said.count("inputs that were not recorded get some of the 2 outputs") == 1
    assert sorted(path.name for path in model.parent.iterdir() if "outputs" in path.name) == ["small.cambricon.outputs"]


def test_nothing_is_computed(invoke, model: Path):
    """What the file says is given, right or not: its bytes are the outputs."""
    invoke("record", 10)
    path = model.with_name("small.cambricon.outputs")
    (*_, bytes_, count) = HEAD.unpack_from(path.read_bytes())
    assert count == 1
    assert path.stat().st_size == HEAD.size + 8 + bytes_ + 8
    assert bytes_ == 16 * 16 * 18 * 2


def test_at_most_sixty_four_outputs_are_recorded(invoke, model: Path):
    """The rest is computed and not kept, which is said."""
    _, said = invoke("record", *range(70))
    assert "64 outputs are recorded for" in said
    assert said.count("more are not kept") == 1
    assert HEAD.unpack_from(model.with_name("small.cambricon.outputs").read_bytes())[-1] == 64


def test_without_recorded_outputs_the_model_is_refused(invoke):
    """With what to do."""
    answer, said = invoke("0", 1)
    assert answer == {}
    assert "cnrtInitRuntimeContext failed with UNSUPPORTED" in said
    assert "no recorded outputs:" in said
    assert "outputs cannot be opened: No such file or directory. Run once with CNRT_SIMULATOR_COMPUTE=record" in said


def test_without_recorded_outputs_one_call_fails_once(invoke, monkeypatch: pytest.MonkeyPatch):
    """The log has one line of it, of the call that the program made."""
    monkeypatch.setenv("CNRT_SIMULATOR_LOG", "1")
    _, said = invoke("0", 1)
    lines = [line for line in said.splitlines() if line.startswith("cnrt simulator") and "cannot be opened" in line]
    assert len(lines) == 1, said
    assert "cnrtInitRuntimeContext" in lines[0]


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda data: data[:-1], "Its sizes are not"),
        (lambda data: data[:20], "It is no file of recorded outputs"),
        (lambda data: b"X" + data[1:], "It is no file of recorded outputs"),
        (lambda data: data[:60] + bytes([data[60] ^ 1]) + data[61:], "Its digest is wrong"),
        (lambda data: data[:16] + bytes(8) + data[24:], "It was recorded from another model"),
        (lambda data: data[:40] + struct.pack("<Q", 2**61) + data[48:], "Its sizes are not"),
        (lambda data: data[:32] + struct.pack("<Q", 2**63) + data[40:], "Its sizes are not"),
    ],
    ids=["short", "head", "magic", "byte", "model", "count", "size"],
)
def test_a_file_that_is_not_the_models_is_refused(invoke, model: Path, change, words: str):
    """Sizes are compared before anything is used, and all of it has a digest."""
    invoke("record", 1)
    path = model.with_name("small.cambricon.outputs")
    path.write_bytes(change(path.read_bytes()))
    answer, said = invoke("0", 1)
    assert answer == {}
    assert words in said
    assert "record it again with CNRT_SIMULATOR_COMPUTE=record" in said


def test_a_folder_that_cannot_be_written_is_said(invoke, model: Path):
    """The invocations were right all the same."""
    model.with_name("small.cambricon.outputs").mkdir()
    answer, said = invoke("record", 1)
    assert len(answer["outputs"]) == 1
    assert "the outputs cannot be written to" in said
    assert [path.name for path in model.parent.glob("*.new")] == []


def test_another_value_is_said_and_computes(invoke):
    """As every value of the environment that cannot be used."""
    answer, said = invoke("perhaps", 1)
    assert len(answer["outputs"]) == 1
    assert "CNRT_SIMULATOR_COMPUTE=perhaps is ignored, it must be 1, record or 0" in said
