"""CNRT_SIMULATOR_KERNELS picks the table of kernels, in a process of its own each time."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.models import small_bundle

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import sys
from mlu_agent.cnrt import open_library
from mlu_agent.engine import Engine
with Engine(open_library("simulator"), sys.argv[1]) as engine:
    slot = engine.acquire()
    slot.inputs[0][:] = 100
    engine.submit(slot)
    sys.stdout.write(engine.collect().outputs[0].tobytes().hex())
"""


@pytest.fixture
def invoke(simulator_path: Path, tmp_path: Path):
    """One invocation under a value of the variable."""
    model = small_bundle(tmp_path)

    def run(value: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "MLU_AGENT_SIMULATOR": str(simulator_path), "CNRT_SIMULATOR_KERNELS": value}
        command = [sys.executable, "-c", PROGRAM, str(model)]
        return subprocess.run(command, capture_output=True, text=True, env=env, timeout=60, check=False)

    return run


def test_a_table_is_taken_by_name_and_said(invoke):
    """It is for tests, so nobody uses it without a word; the outputs are those of the fastest table."""
    fastest, reference = invoke(""), invoke("reference")
    assert fastest.stderr == ""
    assert reference.stderr == 'cnrt simulator: kernels "reference" as CNRT_SIMULATOR_KERNELS says\n'
    assert fastest.stdout == reference.stdout != ""


def test_a_table_that_this_machine_lacks_is_refused(invoke):
    """The sentence names the variable, its value and what there is."""
    done = invoke("quick")
    assert done.returncode != 0
    assert 'CNRT_SIMULATOR_KERNELS is "quick", this machine has ' in done.stderr
    assert "reference." in done.stderr
