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


# What Linux has granted the process (arch_prctl, ARCH_GET_XCOMP_PERM), bit 18: the state of AMX's tiles.
GRANTED = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def granted():
    mask = ctypes.c_uint64()
    assert libc.syscall(158, 0x1022, ctypes.byref(mask)) == 0
    return bool(mask.value >> 18 & 1)
"""
# A stack for signals as programs have that know nothing of AMX: 8 KiB.
SMALL_STACK = """
class Stack(ctypes.Structure):
    _fields_ = [("sp", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]
memory = ctypes.create_string_buffer(8192)
def small_stack():
    return libc.sigaltstack(ctypes.byref(Stack(ctypes.addressof(memory), 0, 8192)), None) == 0
"""


@pytest.fixture
def run_program(simulator_path: Path, tmp_path: Path):
    """A program around PROGRAM in a process of its own: its lines on stdout."""
    model = small_bundle(tmp_path)

    def run(before: str, after: str, **variables: str) -> list[str]:
        env = {**os.environ, "MLU_AGENT_SIMULATOR": str(simulator_path), **variables}
        command = [sys.executable, "-c", before + PROGRAM + after, str(model)]
        done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    return run


@pytest.mark.amx
def test_tiles_are_asked_for_when_a_model_needs_them(run_program):
    """Loading the library asks for nothing, nor does a model whose kernels another table gives."""
    loaded = GRANTED + "from mlu_agent.cnrt import open_library\nopen_library('simulator')\nprint(granted())"
    say = "\nprint()\nprint(granted())"
    assert run_program(loaded, say)[0] == "False"
    assert run_program(GRANTED, say)[-1] == "True"
    assert run_program(GRANTED, say, CNRT_SIMULATOR_KERNELS="avx2")[-1] == "False"


@pytest.mark.amx
def test_a_small_stack_for_signals_takes_the_next_table(run_program):
    """Linux refuses tiles to a process of which a thread has such a stack; the outputs stay the same, and the stack."""
    say = "\nprint()\nprint(granted())"
    plain = run_program(GRANTED, say)
    small = run_program(GRANTED + SMALL_STACK + "assert small_stack()\n", say)
    assert (plain[-1], small[-1]) == ("True", "False")
    assert plain[0] == small[0]


@pytest.mark.amx
def test_small_stacks_for_signals_are_refused_once_tiles_are_granted(run_program):
    """What docs/architecture.md warns of, and what it names as the way out."""
    say = "\nprint()\nprint(small_stack())"
    assert run_program(GRANTED + SMALL_STACK, say)[-1] == "False"
    assert run_program(GRANTED + SMALL_STACK, say, CNRT_SIMULATOR_KERNELS="avx512vnni")[-1] == "True"


def test_faulthandler_works_before_and_after(run_program):
    """Python's stack for signals is large enough whichever comes first, and a fault is told with its traceback."""
    plain = run_program("", "")
    before = run_program("import faulthandler\nfaulthandler.enable()\n", "")
    after = run_program("import faulthandler\n", "\nfaulthandler.enable()\nfaulthandler.dump_traceback(sys.stdout)")
    assert plain[0] == before[0]
    assert plain[0] in after[0]
