"""What tests need of the machine, each asked by a small trial: the thing is used, not looked up.

    python tests/needs.py             one line for each need: it works, or what does not
    python tests/needs.py missing     the lines of what does not work
    python tests/needs.py packages    a line of Debian packages for each of those

A command that is there may be half installed: a cross compiler without its C library, clang without libFuzzer, ffmpeg
without an encoder. So each trial does in small what the tests do. tests/system-packages.sh installs after these trials,
tests/conftest.py and tests/run.py skip by them. Only the standard library: this runs before anything is installed.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Callable, NamedTuple

SYSTEM_PYTHON = "/usr/bin/python3"  # has Debian's bindings, which no environment of pip's has
RTSP_SERVER = Path(__file__).resolve().parent / "rtsp_server.py"
AARCH64 = "aarch64-linux-gnu"

_LIBRARY = "int twice(int number) { return 2 * number; }\n"
_PROGRAM = """
#include <pthread.h>
#include <stdio.h>
int twice(int);
static void *work(void *number) { *(int *)number = twice(21); return 0; }
int main(void) {
    int number = 0;
    pthread_t thread;
    if (pthread_create(&thread, 0, work, &number) || pthread_join(thread, 0)) return 1;
    return printf("%d\\n", number) == 3 ? 0 : 1;
}
"""
_PROGRAM_CXX = """
#include <string>
int main(int count, char **) { return std::string(static_cast<size_t>(count), 'x').size() == 1 ? 0 : 1; }
"""
_FUZZER = """
#include <stddef.h>
int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t size) { return size > 9 && bytes[9] == 1 ? 0 : 0; }
"""
_UNIT = "[Unit]\nDescription=a trial\n[Service]\nExecStart=/bin/sh -c true\n"


class Failed(Exception):
    """A trial that did not work; its text says what did not."""


class Need(NamedTuple):
    """Debian's packages that make it work, and the trial: it gets an empty folder and raises Failed."""

    packages: str
    trial: Callable[[Path], None]


def _sentence(output: str) -> str:
    """The line of a tool's output that says most: its first error, else its last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower() or "cannot" in line]
    return [*errors, *lines[-1:], "without a word"][0]


def _run(*command: str | Path, cwd: Path | None = None) -> None:
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words, cwd=cwd, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, check=False
        )
    except OSError as error:
        raise Failed(f"{words[0]} cannot be started: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{words[0]} did not end within 60 s") from error
    if done.returncode != 0:
        raise Failed(f"{words[0]} ended with {done.returncode}: {_sentence(done.stderr + done.stdout)}")


def _c(folder: Path, compiler: str, *options: str, run: tuple[str, ...] = ()) -> None:
    """A program with a thread and a shared library of its own: compiled, linked and run, as the C tests are."""
    (folder / "twice.c").write_text(_LIBRARY)
    (folder / "main.c").write_text(_PROGRAM)
    _run(compiler, *options, "-shared", "-fPIC", "twice.c", "-o", "libtwice.so", cwd=folder)
    link = ("-L.", "-ltwice", "-lm", "-pthread", f"-Wl,-rpath,{folder}")
    _run(compiler, *options, "main.c", *link, "-o", "main", cwd=folder)
    _run(*run, folder / "main", cwd=folder)


def _cxx(folder: Path, compiler: str, run: tuple[str, ...] = ()) -> None:
    (folder / "main.cpp").write_text(_PROGRAM_CXX)
    _run(compiler, "main.cpp", "-o", "main", cwd=folder)
    _run(*run, folder / "main")


_QEMU = ("qemu-aarch64", "-L", f"/usr/{AARCH64}")  # as native/cmake/aarch64-linux-gnu.cmake


def _fuzz(folder: Path) -> None:
    """libFuzzer with both sanitizers, as native/fuzz/run.sh."""
    (folder / "fuzz.c").write_text(_FUZZER)
    _run("clang", "-fsanitize=fuzzer,address,undefined", "fuzz.c", "-o", "fuzz", cwd=folder)
    _run(folder / "fuzz", "-runs=10", cwd=folder)


def _rtsp(folder: Path) -> None:
    """A clip is written, served and one picture of it received."""
    ffmpeg = ("ffmpeg", "-nostdin", "-loglevel", "error")
    _run(*ffmpeg, "-f", "lavfi", "-i", "testsrc=duration=1:size=64x48", "-c:v", "mpeg4", folder / "clip.mp4")
    command = [SYSTEM_PYTHON, RTSP_SERVER, "--port", "0", "--file", folder / "clip.mp4", "--size", "64x48"]
    with (folder / "said").open("w+") as said:
        try:
            server = subprocess.Popen(
                [*map(str, command), "--until-eof", "--lifetime", "60"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True,
            )  # fmt: skip
        except OSError as error:
            raise Failed(f"{SYSTEM_PYTHON} cannot be started: {error.strerror}") from error
        with server:  # its input closes at the end, and it ends
            assert server.stdout is not None
            line = server.stdout.readline()
            if not line.startswith("ready "):
                server.wait()
                said.seek(0)
                raise Failed(f"the RTSP server does not start: {_sentence(said.read())}")
            try:
                _run(*ffmpeg, "-rtsp_transport", "tcp", "-i", line.split()[1], "-frames:v", "1", "-f", "null", "-")
            finally:
                server.kill()


def _systemd(folder: Path) -> None:
    (folder / "trial.service").write_text(_UNIT)
    _run("systemd-analyze", "verify", folder / "trial.service")
    _run("systemd-analyze", "security", "--offline=true", "--no-pager", folder / "trial.service")


def _boot(folder: Path) -> None:
    """A container is made and a process of this machine's /usr runs in it."""
    _run("debootstrap", "--version")
    if os.geteuid() != 0:
        raise Failed("only root boots a machine")
    nspawn = ("systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--console=pipe", "--private-network")
    root = folder / "root"
    (root / "usr").mkdir(parents=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    _run(*nspawn, "--bind-ro=/usr", "--directory", root, "/usr/bin/true")


def _virtual_machine(folder: Path) -> None:
    """A machine that has nothing to boot ends when its monitor is told so, and an ext4 image is made of a folder."""
    _run("mke2fs", "-q", "-t", "ext4", "-d", folder, folder / "disk", "2M")
    quit_at_once = ("-S", "-display", "none", "-nodefaults", "-accel", "tcg", "-machine", "none", "-qmp", "stdio")
    _run("timeout", "--preserve-status", "--signal=TERM", "1", "qemu-system-x86_64", *quit_at_once)


def _cmake(folder: Path) -> None:
    (folder / "CMakeLists.txt").write_text("cmake_minimum_required(VERSION 3.18)\nproject(trial C)\n")
    _run("cmake", "-S", folder, "-B", folder / "build")


_CC = "gcc libc6-dev"
_NO_FILE = "--callgrind-out-file=/dev/null"
_GSTREAMER = " ".join(f"gstreamer1.0-plugins-{kind}" for kind in ("base", "good", "bad", "ugly"))
NEEDS = {
    "cc": Need(_CC, lambda folder: _c(folder, "cc")),
    "cmake": Need("cmake make", _cmake),
    "pkgconfig": Need("pkg-config", lambda _: _run("pkg-config", "--version")),
    "sanitizers": Need(_CC, lambda folder: _c(folder, "cc", "-fsanitize=address,undefined")),
    "threads": Need(_CC, lambda folder: _c(folder, "cc", "-fsanitize=thread")),
    "c++": Need("g++", lambda folder: _cxx(folder, "c++")),
    "aarch64": Need(
        f"qemu-user gcc-{AARCH64} libc6-dev-arm64-cross", lambda folder: _c(folder, f"{AARCH64}-gcc", run=_QEMU)
    ),
    "aarch64 c++": Need(
        f"qemu-user g++-{AARCH64} libc6-dev-arm64-cross", lambda folder: _cxx(folder, f"{AARCH64}-g++", run=_QEMU)
    ),
    "fuzz": Need("clang libclang-rt-dev", _fuzz),
    "rtsp": Need(f"ffmpeg python3-gi gir1.2-gst-rtsp-server-1.0 {_GSTREAMER}", _rtsp),
    "readelf": Need("binutils", lambda _: _run("readelf", "--file-header", "/proc/self/exe")),
    "valgrind": Need("valgrind", lambda _: _run("valgrind", "--tool=callgrind", _NO_FILE, "true")),
    "git": Need("git", lambda folder: _run("git", "init", folder)),
    "systemd": Need("systemd", _systemd),
    "deb": Need("dpkg", lambda _: _run("dpkg-deb", "--version")),
    "venv": Need("python3-venv", lambda folder: _run(sys.executable, "-m", "venv", folder / "venv")),
}
# Of commands that are not part of `make test`, which therefore does not install for them.
ELSEWHERE = {
    "promtool": Need("prometheus", lambda _: _run("promtool", "--version")),
    "boot": Need("debootstrap systemd-container", _boot),
    "virtual machine": Need("qemu-system-x86 e2fsprogs", _virtual_machine),
}


@functools.lru_cache(None)
def missing(name: str) -> str | None:
    """Why the need does not work here, with the packages that Debian has for it; None: it works. Tried once."""
    need = {**NEEDS, **ELSEWHERE}[name]
    with tempfile.TemporaryDirectory(prefix="mlu-agent-trial-") as folder:
        try:
            need.trial(Path(folder))
        except Failed as failed:
            return f"{failed} (Debian: {need.packages})"
    return None


def main(arguments: list[str]) -> int:
    """Tries all; prints them as the arguments ask."""
    needs = {**NEEDS, **({} if arguments else ELSEWHERE)}
    for name, need in needs.items():
        reason = missing(name)
        if reason or not arguments:
            print(need.packages if arguments == ["packages"] else f"{name}: {reason or 'works'}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
