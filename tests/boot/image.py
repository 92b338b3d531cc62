"""The root of a Debian with systemd, as a box has it before anybody installed the agent, and what is installed there.

The base comes from debootstrap, over the mirror that this machine's apt is configured for, and is kept: it is named
by what is in it. Wheels come from where this machine's pip is configured for, for the base's Python.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("systemd", "systemd-sysv", "udev", "dbus", "procps", "python3", "python3-venv", "ca-certificates")
KERNEL = {"x86_64": "linux-image-cloud-amd64", "aarch64": "linux-image-cloud-arm64"}
LIBRARIES = ("libstdc++6", "zlib1g", "ca-certificates")  # what the package takes from the system: nothing is fetched
# The releases' code names, and whose mirror has them
SUITES = {
    "debian11": ("bullseye", "debian"), "debian12": ("bookworm", "debian"), "debian13": ("trixie", "debian"),
    "ubuntu20.04": ("focal", "ubuntu"), "ubuntu22.04": ("jammy", "ubuntu"), "ubuntu24.04": ("noble", "ubuntu"),
}  # fmt: skip
DEBIAN = {"x86_64": "amd64", "aarch64": "arm64"}  # its names for processors
VM_PACKAGES = ("initramfs-tools", "e2fsprogs", "kmod")
# of pip's names for a machine, the newest that Debian's C library still runs
MANYLINUX = ("linux", "manylinux_2_36", "manylinux_2_34", "manylinux_2_31", "manylinux_2_28", "manylinux_2_27",
             "manylinux_2_26", "manylinux_2_24", "manylinux_2_17", "manylinux2014", "manylinux_2_12", "manylinux2010",
             "manylinux_2_5", "manylinux1")  # fmt: skip
CLIP_FRAMES = 50
CLIP_SIZE = (320, 240)
CLIP_FPS = 10


def call(*command: str | Path, cwd: Path = ROOT) -> str:
    """Runs a command and returns what it said; one that fails ends everything with its last words."""
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    if done.returncode:
        words = (done.stdout + done.stderr).strip()[-2000:]
        sys.exit(f"boot-test: {command[0]} ended with {done.returncode}:\n{words}")
    return done.stdout


def release() -> tuple[str, str]:
    """The code name of this machine's Debian and the mirror that its apt has for it."""
    found = re.search(r"^VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text(), re.MULTILINE)
    name = found[1] if found else ""
    targets = call("apt-get", "indextargets", "--format", "$(CODENAME) $(REPO_URI)", "Created-By: Packages")
    for line in targets.splitlines():
        if line.startswith(f"{name} "):
            return name, line.split()[1]
    sys.exit(f"boot-test: apt has no source for {name or 'this release'}")


def base(folder: Path) -> Path:
    """The base of this machine's release, with a kernel for a virtual machine; made if it is not there."""
    packages = (*PACKAGES, KERNEL[platform.machine()], *VM_PACKAGES)
    return _base(folder, *release(), packages)


def base_of(folder: Path, name: str) -> Path:
    """The base of a release that packages are made for, as ``systemd/packages/releases.py`` names it."""
    suite, kind = SUITES[name]
    mirror = os.environ.get(f"{kind.upper()}_MIRROR", release()[1] if kind == "debian" else "")
    if not mirror:
        sys.exit(f"boot-test: {kind.upper()}_MIRROR names a mirror of {name}")
    extra = ("python3.9",) if name == "ubuntu20.04" else ()
    return _base(folder, suite, mirror, (*PACKAGES[:-2], *LIBRARIES, *extra))


def _base(folder: Path, name: str, mirror: str, wanted: tuple[str, ...]) -> Path:
    packages = ",".join(wanted)
    path = folder / f"base-{name}-{hashlib.sha256(packages.encode()).hexdigest()[:8]}"
    if not path.is_dir():
        print(f"boot-test: debootstrap of {name}, once", flush=True)
        part = path.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        components = "--components=main,universe" if "ubuntu" in mirror else "--components=main"
        call("debootstrap", "--variant=minbase", components, f"--include={packages}", name, part, mirror)
        (part / "etc" / "hostname").write_text("box\n")
        shutil.rmtree(part / "var" / "cache" / "apt")
        part.rename(path)
    return path


def wheels(folder: Path, python: str) -> Path:
    """Wheels of this checkout and of all that they require, for ``python`` (as "3.11") on this processor."""
    own = folder / "own-wheels"
    shutil.rmtree(own, ignore_errors=True)
    pip = (sys.executable, "-m", "pip")
    for source in (ROOT / "agent" / "client", ROOT):
        call(*pip, "wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", own, source)
    path = folder / "wheels"
    path.mkdir(exist_ok=True)
    for stale in path.glob("mlu_*.whl"):
        stale.unlink()
    platforms = [f"--platform={name}_{platform.machine()}" for name in MANYLINUX]
    call(
        *pip, "download", "--dest", path, "--find-links", own, "--find-links", path, "--only-binary=:all:",
        f"--python-version={python}", "--implementation=cp", *platforms, *sorted(own.glob("mlu_*.whl")),
    )  # fmt: skip
    return path


def clip(path: Path) -> None:
    """Five seconds of a moving square."""
    import cv2
    import numpy as np

    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), CLIP_FPS, CLIP_SIZE)
    for number in range(CLIP_FRAMES):
        picture = np.full((CLIP_SIZE[1], CLIP_SIZE[0], 3), 60, np.uint8)
        picture[80:160, 4 * number : 4 * number + 80] = (40, 180, 240)
        writer.write(picture)
    writer.release()


def fill(root: Path, folder: Path) -> None:
    """Puts into /boot-test what is installed and run there, and a unit that runs it at each boot."""
    python = Path(root, "usr", "bin", "python3").readlink().name.removeprefix("python")
    inside = _inside(root)
    shutil.copytree(wheels(folder, python), inside / "wheels")
    shutil.copy(ROOT / "README.md", inside)


def packages(folder: Path, name: str) -> Path:
    """A folder with the .deb of this checkout's HEAD for the release and this processor."""
    output = folder / f"packages-{name}"
    program = ROOT / "systemd" / "packages" / "build.py"
    only = ("--releases", name, "--processors", DEBIAN[platform.machine()], "--level", "0")
    call(sys.executable, program, *only, "--work", folder / "packages-work", "--output", output)
    return output


def fill_with_packages(root: Path, folder: Path, name: str, built: Path) -> None:
    """The same as ``fill``, but with a .deb that was built and an older one, which is made of it."""
    inside = _inside(root)
    suffix = re.sub(r"^debian", "deb", name)
    (newer,) = built.glob(f"mlu-agent_*~{suffix}_{DEBIAN[platform.machine()]}.deb")
    for kind in ("newer", "older"):
        (inside / "packages" / kind).mkdir(parents=True)
    shutil.copy(newer, inside / "packages" / "newer")
    _make_older(newer, inside / "packages" / "older", folder / "older-tree")
    for kind in ("newer", "older"):
        call("sh", "-c", "sha256sum *.deb >SHA256SUMS", cwd=inside / "packages" / kind)
    shutil.copy(ROOT / "docs" / "operate.md", inside)
    (inside / "delivery").mkdir()
    for kind in ("model", "new"):
        shutil.copy(inside / "model" / "small.cambricon", inside / "delivery" / f"{kind}.cambricon")
        manifest = (inside / "model" / "small.toml").read_text()
        (inside / "delivery" / f"{kind}.toml").write_text(manifest.replace("small.cambricon", f"{kind}.cambricon"))
    (inside / "python").write_text(Path(root, "usr/bin/python3.9" if name == "ubuntu20.04" else "usr/bin/python3").name)


def _make_older(newer: Path, into: Path, tree: Path) -> None:
    """The same under an earlier version, with a configuration that lacks the last line of the newer."""
    shutil.rmtree(tree, ignore_errors=True)
    call("dpkg-deb", "-R", newer, tree)
    control = tree / "DEBIAN" / "control"
    control.write_text(re.sub(r"^Version: .*$", "Version: 0.0.9-1", control.read_text(), flags=re.MULTILINE))
    sample = tree / "etc" / "mlu-agent" / "mlu-agent.toml"
    sample.write_text("".join(sample.read_text().splitlines(keepends=True)[:-1]))
    call("dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, into / "mlu-agent_0.0.9-1.deb")
    shutil.rmtree(tree)


def _inside(root: Path) -> Path:
    sys.path.insert(0, str(ROOT))
    from tests.models import small_bundle

    inside = root / "boot-test"
    shutil.copytree(Path(__file__).parent / "inside", inside, ignore=shutil.ignore_patterns("__pycache__"))
    (inside / "model").mkdir()
    small_bundle(inside / "model")
    clip(inside / "clip.mp4")
    unit = root / "etc" / "systemd" / "system" / "boot-test.service"
    shutil.copy(inside / "boot-test.service", unit)
    wants = unit.parent / "multi-user.target.wants"
    wants.mkdir(exist_ok=True)
    (wants / unit.name).symlink_to(f"../{unit.name}")
    return inside


def fresh(folder: Path, release_name: str = "", built: Path | None = None) -> Path:
    """A new root, filled; with the package of a release if one is named, which ``built`` holds or is built now."""
    root = folder / "root"
    subprocess.run(["rm", "-rf", "--one-file-system", root], check=True)
    source = base_of(folder, release_name) if release_name else base(folder)
    call("cp", "-a", "--reflink=auto", source, root)
    if release_name:
        fill_with_packages(root, folder, release_name, built or packages(folder, release_name))
    else:
        fill(root, folder)
    return root


def disk(root: Path, folder: Path, megabytes: int = 2000) -> Path:
    """An ext4 image of the root."""
    path = folder / "disk.ext4"
    path.unlink(missing_ok=True)
    call("mke2fs", "-q", "-t", "ext4", "-d", root, path, f"{megabytes}M")
    return path
