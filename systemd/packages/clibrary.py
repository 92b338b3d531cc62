"""The libraries for machines with an older C library than this one: this machine's compiler, Debian 11's C library.

The compiler decides what the kernels are, and the kernels that were measured are gcc's of Debian 12: an older root
would bring an older gcc, without AMX; another compiler would bring other kernels. The C library decides which symbol
versions a library asks for. It comes from packages of Debian 11, by their digests, from the mirror that apt knows.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

from steps import HERE, call, stop

if TYPE_CHECKING:
    from releases import Processor

OWN_SYMBOLS = re.compile(r"GLIBC_(\d+)\.(\d+)")
OLDEST = (2, 28)  # C library that every build of it runs with; tests/native/api_needed.py looks at ours
NEEDED = {"libc.so.6", "libm.so.6", "libpthread.so.0", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}
LIBRARIES = ("libcnrt.so", "libcndrv.so")
# the word by which each table calls itself, as `mlu-agent devices` shows it
TABLES = {
    "x86_64": {"reference", "avx2", "avxvnni", "avx512", "avx512vnni", "amx"},
    "aarch64": {"reference", "neon", "neondot", "i8mm"},
}


def root(folder: Path, processor: Processor) -> Path:
    """A folder with Debian 11's C library and headers, made once."""
    path = folder / f"clibrary-{processor.debian}"
    if not path.is_dir():
        part = path.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        for name, digest in _pins(processor):
            package = folder / Path(name).name
            package.write_bytes(_fetched(name, digest))
            call("dpkg-deb", "-x", package, part)
            package.unlink()
        _make_links_relative(part)
        part.rename(path)
    return path


def _pins(processor: Processor) -> list[tuple[str, str]]:
    lines = (HERE / "clibrary.sha256").read_text(encoding="utf-8").splitlines()
    pairs = [line.split() for line in lines if not line.startswith("#")]
    return [(name, digest) for digest, name in pairs if name.endswith(f"_{processor.debian}.deb")]


def _mirror() -> str:
    """Of Debian, as this machine's apt has it; DEBIAN_MIRROR where it has none."""
    given = os.environ.get("DEBIAN_MIRROR")
    if given:
        return given.rstrip("/")
    targets = call("apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)", "Created-By: Packages")
    for line in targets.splitlines():
        origin, label, address = line.split("|")
        if (origin, label) == ("Debian", "Debian"):
            return address.rstrip("/")
    raise SystemExit("packages: apt has no mirror of Debian; DEBIAN_MIRROR names one")


def _fetched(name: str, digest: str) -> bytes:
    address = f"{_mirror()}/{name}"
    try:
        with urllib.request.urlopen(address, timeout=60) as answer:  # noqa: S310 - apt's own address
            data: bytes = answer.read(32 << 20)
    except OSError as error:
        raise SystemExit(f"packages: {address}: {error}; DEBIAN_MIRROR names another mirror or archive") from None
    if hashlib.sha256(data).hexdigest() != digest:
        stop(f"{address} is not what clibrary.sha256 says")
    return data


def _make_links_relative(folder: Path) -> None:
    """A link to /lib would lead out of the root, to this machine's own library."""
    for path in folder.rglob("*"):
        if path.is_symlink() and (target := str(path.readlink())).startswith("/"):
            path.unlink()
            path.symlink_to(os.path.relpath(f"{folder}{target}", path.parent))


def compiler(processor: Processor) -> str:
    """The compiler's own words for what it is; ends everything if it is not here."""
    name = f"{processor.triplet}-gcc"
    if shutil.which(name) is None:
        stop(f"no {name} found; on Debian: apt-get install gcc-{processor.triplet.replace('_', '-')}")
    return call(name, "--version").splitlines()[0]


def settings(clibrary: Path, processor: Processor, source: Path) -> dict[str, str]:
    """The environment in which CMake builds for the processor against that root."""
    include, libraries = clibrary / "usr" / "include", f"usr/lib/{processor.triplet}"
    places = f"-B{clibrary / libraries} -L{clibrary / libraries} -L{clibrary / 'lib' / processor.triplet}"
    return {
        "CC": f"{processor.triplet}-gcc",
        # -isystem and -L come before the compiler's own folders, which for its own machine would be this machine's
        "CFLAGS": f"-isystem {include / processor.triplet} -isystem {include} -ffile-prefix-map={source}=.",
        "LDFLAGS": f"--sysroot={clibrary} {places}",
        "CMAKE_ARGS": f"-DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR={processor.machine}",
    }


def check(library: Path, processor: Processor) -> None:
    """Ends everything unless the library runs on the oldest release and libcnrt.so holds every table of kernels."""
    versions = OWN_SYMBOLS.findall(call("readelf", "--version-info", "--wide", library))
    newest = max(((int(major), int(minor)) for major, minor in versions), default=(0, 0))  # libcndrv.so asks for none
    if newest > OLDEST:
        stop(f"{library} asks for GLIBC_{newest[0]}.{newest[1]}, at most {OLDEST[0]}.{OLDEST[1]} was promised")
    dynamic = call("readelf", "--dynamic", "--wide", library)
    more = set(re.findall(r"Shared library: \[(.+?)\]", dynamic)) - NEEDED
    if more:
        stop(f"{library} needs {', '.join(sorted(more))}")
    data = library.read_bytes()
    tables = TABLES[processor.machine] if library.name == "libcnrt.so" else set()
    lacks = {name for name in tables if f"{name}\0".encode() not in data}
    if lacks:
        stop(f"{library} lacks the kernels {', '.join(sorted(lacks))}: {processor.triplet}-gcc is too old")
