"""Programs that are built against the tree of ``mlu-agent simulator --neuware`` as public ones are, and run."""

from __future__ import annotations

import re
import shutil
import sys
from typing import TYPE_CHECKING

import pytest
from tests.programs import run_program

from mlu_agent.cli import main

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.cc

PROGRAM = """
#include <cnrt.h>
#include <stdio.h>
int main(void) {
    void *memory = NULL;
    unsigned version = 0, count = 0;
    CNRT_CHECK(cnrtInit(0));
    if (cnrtGetDeviceCount(&count) != CNRT_RET_SUCCESS || cnrtGetVersion(&version) != CNRT_RET_SUCCESS) return 1;
    if (cnrtMalloc(&memory, 4096) != CNRT_RET_SUCCESS || cnrtFree(memory) != CNRT_RET_SUCCESS) return 2;
    printf("%u devices, %u\\n", count, version);
    cnrtDestroy();
    return 0;
}
"""
PROJECT = """
cmake_minimum_required(VERSION 3.18)
project(trial C {languages})
list(APPEND CMAKE_MODULE_PATH "$ENV{{NEUWARE_HOME}}/cmake" "$ENV{{NEUWARE_HOME}}/cmake/modules")
find_package(CNRT 4.2 REQUIRED)
add_executable(by_variables main.c)
target_include_directories(by_variables PRIVATE ${{CNRT_INCLUDE_DIRS}})
target_link_libraries(by_variables ${{CNRT_LIBRARIES}})
find_package(cnrt 4.7 CONFIG REQUIRED)
add_executable(by_target {source})
target_link_libraries(by_target CNRT::cnrt)
find_library(CNDRV NAMES cndrv PATHS $ENV{{NEUWARE_HOME}}/lib64 NO_DEFAULT_PATH)
target_link_libraries(by_target ${{CNDRV}})
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A tree that was moved after it was made: nothing in it may know where that was."""
    main(["simulator", "--neuware", str(tmp_path / "elsewhere")])
    (tmp_path / "elsewhere").rename(tmp_path / "neuware")
    for name in ("main.c", "main.cc"):
        (tmp_path / name).write_text(PROGRAM)
    return tmp_path / "neuware"


def _version(home: Path) -> tuple[str, str]:
    """That of the headers, and what cnrtGetVersion makes of it."""
    text = "".join(path.read_text() for path in (home / "include").glob("*.h"))
    parts = [int(re.search(rf"#define CNRT_{part}_VERSION (\d+)", text)[1]) for part in ("MAJOR", "MINOR", "PATCH")]
    return ".".join(map(str, parts)), str(parts[0] * 10000 + parts[1] * 100 + parts[2])


def test_the_compiler_alone(home: Path):
    """-I and -L, both libraries linked as build files do, found at run time by the path that they write in."""
    for source, compiler in {"main.c": "cc", "main.cc": "c++"}.items():
        if shutil.which(compiler):
            where = ("-I", home / "include", "-L", home / "lib64", "-Wl,--no-as-needed", "-lcnrt", "-lcndrv")
            run_program(
                compiler, "-Wall", "-Werror", source, *where, f"-Wl,-rpath,{home}/lib64", "-o", "main", cwd=home.parent
            )
            assert run_program("./main", cwd=home.parent).split() == ["1", "devices,", _version(home)[1]]


@pytest.mark.pkgconfig
def test_pkg_config(home: Path):
    """Flags of where the tree lies now, and the version of the headers."""
    path = {"PKG_CONFIG_PATH": f"{home}/lib64/pkgconfig"}
    flags = run_program("pkg-config", "--cflags", "--libs", "cnrt", "cndrv", cwd=home.parent, **path).split()
    assert run_program("pkg-config", "--modversion", "cnrt", cwd=home.parent, **path).strip() == _version(home)[0]
    run_program("cc", "main.c", *flags, "-o", "main", cwd=home.parent)
    assert "1 devices" in run_program("./main", cwd=home.parent, LD_LIBRARY_PATH=f"{home}/lib64")


@pytest.mark.cmake
def test_cmake(home: Path):
    """find_package by module and by package, variables and targets, and find_library below NEUWARE_HOME; C and C++."""
    cxx = shutil.which("c++") is not None
    project = PROJECT.format(languages="CXX" if cxx else "", source="main.cc" if cxx else "main.c")
    (home.parent / "CMakeLists.txt").write_text(project)
    told = {"NEUWARE_HOME": str(home), "CMAKE_PREFIX_PATH": str(home)}
    run_program("cmake", "-S", ".", "-B", "build", cwd=home.parent, **told)
    run_program("cmake", "--build", "build", cwd=home.parent)
    for name in ("by_variables", "by_target"):
        assert run_program(home.parent / "build" / name, cwd=home.parent).endswith(f"{_version(home)[1]}\n")


@pytest.mark.readelf
def test_the_driver_library_is_empty(home: Path):
    """It has its SONAME, needs nothing, and exports not one name: a program that calls the driver does not link."""
    library = home / "lib64" / "libcndrv.so"
    dynamic = run_program("readelf", "--dynamic", "--wide", library, cwd=home)
    assert "Library soname: [libcndrv.so]" in dynamic
    assert set(re.findall(r"Shared library: \[(.+?)\]", dynamic)) <= {"libc.so.6"}
    symbols = run_program("readelf", "--dyn-syms", "--wide", library, cwd=home)
    assert not re.search(r"GLOBAL\s+DEFAULT\s+\d", symbols)


@pytest.mark.readelf
def test_functions_keep_their_names(home: Path):
    """Stacks of valgrind and gdb name functions of the library that it does not export."""
    symbols = run_program("readelf", "--symbols", "--wide", home / "lib64" / "libcnrt.so", cwd=home)
    assert re.search(r"FUNC\s+LOCAL\s+\w+\s+\d+ sim_plan_run", symbols)


def test_the_command_is_quick(tmp_path: Path):
    """It imports nothing that computes."""
    script = "import sys, mlu_agent.cli as c; c.main(sys.argv[1:]); sys.exit('numpy' in sys.modules)"
    run_program(sys.executable, "-c", script, "simulator", "--neuware", tmp_path / "neuware", cwd=tmp_path)
