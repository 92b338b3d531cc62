"""A .deb: the tree of its files, its control files, and dpkg-deb over both; the same input gives the same bytes.

One package for each release and processor, with everything that the agent requires ready under /usr/lib/mlu-agent, for
that release's Python: nothing is fetched, compiled or built on the box, and nothing of the system's Python changes.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import shutil
from datetime import datetime, timezone
from pathlib import Path

import sbom
import wheels
from releases import GLIBC, Processor, Release
from steps import HERE, Commit, call

NAME = "mlu-agent"
LIBRARIES = Path("usr/lib", NAME)
MAINTAINER = (
    f"{os.environ.get('DEBFULLNAME', NAME)} <{os.environ.get('DEBEMAIL', f'{NAME}@localhost')}>"  # dpkg's variables
)
SERVICE = {
    "mlu-agent.service": "usr/lib/systemd/system/mlu-agent.service",
    "mlu-agent.sysusers": "usr/lib/sysusers.d/mlu-agent.conf",
    "mlu-agent.tmpfiles": "usr/lib/tmpfiles.d/mlu-agent.conf",
    "mlu-agent.udev": "usr/lib/udev/rules.d/70-mlu-agent.rules",
    "mlu-agent.toml": "etc/mlu-agent/mlu-agent.toml",
}
# What shared libraries of wheels take from the system, and who has it
SYSTEM_LIBRARIES = {
    r"lib(c|m|dl|rt|util|pthread)\.so\.\d|ld-linux.*": "",
    r"libstdc\+\+\.so\.6": "libstdc++6",
    r"libgcc_s\.so\.1": "libgcc-s1",
    r"libz\.so\.1": "zlib1g",
}
PROGRAM = """#!/usr/bin/python{python} -I
import sys

sys.path.insert(0, "/{libraries}")
from mlu_agent.cli import main

sys.exit(main())
"""
CONTROL = """Package: {name}
Version: {version}
Architecture: {processor}
Maintainer: {maintainer}
Installed-Size: {size}
Depends: {depends}
Section: video
Priority: optional
Description: object detection on Cambricon MLU edge boxes
 A daemon that turns cameras, streams and files into detections on a ZeroMQ
 socket, with the commands to try models, to find out what is wrong with a box
 and to listen. A simulator of the vendor's runtime library, with its headers,
 takes the place of the device where there is none.
 .
 For {release}: everything that it requires for Python {python} is inside.
"""


def build(
    commit: Commit, release: Release, processor: Processor, own: list[Path], work: Path, into: Path, level: int
) -> Path:
    """The package; ``own`` are our wheels for the processor, ``level`` is xz's."""
    root = work / f"tree-{release.name}-{processor.debian}"
    shutil.rmtree(root, ignore_errors=True)
    version = f"{commit.debian_version}-1~{release.suffix}"
    inside = [*own, *wheels.locked(release.python, processor, work)]
    for wheel in inside:
        wheels.unpack(wheel, root / LIBRARIES)
    _prune(root / LIBRARIES)
    _program(root, release)
    for name, place in SERVICE.items():
        _copy(commit.folder / "systemd" / name, root / place)
    _pages(work / "pages", root / "usr" / "share")
    bill = sbom.bill(root / LIBRARIES, inside, version, processor.debian, commit.epoch)
    _documents(commit, root, version, bill)
    into.mkdir(parents=True, exist_ok=True)
    package = into / f"{NAME}_{version}_{processor.debian}.deb"
    package.with_suffix(".cdx.json").write_text(bill, encoding="utf-8")
    depends = [f"python{release.python}", f"libc6 (>= {GLIBC[0]}.{GLIBC[1]})", *_system_libraries(root), "systemd"]
    _control(root, release, processor, version, ", ".join(depends))
    _settle(root, commit.epoch)
    call(
        "dpkg-deb", "--root-owner-group", "-Zxz", f"-z{level}", "--build", root, package, environment=commit.environment
    )
    shutil.rmtree(root)
    return package


def _prune(tree: Path) -> None:
    """What no program ever opens: tests, and the lists by which pip would uninstall."""
    for path in [*tree.rglob("tests"), *tree.rglob("__pycache__")]:
        if path.is_dir():
            shutil.rmtree(path)
    for path in tree.glob("*.dist-info/RECORD"):
        path.unlink()


def _program(root: Path, release: Release) -> None:
    path = root / "usr" / "bin" / NAME
    path.parent.mkdir(parents=True)
    path.write_text(PROGRAM.format(python=release.python, libraries=LIBRARIES), encoding="utf-8")


def _copy(source: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, place)


def _pages(pages: Path, share: Path) -> None:
    for path in sorted(pages.rglob("*")):
        if path.is_file() and "man" in path.parts:
            _zip(path.read_bytes(), share / path.relative_to(pages).with_name(f"{path.name}.gz"))
        elif path.is_file():
            _copy(path, share / path.relative_to(pages))


def _zip(data: bytes, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(gzip.compress(data, 9, mtime=0))


def _documents(commit: Commit, root: Path, version: str, bill: str) -> None:
    folder = root / "usr" / "share" / "doc" / NAME
    folder.mkdir(parents=True)
    for name in ("operate", "service", "wire", "reliability"):
        if (source := commit.folder / "docs" / f"{name}.md").exists():
            _copy(source, folder / f"{name}.md")
    _zip((commit.folder / "CHANGELOG.md").read_bytes(), folder / "changelog.gz")
    date = datetime.fromtimestamp(commit.epoch, timezone.utc).strftime("%a, %d %b %Y %H:%M:%S +0000")
    entry = f"{NAME} ({version}) unstable; urgency=medium\n\n  * See changelog.gz.\n\n -- {MAINTAINER}  {date}\n"
    _zip(entry.encode(), folder / "changelog.Debian.gz")
    (folder / "sbom.cdx.json").write_text(bill, encoding="utf-8")
    (folder / "copyright").write_text(_copyright(root / LIBRARIES), encoding="utf-8")
    overrides = root / "usr" / "share" / "lintian" / "overrides" / NAME
    _copy(HERE / "scripts" / "lintian-overrides", overrides)


def _copyright(tree: Path) -> str:
    """What is inside under which licence; the texts lie where the wheels put them."""
    lines = [
        "mlu-agent, mlu-client and the simulator libcnrt.so are under the Apache License 2.0, whose text is in",
        "/usr/share/common-licenses/Apache-2.0. Copyright (C) 2026 the authors of mlu-agent.",
        "",
        "This package also holds these distributions as their makers published them:",
        "",
    ]
    for each in sbom.distributions(tree):
        name = each.metadata["Name"]
        if name in {"mlu-agent", "mlu-client"}:
            continue
        texts = [file.name for file in _licence_files(tree, name)]
        lines.append(f" {name} {each.version}: {sbom.licence(each.metadata)}")
        lines += [f"  /{LIBRARIES}/{text}" for text in texts]
    lines += [
        "",
        "The wheel of PyAV (av) holds a whole FFmpeg with x264 and x265, under the GNU General Public License",
        "2 or later (/usr/share/common-licenses/GPL-2), that of OpenCV an FFmpeg under the LGPL 2.1. Who passes this",
        "package on passes on GPL software; the sources are those of the versions above, by their makers.",
        "",
    ]
    return "\n".join(lines)


def _licence_files(tree: Path, name: str) -> list[Path]:
    stem = re.sub(r"[-_.]+", "[-_.]", name)
    folders = [path for path in tree.glob("*.dist-info") if re.match(rf"{stem}-\d", path.name, re.IGNORECASE)]
    found = [
        path for folder in folders for path in folder.rglob("*") if re.match(r"(LICEN[CS]E|COPYING|NOTICE)", path.name)
    ]
    return sorted(Path(path.relative_to(tree).parent, path.name) for path in found if path.is_file())


def _system_libraries(root: Path) -> list[str]:
    """Packages with the libraries that those inside take from the system."""
    libraries = [path for path in (root / LIBRARIES).rglob("*") if ".so" in path.name and path.is_file()]
    inside = {path.name for path in libraries}
    found: set[str] = set()
    for path in libraries:
        for name in re.findall(r"Shared library: \[(.+?)\]", call("readelf", "--dynamic", "--wide", path)):
            if name not in inside:
                found.add(_owner(path, name))
    return sorted(found - {""})


def _owner(path: Path, name: str) -> str:
    for pattern, package in SYSTEM_LIBRARIES.items():
        if re.fullmatch(pattern, name):
            return package
    raise SystemExit(f"packages: {path.name} needs {name}, and deb.py does not know who has it")


def _control(root: Path, release: Release, processor: Processor, version: str, depends: str) -> None:
    folder = root / "DEBIAN"
    folder.mkdir()
    files = sorted(path for path in root.rglob("*") if path.is_file())
    size = sum(-(-path.stat().st_size // 1024) for path in files) + sum(path.is_dir() for path in root.rglob("*"))
    (folder / "control").write_text(
        CONTROL.format(
            name=NAME, version=version, processor=processor.debian, maintainer=MAINTAINER, size=size, depends=depends,
            release=release.name, python=release.python,
        )
    )  # fmt: skip
    (folder / "conffiles").write_text(f"/{SERVICE['mlu-agent.toml']}\n")
    sums = [
        f"{hashlib.md5(path.read_bytes()).hexdigest()}  {path.relative_to(root)}\n"  # noqa: S324 - dpkg's format
        for path in files
        if path.relative_to(root).parts[0] != "etc"
    ]
    (folder / "md5sums").write_text("".join(sums))
    for name in ("postinst", "prerm", "postrm"):
        text = (HERE / "scripts" / name).read_text(encoding="utf-8")
        (folder / name).write_text(text.replace("@PYTHON@", f"python{release.python}"))


def _settle(root: Path, epoch: int) -> None:
    """The same modes and times for everything, whoever's umask made it."""
    programs = {root / "usr" / "bin" / NAME, *(root / "DEBIAN" / name for name in ("postinst", "prerm", "postrm"))}
    for path in sorted(root.rglob("*"), reverse=True):
        path.chmod(0o755 if path.is_dir() or path in programs else 0o644)
        os.utime(path, (epoch, epoch))
    root.chmod(0o755)
    os.utime(root, (epoch, epoch))
