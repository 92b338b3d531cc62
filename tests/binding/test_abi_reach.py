"""Every function of the declaration list can be called from Python, and does what it does from C."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from mlu_agent.cnrt import _abi

HEADER = Path(__file__).resolve().parents[2] / "native" / "include" / "cnrt_abi.h"


def declared() -> list[str]:
    """Names of the functions of the declaration list."""
    text = re.sub(r"/\*.*?\*/", "", HEADER.read_text(encoding="utf-8"), flags=re.DOTALL)
    return re.findall(r"\b(cnrt\w+)\s*\([^;{]*\)\s*;", text)


@pytest.fixture(scope="module")
def lib(simulator_path: Path):
    """The simulator as cffi sees it."""
    return _abi.ffi.dlopen(str(simulator_path))


def test_every_function_is_found(lib: Any):
    """The list has all of CNRT 4.2 to 4.10, and each name is in the library and in the binding module."""
    names = declared()
    assert len(names) >= 180
    assert [name for name in names if not hasattr(lib, name)] == []


def test_descriptors_and_kernel_parameters_work_through_the_binding(lib: Any):
    """Arrays of handles, visible structs and structs by value pass as the header declares them."""
    ffi = _abi.ffi
    array, dims, rank = ffi.new("cnrtParamDescArray_t *"), ffi.new("int **"), ffi.new("int *")
    assert lib.cnrtCreateParamDescArray(array, 2) == 0
    assert lib.cnrtSetShapeToParamDesc(array[0][1], ffi.new("int[3]", [2, 3, 4]), 3) == 0
    assert lib.cnrtGetShapeFromParamDesc(array[0][1], dims, rank) == 0
    assert ffi.unpack(dims[0], rank[0]) == [2, 3, 4]
    assert lib.cnrtReleaseInternalResource(dims[0]) == 0
    assert lib.cnrtDestroyParamDescArray(array[0], 2) == 0
    params, word = ffi.new("cnrtKernelParamsBuffer_t *"), ffi.new("uint64_t *", 7)
    assert lib.cnrtGetKernelParamsBuffer(params) == 0
    assert lib.cnrtKernelParamsBufferAddParam(params[0], word, 8) == 0
    assert (params[0].cur_param, ffi.cast("uint64_t *", params[0].host_ptr)[0]) == (1, 7)
    dim = ffi.new("cnrtDim3_t *", {"x": 1, "y": 1, "z": 0})
    code = lib.cnrtInvokeKernel_V2(word, dim[0], params[0], 4, ffi.NULL)
    assert (code, b"1, 1, 0" in ffi.string(lib.cnrtSimulatorLastMessage())) == (632007, True)
    assert lib.cnrtDestroyKernelParamsBuffer(params[0]) == 0
