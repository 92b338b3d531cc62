"""The distribution as it is published: the wheel's name, what is in it, and that it works where it is installed."""

from __future__ import annotations

import importlib.util
import re
import sys
import sysconfig
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.programs import run_program

if TYPE_CHECKING:
    from email.message import Message

ROOT = Path(__file__).resolve().parents[2]
NEUWARE = ROOT / "native" / "neuware"
DEPENDENCIES = {"av", "numpy", "opencv-python-headless", "mlu-client", "pyzmq", "cffi", "structlog", "tomli"}
pytestmark = [pytest.mark.slow, pytest.mark.cc]


@pytest.fixture(scope="module")
def sdist(tmp_path_factory) -> Path:
    """The source distribution, made by the build backend itself."""
    folder = tmp_path_factory.mktemp("sdist")
    script = "import sys; from scikit_build_core.build import build_sdist; build_sdist(sys.argv[1])"
    run_program(sys.executable, "-c", script, folder)
    (archive,) = folder.glob("*.tar.gz")
    return archive


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory) -> Path:
    """The wheel built from the source distribution alone: so the latter holds all that is needed."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-index", "--no-build-isolation")
    run_program(*pip, "--wheel-dir", folder, sdist, cwd=folder)
    (archive,) = folder.glob("*.whl")
    return archive


@pytest.fixture(scope="module")
def client_wheel(tmp_path_factory) -> Path:
    """The wheel of mlu-client, built from its source distribution alone."""
    folder = tmp_path_factory.mktemp("client")
    script = "import sys; from hatchling.build import build_sdist; print(build_sdist(sys.argv[1]))"
    sdist = folder / run_program(sys.executable, "-c", script, folder, cwd=ROOT / "agent" / "client").split()[-1]
    pip = (sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-index", "--no-build-isolation")
    run_program(*pip, "--wheel-dir", folder, sdist, cwd=folder)
    (archive,) = folder.glob("*.whl")
    return archive


def _environment(folder: Path, *wheels: Path) -> Path:
    """A new environment in which the wheels were installed; returns its folder for packages."""
    run_program(sys.executable, "-m", "venv", "--without-pip", folder)
    python = folder / "bin" / "python"
    run_program(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", *wheels)
    return Path(run_program(python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])").strip())


@pytest.fixture(scope="module")
def installed(wheel: Path, client_wheel: Path, tmp_path_factory) -> Path:
    """A new environment with the wheel and that of the client; other dependencies are lent by that of the tests."""
    folder = tmp_path_factory.mktemp("environment")
    own = _environment(folder, wheel, client_wheel)
    # at the end of sys.path: what the wheel brought comes first, and no .pth file in there is followed
    own.joinpath("lent.pth").write_text(sysconfig.get_paths()["platlib"] + "\n")
    return folder


def _metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return Parser().parsestr(archive.read(name).decode())


def _required(wheel: Path) -> list[str]:
    return [text for text in _metadata(wheel).get_all("Requires-Dist") or [] if "extra ==" not in text]


def _names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_is_for_any_python_3_of_this_platform(wheel: Path):
    """py3-none-PLATFORM: inside is a library, but no extension module of one Python."""
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    assert re.fullmatch(rf"mlu_agent-[0-9.]+-py3-none-\w*{platform.split('_', 1)[1]}\.whl", wheel.name), wheel.name


def test_the_wheel_holds_the_package_the_simulator_its_headers_and_the_service(wheel: Path):
    """Every module, the library, its headers, the service's files, the marker for type checkers; and nothing else."""
    source = ROOT / "agent"
    modules = {str(path.relative_to(source)) for path in (source / "mlu_agent").rglob("*.py")}
    headers = {f"include/{name}" for name in ("cnrt.h", "cnrt_abi.h", "cnrt_codes.h", "cnrt_codes_4_10.h")}
    beside = (*headers, "profiles/mlu220.toml", "profiles/mlu270.toml")
    tree = {f"neuware/{path.relative_to(NEUWARE)}" for path in NEUWARE.rglob("*") if path.is_file()}
    native = {f"mlu_agent/_native/{name}" for name in ("libcnrt.so", "libcndrv.so", *beside, *tree)}
    service = {f"mlu_agent/_systemd/{path.name}" for path in (ROOT / "systemd").glob("mlu-agent.*")}
    names = {name for name in _names(wheel) if ".dist-info/" not in name and not name.endswith("/")}
    assert len(service) == 5
    assert names == modules | native | service | {"mlu_agent/py.typed"}


def test_the_wheel_says_what_it_needs(wheel: Path):
    """Exactly the promised dependencies, Python 3.9, and the licence with its text."""
    metadata, required = _metadata(wheel), _required(wheel)
    assert any(name.endswith("LICENSE") for name in _names(wheel))
    assert {re.match(r"[\w-]+", text).group() for text in required} == DEPENDENCIES
    tomli = next(text for text in required if text.startswith("tomli"))
    assert tomli.replace("'", '"').endswith('python_version < "3.11"')
    assert metadata["Requires-Python"] == ">=3.9"
    assert metadata["License-Expression"] == "Apache-2.0"


def test_the_source_distribution_leaves_other_things_out(sdist: Path):
    """No build results, no downloads, not the other distributions."""
    with tarfile.open(sdist) as archive:
        tops = {Path(name).parts[1] for name in archive.getnames() if len(Path(name).parts) > 1}
        assert not any("mlu_client" in name for name in archive.getnames())
    assert {"agent", "native", "systemd", "tests", "pyproject.toml", "LICENSE", "README.md"} <= tops
    assert not tops & {"build", "deploy", "demo", "benchmarks", ".venv", ".cache", ".ci", ".git"}


@pytest.mark.readelf
def test_the_library_can_stand_in_for_the_vendors(installed: Path):
    """SONAME libcnrt.so as the vendor's, every exported name begins with cnrt, nothing needed but the C library."""
    library = _libdir(installed) / "libcnrt.so"
    dynamic = run_program("readelf", "--dynamic", "--wide", library)
    assert "Library soname: [libcnrt.so]" in dynamic
    needed = set(re.findall(r"Shared library: \[(.+?)\]", dynamic))
    assert {re.split(r"[.-]", name)[0] for name in needed} <= {"libc", "libm", "libpthread", "ld"}, needed
    symbols = run_program("readelf", "--dyn-syms", "--wide", library)
    pattern = re.compile(r"(FUNC|OBJECT)\s+(GLOBAL|WEAK)\s+DEFAULT\s+\d")
    defined = [line.split() for line in symbols.splitlines() if pattern.search(line)]
    names = {fields[7].split("@")[0] for fields in defined}
    assert len(names) > 30
    assert {name for name in names if not name.startswith("cnrt")} == set()


def _libdir(installed: Path) -> Path:
    return Path(run_program(installed / "bin" / "mlu-agent", "simulator", "--libdir", cwd=installed).strip())


def test_the_installed_wheel_finds_its_simulator(installed: Path):
    """``mlu-agent simulator`` names folders inside the installation, not in a checkout."""
    includes = Path(run_program(installed / "bin" / "mlu-agent", "simulator", "--includedir", cwd=installed).strip())
    assert installed in _libdir(installed).parents
    assert (includes / "cnrt.h").is_file()


def test_the_installed_headers_compile_and_link(installed: Path, tmp_path: Path):
    """A C user needs two folders: gcc $(...--includedir) $(...--libdir) -lcnrt, with warnings as errors."""
    source = tmp_path / "main.c"
    source.write_text('#include "cnrt.h"\nint main(void) { return cnrtInit(0) == CNRT_RET_SUCCESS ? 0 : 1; }\n')
    libdir = _libdir(installed)
    includes = libdir / "include"
    run_program(
        "cc", "-Wall", "-Werror", "-std=c99", f"-I{includes}", source, f"-L{libdir}", "-lcnrt", "-o", tmp_path / "main"
    )
    run_program(tmp_path / "main", LD_LIBRARY_PATH=str(libdir))


def test_import_does_nothing(installed: Path):
    """``import mlu_agent`` loads no OpenCV, no numpy, no ZeroMQ, no cffi and starts no thread."""
    script = (
        "import sys, threading, mlu_agent\n"
        "heavy = {'av', 'cv2', 'numpy', 'zmq', 'msgpack', '_cffi_backend', 'cffi', 'structlog', 'torch'}\n"
        "heavy &= set(sys.modules)\n"
        "sys.exit(f'{heavy} {threading.active_count()}' if heavy or threading.active_count() != 1 else 0)"
    )
    run_program(installed / "bin" / "python", "-c", script, cwd=installed)


def test_the_client_is_of_the_agents_version_and_holds_its_package_alone(wheel: Path, client_wheel: Path):
    """The agent requires exactly it; any Python 3 of any platform can listen."""
    version = _metadata(wheel)["Version"]
    assert client_wheel.name == f"mlu_client-{version}-py3-none-any.whl"
    assert f"mlu-client=={version}" in [text.replace(" ", "") for text in _required(wheel)]
    source = ROOT / "agent" / "client"
    modules = {str(path.relative_to(source)) for path in (source / "mlu_client").rglob("*.py")}
    names = {name for name in _names(client_wheel) if ".dist-info/" not in name}
    assert names == modules | {"mlu_client/py.typed"}


def test_the_client_works_alone(client_wheel: Path, tmp_path: Path):
    """In an environment with pyzmq and msgpack and nothing else it hears a message and makes a value of it."""
    own = _environment(tmp_path / "environment", client_wheel)
    for name in ("msgpack", "zmq"):
        lent = Path(importlib.util.find_spec(name).origin).parent
        own.joinpath(name).symlink_to(lent)
    if (libraries := lent.parent / "pyzmq.libs").is_dir():  # where pyzmq's wheel keeps ZeroMQ itself
        own.joinpath("pyzmq.libs").symlink_to(libraries)
    script = f"""
import importlib.util, zmq
from mlu_client.codec import encode
from mlu_client.subscriber import Subscriber
assert not [name for name in ("numpy", "cv2", "cffi", "mlu_agent") if importlib.util.find_spec(name)]
publisher = zmq.Context.instance().socket(zmq.XPUB)
publisher.bind("ipc://{tmp_path}/socket")
with Subscriber("ipc://{tmp_path}/socket", timeout_s=20) as subscriber:
    assert publisher.poll(20_000)
    message = dict(v="1.0", kind="end", box="b", boot_id="c", t_publish_ns=1, source="a", reason="", frames=7)
    publisher.send(encode("1/end/a", dict(message, counters={{}})))
    print(next(subscriber.typed()).frames)
publisher.close(0)
"""
    assert run_program(tmp_path / "environment" / "bin" / "python", "-c", script, cwd=tmp_path).strip() == "7"
