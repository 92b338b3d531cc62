"""CNRT_SIMULATOR_LOG: a program that looks at no code is told of each failing call. A process of its own each time."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import ctypes, sys, threading
cnrt = ctypes.CDLL(sys.argv[1])
pointer, size, byref = ctypes.c_void_p, ctypes.c_size_t, ctypes.byref
cnrt.cnrtMemcpy.argtypes = [pointer, pointer, size, ctypes.c_int]
cnrt.cnrtMemsetD8Async.argtypes = [pointer, ctypes.c_uint8, size, pointer]
cnrt.cnrtFree.argtypes = cnrt.cnrtSyncQueue.argtypes = [pointer]
host = ctypes.create_string_buffer(4096)
memory, queue = pointer(), pointer()
def copies(number, *sizes):
    for _ in range(number):
        for bytes in sizes:
            cnrt.cnrtMemcpy(memory, host, bytes, 0)
cnrt.cnrtMalloc(byref(memory), size(16))
cnrt.cnrtInit(0)
cnrt.cnrtMalloc(byref(memory), size(16))
cnrt.cnrtCreateQueue(byref(queue))
"""


@pytest.fixture
def said(simulator_path: Path):
    """What stderr says when these lines run under a value of the variable."""

    def run(lines: str, value: str | None = "1", **environment: str) -> list[str]:
        env = {**os.environ, **environment, **({} if value is None else {"CNRT_SIMULATOR_LOG": value})}
        command = [sys.executable, "-c", PROGRAM + lines, str(simulator_path)]
        done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stderr.splitlines()

    return run


def test_each_failing_call_is_told_with_code_and_sentence(said):
    """Function, name and number of the code, the sentence; of another thread its number, too. Success is silent."""
    lines = said("copies(1, 4, 17)\nt = threading.Thread(target=copies, args=(1, 18))\nt.start()\nt.join()")
    assert len(lines) == 3
    assert re.fullmatch(r"cnrt simulator: cnrtMalloc failed with CNRT_RET_ERR_INIT \(632024\): .*cnrtInit.*", lines[0])
    assert re.fullmatch(
        r"cnrt simulator: cnrtMemcpy failed with CNRT_RET_ERR_MEMCPY \(632036\): The copy of 17 bytes .*", lines[1]
    )
    assert re.match(r"cnrt simulator: thread \d+: cnrtMemcpy failed with \S+ \(632036\): The copy of 18", lines[2])


def test_a_failure_in_a_queue_is_told_when_it_happens(said, tmp_path: Path):
    """By the call that gave the work, and once more by the sync that returns it; a fault's sentence like any other."""
    faults = tmp_path / "faults.toml"
    faults.write_text('[[fault]]\nfunction = "cnrtMemsetD8Async"\nat = "queue"\ncode = "CNRT_RET_ERR_QUEUE"\nnth = 1\n')
    lines = said(
        "cnrt.cnrtMemsetD8Async(memory, 1, 16, queue)\ncnrt.cnrtSyncQueue(queue)\ncnrt.cnrtSyncQueue(queue)",
        CNRT_SIMULATOR_FAULTS=str(faults),
    )
    told = [line.partition(" failed ")[::2] for line in lines if " failed with " in line or " in its queue " in line][
        1:
    ]
    assert [(who.split()[-1], what.partition(" (")[0]) for who, what in told] == [
        ("cnrtMemsetD8Async", "in its queue with CNRT_RET_ERR_QUEUE"),
        ("cnrtSyncQueue", "with CNRT_RET_ERR_QUEUE"),
    ]


def test_repeats_are_counted(said):
    """The same sentence again is told at the 10th, 100th ... time, and at the end how often in all."""
    lines = said("copies(123, 17)")[1:]
    more = "cnrt simulator: cnrtMemcpy with CNRT_RET_ERR_MEMCPY: {} times more{}"
    assert lines[1:] == [more.format(10, " so far"), more.format(100, " so far"), more.format(122, "")]


def test_a_failure_that_is_another_each_time_is_bounded(said):
    """After sixteen different sentences of one function and code the rest is counted; others are still told."""
    lines = said("copies(1, *range(17, 1017))\ncnrt.cnrtFree(host)")[1:]
    assert sum("failed with" in line for line in lines) == 16 + 1
    assert lines[-1].endswith("cnrtMemcpy with CNRT_RET_ERR_MEMCPY: 984 times more")
    assert len(lines) == 16 + 2 + 1 + 1  # 10 and 100 so far, cnrtFree, the end


def test_kinds_of_failures_for_which_there_is_no_room_are_counted(said, tmp_path: Path):
    """A log has 256 of function and code; how many failures were further ones' is told at the end."""
    functions = ["SyncDevice", "GetDeviceFlag", "SetDeviceFlag", "GetStackMem", "SetStackMem", "GetLocalMem", "Memset"]
    codes = [code for code in range(632007, 632046) if code != 632014]
    kinds = [(f"cnrt{function}", code) for function in functions for code in codes][:255]
    faults = tmp_path / "faults.toml"
    faults.write_text(
        "".join(
            f'[[fault]]\nfunction = "{function}"\nnth = {codes.index(code) + 1}\ncode = {code}\n'
            for function, code in kinds
        )
    )
    calls = "".join(f"cnrt.{function}(None)\n" for function, _ in kinds)
    lines = said(f"{calls}copies(3, 17)", CNRT_SIMULATOR_FAULTS=str(faults))
    assert sum(" failed with " in line for line in lines) == 256  # cnrtMalloc's before cnrtInit is the first
    assert not any("cnrtMemcpy" in line for line in lines)
    assert lines[-1] == "cnrt simulator: 3 failures of further kinds"


def test_helpers_without_a_device_have_their_names(said):
    """Not that of the call before."""
    assert (
        "cnrtCreateQuantizedParam failed with"
        in said("cnrt.cnrtCreateQuantizedParam(None, 0, ctypes.c_float(1), 0)")[-1]
    )


def test_a_file_takes_the_log(said, tmp_path: Path):
    """It grows; one that cannot be written is said, and stderr takes its place. Unset and 0 log nothing."""
    path = tmp_path / "failures.log"
    for _ in range(2):
        assert said("copies(1, 17)", str(path)) == []
    assert len(path.read_text().splitlines()) == 4
    assert said("copies(1, 17)", str(tmp_path / "none" / "file"))[0].endswith(
        "cannot be written, failures are told here"
    )
    assert said("copies(1, 17)", None) == said("copies(1, 17)", "0") == []


def test_each_function_is_called_by_its_own_name(said):
    """Also the later versions, and those that do their work with what another one does."""
    lines = said(
        "cnrt.cnrtFreeArray((pointer * 1)(4711), 1)\n"
        "cnrt.cnrtFilterReshape(None, None, 1, 1, 1, 1, 1)\n"
        "cnrt.cnrtLoadModelFromMem_V2(None, None, 0)\n"
        "cnrt.cnrtInvokeRuntimeContext_V3(None, None, None, None, None)\n"
        "cnrt.cnrtInvokeRuntimeContext_V2(None, None, None, None, None)\n"
    )
    assert [line.split(" failed with ")[0].split()[-1] for line in lines[1:]] == [
        "cnrtFreeArray",
        "cnrtFilterReshape",
        "cnrtLoadModelFromMem_V2",
        "cnrtInvokeRuntimeContext_V3",
        "cnrtInvokeRuntimeContext_V2",
    ]


def test_a_forked_child_does_not_tell_the_repeats_of_its_parent(said):
    """They are told once, and the child ends though another thread held the log when it was made."""
    lines = said(
        "import os\n"
        "copies(5, 17)\n"
        "busy = threading.Thread(target=copies, args=(200_000, 17))\n"
        "busy.start()\n"
        "for _ in range(20):\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        ctypes.CDLL(None).exit(0)\n"
        "    os.waitpid(child, 0)\n"
        "busy.join()\n"
    )
    assert [line for line in lines if "times more" in line and "so far" not in line] == [
        "cnrt simulator: cnrtMemcpy with CNRT_RET_ERR_MEMCPY: 200004 times more"
    ]
