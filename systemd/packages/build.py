"""Builds everything that is published of HEAD: .debs, wheels, source distributions, bills of materials, digests.

    python systemd/packages/build.py [--releases NAME...] [--processors NAME...]

    make packages                                       all of it
    make packages RELEASES=debian12 PROCESSORS=amd64    the package of one release and processor
    make packages LEVEL=1                               to try: 100 MB a package instead of 84, in a fifth of the time

What is built lies in dist/packages with SHA256SUMS, and is the same to the byte wherever the same compiler builds the
same commit. build/packages keeps what was fetched.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import sys
from pathlib import Path

import clibrary
import deb
import wheels
from releases import PROCESSORS, RELEASES, Processor
from steps import HERE, ROOT, Commit, call, checked_out


def main() -> int:
    """Source, wheels, pages, packages, digests."""
    arguments = _arguments()
    os.umask(0o022)
    work, into = arguments.work.resolve(), arguments.output.resolve()
    work.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    commit = checked_out(work / "source", arguments.version)
    print(f"packages: version {commit.debian_version}", flush=True)
    wheels.sources(commit, into)
    wheels.pure(commit, into)
    _pages(commit, work / "pages")
    for processor in (each for each in PROCESSORS if each.debian in arguments.processors):
        _of_a_processor(commit, processor, arguments, work, into)
    _sums(into)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [release.name for release in RELEASES]
    processors = [processor.debian for processor in PROCESSORS]
    parser.add_argument("--releases", nargs="*", default=names, choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument(
        "--processors", nargs="*", default=processors, choices=processors, metavar="NAME", help=", ".join(processors)
    )
    parser.add_argument("--version", default="", help="of the packages, instead of the commit's: to try upgrades")
    parser.add_argument("--level", type=int, default=6, choices=range(10), metavar="N", help="of xz, 0 to 9 (6)")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "packages", metavar="DIR")
    parser.add_argument("--output", type=Path, default=ROOT / "dist" / "packages", metavar="DIR")
    return parser.parse_args()


def _of_a_processor(
    commit: Commit, processor: Processor, arguments: argparse.Namespace, work: Path, into: Path
) -> None:
    print(f"packages: the library for {processor.debian}, with {clibrary.compiler(processor)}", flush=True)
    agent = wheels.native(commit, processor, work, into)
    (client,) = into.glob("mlu_client-*.whl")
    for release in RELEASES:
        if release.name in arguments.releases:
            made = deb.build(commit, release, processor, [agent, client], work, into, arguments.level)
            print(f"packages: {made.name}, {made.stat().st_size / 1e6:.0f} MB", flush=True)


def _pages(commit: Commit, folder: Path) -> None:
    """By this Python, of the program that is built: without -S an editable installation would bring the checkout's."""
    shutil.rmtree(folder, ignore_errors=True)
    sample = commit.folder / "systemd" / "mlu-agent.toml"
    path = os.pathsep.join([*(str(commit.folder / name) for name in ("agent", "agent/client")), *sys.path[1:]])
    environment = {**commit.environment, "PYTHONPATH": path, "COLUMNS": "100"}
    call(sys.executable, "-S", HERE / "pages.py", folder, sample, commit.version, environment=environment)


def _sums(folder: Path) -> None:
    files = sorted(path for path in folder.iterdir() if path.is_file())
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    (folder / "SHA256SUMS").write_text("".join(lines))
    print(f"packages: {len(files)} files and SHA256SUMS in {folder}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
