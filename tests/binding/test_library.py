"""Which runtime library is taken, and that every failure is a sentence."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from mlu_agent.cnrt import library as module, open_library
from mlu_agent.errors import RuntimeFailure, UserError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def no_vendor_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """No real library of this machine decides a test."""
    monkeypatch.delenv("NEUWARE_HOME", raising=False)
    monkeypatch.setattr(module, "VENDOR_FOLDER", str(tmp_path / "absent"))


@pytest.fixture
def stand_in(tmp_path: Path) -> Path:
    """A library with one CNRT symbol and without the simulator's: to the agent, a device's."""
    source = tmp_path / "stand_in.c"
    source.write_text("int cnrtInit(unsigned flags) { return flags ? 632007 : 632009; }\n")
    folder = tmp_path / "neuware" / "lib64"
    folder.mkdir(parents=True)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(folder / "libcnrt.so"), str(source)], check=True)
    return folder.parent


def test_importing_the_binding_loads_nothing():
    """Import does nothing: neither cffi's backend nor any library is loaded by it."""
    code = "import sys, mlu_agent.cnrt\nmaps = open('/proc/self/maps').read()\n"
    code += "sys.exit('_cffi_backend' in sys.modules or 'libcnrt' in maps)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_auto_falls_back_to_the_simulator_and_says_why(simulator_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Without a vendor's library, auto is the simulator, and the reason names what was looked for."""
    monkeypatch.setenv("MLU_AGENT_SIMULATOR", str(simulator_path))
    found = open_library("auto")
    assert found.kind == "simulator"
    assert "no CNRT library for a device was found" in found.reason
    assert "absent/lib64/libcnrt.so does not exist" in found.reason
    assert "MLU_AGENT_SIMULATOR" in found.reason


@pytest.mark.cc
def test_auto_takes_the_vendors_library_where_there_is_one(stand_in: Path, monkeypatch: pytest.MonkeyPatch):
    """A library under NEUWARE_HOME that is not the simulator is a device's, also for auto."""
    monkeypatch.setenv("NEUWARE_HOME", str(stand_in))
    for choice in ("auto", "device"):
        found = open_library(choice)
        assert found.kind == "device"
        assert found.path == str(stand_in / "lib64" / "libcnrt.so")
        assert found.reason == "found through NEUWARE_HOME"


def test_a_device_is_never_replaced_by_the_simulator():
    """Asked for a device without a library, the agent fails with what it tried."""
    with pytest.raises(RuntimeFailure, match=r"no CNRT library for a device: .*does not exist.*NEUWARE_HOME"):
        open_library("device")


@pytest.mark.cc
def test_a_failing_call_names_function_code_and_meaning(stand_in: Path, monkeypatch: pytest.MonkeyPatch):
    """Status codes become RuntimeFailure; a function that an old library lacks is told as such."""
    monkeypatch.setenv("NEUWARE_HOME", str(stand_in))
    found = open_library("device")
    with pytest.raises(RuntimeFailure, match="has no function cnrtGetVersion"):
        found.version()
    monkeypatch.setattr(found.status, "sentence", lambda code: "no such device")
    with pytest.raises(RuntimeFailure, match=r"cnrtInit failed with NODEV \(632009\): no such device") as caught:
        found.call("cnrtInit", 0)
    assert caught.value.status == 632009
    assert caught.value.exit_code == 3


def test_a_broken_vendor_library_is_told_in_the_fallback(
    tmp_path: Path, simulator_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A libcnrt.so that cannot be loaded does not pass in silence."""
    folder = tmp_path / "broken" / "lib64"
    folder.mkdir(parents=True)
    (folder / "libcnrt.so").write_bytes(b"not a library")
    monkeypatch.setenv("NEUWARE_HOME", str(folder.parent))
    monkeypatch.setenv("MLU_AGENT_SIMULATOR", str(simulator_path))
    found = open_library("auto")
    assert found.kind == "simulator"
    assert "cannot be loaded" in found.reason


def test_a_path_must_be_a_library(tmp_path: Path):
    """Neither a word nor a missing file nor another file is taken for a library."""
    with pytest.raises(UserError, match="neither one of"):
        open_library("simulater")
    other = tmp_path / "other.so"
    other.write_bytes(b"text")
    with pytest.raises(RuntimeFailure, match="cannot be loaded as a runtime library"):
        open_library(str(other))


def test_the_simulator_is_recognised_wherever_it_lies(tmp_path: Path, simulator_path: Path):
    """A copy under another name, given by its path, is still the simulator."""
    copy = tmp_path / "copy.so"
    shutil.copy(simulator_path, copy)
    assert open_library(str(copy)).kind == "simulator"


_THREADS = """
import os
from mlu_agent.cnrt import open_library
os.sched_setaffinity(0, list(os.sched_getaffinity(0))[:1])
print(open_library("simulator").threads)
"""


@pytest.mark.parametrize(
    "environment, said",
    [
        ({}, "1"),
        ({"CNRT_SIMULATOR_THREADS": "3"}, "3"),
        ({"CNRT_SIMULATOR_COMPUTE": "0"}, "None"),
        ({"CNRT_SIMULATOR_TIMING": "mlu220"}, "None"),
    ],
)
def test_threads_are_the_processors_that_this_process_may_use(environment: dict[str, str], said: str):
    """Not those of the machine; they do not count where nothing is computed or times are estimates."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("CNRT_")}
    out = subprocess.run([sys.executable, "-c", _THREADS], env={**env, **environment}, check=True, capture_output=True)
    assert out.stdout.decode().strip() == said


_THREADS_OF = """
import os, sys
from mlu_agent.cnrt import open_library
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:int(sys.argv[1])])
print(open_library("simulator").threads)
"""


def test_threads_follow_the_affinity_up_to_the_groups_share():
    """As many as the processors of the mask, until the control group's share of time, or 64, is less."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("CNRT_")}

    def threads(processors: int) -> int:
        command = [sys.executable, "-c", _THREADS_OF, str(processors)]
        return int(subprocess.run(command, env=env, check=True, capture_output=True).stdout)

    all_of_them = len(os.sched_getaffinity(0))
    most = threads(all_of_them)
    assert 1 <= most <= min(all_of_them, 64)
    assert threads(1) == 1
    assert threads(2) == min(2, most)


@pytest.mark.cc
def test_the_override_must_be_the_simulator(stand_in: Path, monkeypatch: pytest.MonkeyPatch):
    """MLU_AGENT_SIMULATOR pointing to a device's library is refused, not used as if it computed on the CPU."""
    monkeypatch.setenv("MLU_AGENT_SIMULATOR", str(stand_in / "lib64" / "libcnrt.so"))
    with pytest.raises(RuntimeFailure, match="is not the simulator"):
        open_library("simulator")


@pytest.mark.parametrize("version", ["5.0.0", "4.11.0", "4.1.0", "3.7.0", "4.7"])
def test_a_version_that_is_not_simulated_is_told(version: str):
    """The default takes its place, as that of any variable that cannot be used."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("CNRT_")}
    env["CNRT_SIMULATOR_VERSION"] = version
    command = [sys.executable, "-c", "from mlu_agent.cnrt import open_library as o; print(o('simulator').version())"]
    done = subprocess.run(command, env=env, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "4.7.12"
    assert f"CNRT_SIMULATOR_VERSION={version} is ignored, it must be of 4.2 to 4.10" in done.stderr


_FAILS = """
from mlu_agent.cnrt import open_library
from mlu_agent.cnrt.device import list_devices
from mlu_agent.errors import RuntimeFailure
library = open_library("simulator")
print(library.version())
try:
    list_devices(library)
except RuntimeFailure as error:
    print(error)
print(len(list_devices(library)))
"""


@pytest.mark.parametrize(
    "version, number", [("4.2.0", 632015), ("4.4.0", 632015), ("4.7.12", 632015), ("4.10.4", 632049)]
)
def test_the_agent_names_codes_as_the_librarys_version_numbers_them(version: str, number: int, tmp_path: Path):
    """By the library's own name for a number that differs between versions; and it goes on."""
    faults = tmp_path / "faults.toml"
    faults.write_text('[[fault]]\nfunction = "cnrtGetDeviceCount"\nnth = 1\ncode = "CNRT_RET_ERR_TIMEOUT"\n')
    env = {name: value for name, value in os.environ.items() if not name.startswith("CNRT_")}
    env.update(CNRT_SIMULATOR_VERSION=version, CNRT_SIMULATOR_FAULTS=str(faults))
    out = subprocess.run([sys.executable, "-c", _FAILS], env=env, check=True, capture_output=True, text=True).stdout
    told, failure, devices = out.splitlines()
    assert (told, devices) == (version, "1")
    assert f"TIMEOUT ({number})" in failure
