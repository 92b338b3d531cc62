"""The life of the package on a box: installed, started, upgraded, removed, purged. Runs in the system's Python.

An older and a newer one are there; the older has another configuration, as a version with fewer options would.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path
from typing import Callable

from box import CONFIG, HERE, SOCKET, UNIT, Failed, Listener, check, pid, run, say, say_log, show, wait_for
from install import place

LIBRARIES = "/usr/lib/mlu-agent"
OURS = ("/etc/mlu-agent", LIBRARIES, "/var/lib/mlu-agent", "/var/cache/mlu-agent", "/run/mlu-agent")
# What a machine writes by itself while it runs; and what dpkg, apt and systemd keep for all packages together.
NOT_LOOKED_AT = (
    "/proc", "/sys", "/dev", "/run", "/tmp", "/boot-test", "/var/log",
    "/var/cache/apt", "/var/lib/apt", "/var/cache/debconf",
    "/var/lib/systemd", "/var/lib/dpkg", "/var/tmp", "/etc/ld.so.cache", "/root",
)  # fmt: skip
ACCOUNTS = ("/etc/passwd-", "/etc/group-", "/etc/shadow-", "/etc/gshadow-", "/etc/.pwd.lock")
MORE = '[[source]]\nid = "more"\nsynthetic = "160x120@5"\n'


def files() -> set[str]:
    """Every file and folder of the machine."""
    found = set()
    for folder, names, others in os.walk("/"):
        prefix = folder.rstrip("/")
        names[:] = [name for name in names if f"{prefix}/{name}" not in NOT_LOOKED_AT]
        names[:] = [name for name in names if name != "__pycache__" or folder.startswith(LIBRARIES)]
        found |= {f"{prefix}/{name}" for name in [*names, *others]}
    return found - set(NOT_LOOKED_AT) - set(ACCOUNTS)


def package(name: str) -> str:
    """The path of the older or the newer."""
    (path,) = (HERE / "packages" / name).glob("*.deb")
    return str(path)


def apt(*words: str) -> str:
    """apt-get without a question, as an unattended upgrade: a configuration that a person changed is kept."""
    keep = ("-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold")
    return run("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-y", "-q", *keep, *words, timeout=600)


def version() -> str:
    """Of the installed package."""
    return run("dpkg-query", "--show", "--showformat=${Version}", "mlu-agent")


def state() -> str:
    """active or not, enabled or not, in systemd's words."""
    return f"{show('ActiveState')['ActiveState']} {show('UnitFileState')['UnitFileState']}"


def installed(_: Listener) -> str:
    """The service is there, stopped and not enabled; one sentence says what to do next."""
    words = apt("install", package("older"))
    check(state() == "inactive disabled", f"the service is {state()}")
    said = [line for line in words.splitlines() if line.startswith("mlu-agent: ")]
    check(len(said) == 1 and "systemctl enable --now mlu-agent" in said[0], f"it says {said}")
    owner = run("stat", "--format=%U:%G %a", str(CONFIG)).strip()
    check(owner == "root:mlu-agent 640", f"{CONFIG} is {owner}")
    check("mlu-agent" in run("mlu-agent", "--version"), "the program does not say its version")
    run("mlu-agent", "devices")
    return f"{version()}: {state()}, {owner}, says what is next"


def started(listener: Listener) -> str:
    """With a model and sources: `enable --now` returns at READY, and a subscriber gets frames."""
    place()
    run("mlu-agent", "check", "-c", str(CONFIG))
    began, wall = time.monotonic(), time.time()
    run("systemctl", "enable", "--now", UNIT)
    ready = time.monotonic() - began
    check(SOCKET.is_socket(), "READY without the socket")
    listener.start()
    listener.frames_after(wall, 30)
    return f"READY after {ready:.1f} s, frames at a subscriber after {time.monotonic() - began:.1f} s; {state()}"


def reloaded(listener: Listener) -> str:
    """A source more, without a restart and without a pause of the others."""
    before, wall = pid(), time.time()
    with CONFIG.open("a") as file:
        file.write(MORE)
    run("systemctl", "reload", UNIT)
    took = wait_for("frames of the new source", lambda: listener.published.get("more", 0.0) > wall, 20)
    pause = listener.longest_pause(3)
    check(pid() == before, "another process")
    return f"frames of the new source after {took:.1f} s, same process, longest pause of the others {pause:.2f} s"


def swapped(listener: Listener) -> str:
    """Another file for the model, asked for by a command: no pause, and `status` tells of it."""
    before, other = pid(), Path("/var/lib/mlu-agent/model/other.cambricon")
    for ending in (".cambricon", ".toml"):
        shutil.copy(other.with_name(f"small{ending}"), other.with_suffix(ending))
    run("mlu-agent", "ctl", "swap", "main", str(other))
    pause = listener.longest_pause(3)
    check(pid() == before, "another process")
    check(pause < 1.0, f"{pause:.1f} s without a frame")
    check(str(other) in run("mlu-agent", "status", "--json"), "status does not name the file")
    run("mlu-agent", "ctl", "swap", "main", "/var/lib/mlu-agent/none.cambricon", good=(2,))
    return f"same process, longest pause {pause:.2f} s; a file that is not there is refused"


def upgraded(listener: Listener) -> str:
    """What ran runs the new version; the configuration that a person wrote stays."""
    before, old, configuration = pid(), version(), CONFIG.read_text()
    began, wall = time.monotonic(), time.time()
    apt("install", package("newer"))
    listener.frames_after(max(wall, time.time()), 30)
    check(version() != old, "the same version")
    check(pid() != before, "still the old process")
    check(CONFIG.read_text() == configuration, "another configuration")
    check(state() == "active enabled", f"the service is {state()}")
    return f"{old} -> {version()} in {time.monotonic() - began:.0f} s: {state()}, configuration as it was"


def upgraded_stopped(_: Listener) -> str:
    """What was stopped stays stopped."""
    run("systemctl", "stop", UNIT)
    apt("install", "--allow-downgrades", package("older"))
    first = state()
    apt("install", package("newer"))
    check(first == state() == "inactive enabled", f"the service is {first}, then {state()}")
    return f"there and back: {state()}"


def removed(_: Listener) -> str:
    """Stopped and gone; the configuration and the models stay, and the next installation finds them."""
    run("systemctl", "start", UNIT)
    configuration = CONFIG.read_text()
    apt("remove", "mlu-agent")
    gone = show("ActiveState", "LoadState")
    check(gone["ActiveState"] == "inactive" and gone["LoadState"] != "loaded", f"the unit is {gone}")
    check(not Path(LIBRARIES).exists(), f"{LIBRARIES} is still there: {list(Path(LIBRARIES).rglob('*'))[:3]}")
    check(CONFIG.read_text() == configuration, "another configuration")
    check(Path("/var/lib/mlu-agent/model/small.cambricon").exists(), "the model is gone")
    apt("install", package("newer"))
    check(CONFIG.read_text() == configuration, "another configuration after the next installation")
    again = state()
    apt("remove", "mlu-agent")
    return f"stopped and gone, configuration and model stay; installed again it is {again}"


def purged(before: set[str]) -> str:
    """Nothing of it is left but the user."""
    apt("purge", "mlu-agent")
    left = sorted(files() - before)
    check(not left, f"left: {left[:5]}")
    check(not [path for path in OURS if Path(path).exists()], "a folder of ours is left")
    gone = sorted(before - files())
    check(not gone, f"gone with it: {gone[:5]}")
    check(run("dpkg-query", "--show", "mlu-agent", good=(1,)) == "", "dpkg still knows it")
    return f"{len(before)} files and folders as before; {run('id', 'mlu-agent').split()[0]} stays"


def _attempt(step: Callable[..., str], argument: object) -> bool:
    start = time.monotonic()
    try:
        line = f"ok    package {step.__name__}: {step(argument)}"
    except Exception as error:
        said = error if isinstance(error, Failed) else f"{type(error).__name__}: {error}"
        line = f"FAIL  package {step.__name__}: {said}"
    say(f"{line} [{time.monotonic() - start:.0f} s]")
    if line.startswith("FAIL"):
        say_log()
    return line.startswith("ok")


def main() -> None:
    """All of it, in this order; what builds on a step that failed is not tried."""
    sys.path.insert(0, LIBRARIES)  # of the package that will be there: the subscriber's
    sys.dont_write_bytecode = True
    before = files()
    listener = Listener()
    steps = (installed, started, reloaded, swapped, upgraded, upgraded_stopped, removed)
    if all(_attempt(step, listener) for step in steps):
        _attempt(purged, before)
    say("done")
    time.sleep(600)


if __name__ == "__main__":
    main()
