"""Wheels: our own, built for each processor, and those that they require, of locked versions and digests."""

from __future__ import annotations

import shutil
import sys
import zipfile
from pathlib import Path

import clibrary
from releases import MANYLINUX, Processor
from steps import HERE, Commit, call, stop

PIP = (sys.executable, "-m", "pip")
PLATFORM = MANYLINUX[0]  # the newest that the oldest release runs


def sources(commit: Commit, into: Path) -> None:
    """The source distributions of all three."""
    backends = {
        commit.folder: "scikit_build_core.build",
        commit.folder / "agent" / "client": "hatchling.build",
        commit.folder / "deploy": "hatchling.build",
    }
    for folder, backend in backends.items():
        script = f"import sys; from {backend} import build_sdist; build_sdist(sys.argv[1])"
        call(sys.executable, "-c", script, into, cwd=folder, environment=commit.environment)


def pure(commit: Commit, into: Path) -> None:
    """The wheels of mlu-client and mlu-export, for any machine."""
    for folder in (commit.folder / "agent" / "client", commit.folder / "deploy"):
        _build(folder, into, commit.environment)


def native(commit: Commit, processor: Processor, work: Path, into: Path) -> Path:
    """The agent's wheel for the processor, with libraries for every release; returns it."""
    part = work / f"wheel-{processor.debian}"
    shutil.rmtree(part, ignore_errors=True)
    settings = clibrary.settings(clibrary.root(work, processor), processor, commit.folder)
    _build(commit.folder, part, {**commit.environment, **settings})
    (built,) = part.glob("*.whl")
    tag = f"--platform-tag={PLATFORM}_{processor.machine}"
    call(sys.executable, "-m", "wheel", "tags", "--remove", tag, built, environment=commit.environment)
    (built,) = part.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        libraries = [Path(archive.extract(f"mlu_agent/_native/{name}", part)) for name in clibrary.LIBRARIES]
    for library in libraries:
        clibrary.check(library, processor)
    return Path(shutil.copy(built, into))


def _build(folder: Path, into: Path, environment: dict[str, str]) -> None:
    call(
        *PIP,
        "wheel",
        "--no-deps",
        "--no-index",
        "--no-build-isolation",
        "--wheel-dir",
        into,
        folder,
        environment=environment,
    )


def lock(python: str) -> Path:
    """The file with the versions for that Python, and the digests of their wheels for each processor."""
    return HERE / "locked" / f"python{python}.txt"


def locked(python: str, processor: Processor, work: Path) -> list[Path]:
    """The wheels of a lock, fetched once from where pip is configured for."""
    into = work / f"locked-{python}-{processor.debian}"
    marks = ("--require-hashes", "--no-deps", f"--requirement={lock(python)}")
    call(*PIP, "download", "--quiet", "--dest", into, "--find-links", into, *target(python, processor), *marks)
    names = {line.split("==")[0].replace("-", "_") for line in lock(python).read_text().splitlines() if "==" in line}
    found = [path for path in sorted(into.glob("*.whl")) if path.name.split("-")[0].lower() in names]
    if len(found) != len(names):
        stop(f"{into} holds {len(found)} wheels, {lock(python).name} names {len(names)}; remove that folder")
    return found


def target(python: str, processor: Processor) -> list[str]:
    """pip's options for another machine than this one."""
    platforms = [f"--platform={name}_{processor.machine}" for name in MANYLINUX]
    abis = [f"--abi={name}" for name in (f"cp{python.replace('.', '')}", "abi3", "none")]
    oldest = f"--python-version={python}.2"  # Debian 11 has 3.9.2, and every other release a later one of its Python
    return ["--only-binary=:all:", oldest, "--implementation=cp", *platforms, *abis]


def unpack(wheel: Path, tree: Path) -> None:
    """What the wheel puts beside other packages; its scripts are not wanted. Modes and times are set elsewhere."""
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            parts = Path(name).parts
            if name.endswith("/") or name.startswith("/") or ".." in parts:
                continue
            if parts[0].endswith(".data"):
                if parts[1] not in {"purelib", "platlib"}:
                    continue
                parts = parts[2:]
            place = tree.joinpath(*parts)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(archive.read(name))
