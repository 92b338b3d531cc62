"""What all tests share: where things are, and which tests this machine cannot run, each with its reason.

A test says by a marker what it needs (pyproject.toml lists them); whether that is here is asked once, below and, for
what comes from the system's packages, by the trials of tests/needs.py. So a skip is always somebody's marker and never
a swallowed error, and pytest's summary shows the reason.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import platform
import re
import resource
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Callable

import pytest
from tests import needs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from tests.faults import Fault

    from mlu_agent.cnrt import Library

# Engines and daemons of the tests have the four cores of an MLU220 on every machine, whatever it could keep busy.
os.environ.setdefault("CNRT_SIMULATOR_THREADS", "4")

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("MLU_AGENT_SHARED") or ROOT.parent / "shared")


def _missing_shared() -> str | None:
    if (SHARED / "data" / "MANIFEST.md").is_file():
        return None
    return f"no folder of real data at {SHARED}; MLU_AGENT_SHARED says where one is"


def _missing_module(name: str) -> str | None:
    return None if importlib.util.find_spec(name) else f"{name} is not installed"


def _missing_full() -> str | None:
    return None if Path("/dev/full").exists() else "the machine has no /dev/full"


def _missing_checkout() -> str | None:
    if not (ROOT / ".git").exists():
        return "not a git checkout (a source distribution): there is no list of tracked files"
    return needs.missing("git")


def _missing_of_processor(*features: str) -> str | None:
    processor = Path("/proc/cpuinfo")
    has = processor.read_text(encoding="utf-8").split() if processor.exists() else []
    lacks = [feature for feature in features if feature not in has]
    return f"this processor has no {' and no '.join(lacks)}" if lacks else None


def _missing_amx() -> str | None:
    reason = _missing_of_processor("amx_int8") or needs.missing("cc")
    if reason is not None:
        return reason
    command = ["cc", "-mamx-int8", "-fsyntax-only", "-x", "c", "/dev/null"]  # as native/sim/kernels/CMakeLists.txt
    done = subprocess.run(command, capture_output=True, check=False)
    return None if done.returncode == 0 else "the compiler has no -mamx-int8: the library has no such kernels"


def _missing_vectors() -> str | None:
    return None if platform.machine() == "aarch64" else _missing_of_processor("avx2", "f16c")


_MISSING: dict[str, Callable[[], str | None]] = {
    "shared": functools.lru_cache(None)(_missing_shared),
    "torch": functools.partial(_missing_module, "torch"),
    "eval": functools.partial(_missing_module, "pycocotools"),
    "onnx": functools.partial(_missing_module, "onnx"),
    "metrics": functools.partial(_missing_module, "prometheus_client"),
    "promtool": functools.partial(needs.missing, "promtool"),
    "sign": functools.partial(_missing_module, "cryptography"),
    "ray": functools.partial(_missing_module, "ray"),
    "full": _missing_full,
    "checkout": functools.lru_cache(None)(_missing_checkout),
    "cc": functools.partial(needs.missing, "cc"),
    "cmake": functools.partial(needs.missing, "cmake"),
    "pkgconfig": functools.partial(needs.missing, "pkgconfig"),
    "amx": functools.lru_cache(None)(_missing_amx),
    "vectors": functools.lru_cache(None)(_missing_vectors),
    "readelf": functools.partial(needs.missing, "readelf"),
    "rtsp": functools.partial(needs.missing, "rtsp"),
    "systemd": functools.partial(needs.missing, "systemd"),
    "deb": functools.partial(needs.missing, "deb"),
}


class _NotHere(pytest.Module):
    """A file of tests whose need is missing: it may import that at its top, so it is not loaded."""

    reason = ""

    def collect(self) -> list[pytest.Item]:
        """Skips the file as a whole."""
        pytest.skip(self.reason, allow_module_level=True)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """What the ``pytestmark`` of a file says that all its tests need is asked before the file is imported."""
    marks = re.search(r"^pytestmark = (.*)$", module_path.read_text(encoding="utf-8"), re.MULTILINE)
    for name in re.findall(r"pytest\.mark\.(\w+)", marks[1] if marks else ""):
        reason = _MISSING.get(name, lambda: None)()
        if reason is not None:
            made: _NotHere = _NotHere.from_parent(parent, path=module_path)
            made.reason = f"{name}: {reason}"
            return made
    return None


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers():
        reason = _MISSING.get(marker.name, lambda: None)()
        if reason is not None:
            pytest.skip(f"{marker.name}: {reason}")


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data; only for tests marked ``shared``."""
    reason = _missing_shared()
    if reason is not None:
        pytest.fail(f"a test without the marker 'shared' asked for real data: {reason}")
    return SHARED


@pytest.fixture(scope="session")
def shared_data(shared: Path) -> Path:
    """The data folder in it: weights/, sets/, images/, video/, vendor/."""
    return shared / "data"


@pytest.fixture
def small_disk() -> Callable[[int], AbstractContextManager[None]]:
    """A context in which no file of this process grows beyond so many bytes, as on a disk that is full."""

    @contextlib.contextmanager
    def limited(size: int) -> Iterator[None]:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limited


@pytest.fixture(scope="session")
def simulator_path() -> Path:
    """The simulator library: MLU_AGENT_SIMULATOR, or the one that was installed with the package."""
    override = os.environ.get("MLU_AGENT_SIMULATOR")
    if override:
        return Path(override)
    from importlib.resources import as_file, files

    with as_file(files("mlu_agent") / "_native" / "libcnrt.so") as path:
        assert path.is_file(), f"{path} is missing: the package is not installed"
        return path


class RtspServer:
    """A real RTSP server in a process of its own, on one port for its whole life, that can go away and return."""

    def __init__(self, clip: Path) -> None:
        self._clip = clip
        self._port = 0
        self._process: subprocess.Popen[str] | None = None
        self.url = ""
        self.start()

    def start(self) -> None:
        """Starts the server, on the port it had before if it had one; returns when it listens."""
        script = str(needs.RTSP_SERVER)
        command = [
            needs.SYSTEM_PYTHON,
            script,
            "--port",
            str(self._port),
            "--file",
            str(self._clip),
            "--until-eof",
            "--lifetime",
            "900",
        ]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line.startswith("ready "), f"the RTSP server did not start: {line!r}"
        self.url = line.split()[1]
        self._port = int(self.url.split(":")[2].split("/")[0])

    def stop(self) -> None:
        """Takes the server away, as a camera whose cable is pulled."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        self._process = None


@pytest.fixture
def rtsp_server() -> Iterator[Callable[[Path], RtspServer]]:
    """A function from a clip to a running RtspServer; for tests marked ``rtsp``. All of them end with the test."""
    servers: list[RtspServer] = []

    def serve(clip: Path) -> RtspServer:
        servers.append(RtspServer(clip))
        return servers[-1]

    yield serve
    for server in servers:
        server.stop()


@pytest.fixture
def library(simulator_path: Path) -> Library:
    """The simulator, loaded by its path."""
    from mlu_agent.cnrt import open_library

    return open_library(str(simulator_path))


@pytest.fixture(scope="session")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small real model of one core and batch 1."""
    from tests.models import small_bundle

    return small_bundle(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def fault_library(tmp_path_factory: pytest.TempPathFactory, simulator_path: Path) -> Path:
    """The library of faults, before the simulator; for tests marked ``cc``."""
    from tests.faults import build_fault_library

    return build_fault_library(tmp_path_factory.mktemp("faults"), simulator_path)


@pytest.fixture
def fault(tmp_path: Path, fault_library: Path) -> Fault:
    """What the device does wrong: nothing yet."""
    from tests.faults import Fault

    return Fault(fault_library, tmp_path / "fault")
