"""The life of the package on a box: installed, started, upgraded, removed, purged. Runs in the system's Python.

What is run are the commands of docs/operate.md. An older and a newer package are there; the older has another delivered
configuration, as a version with fewer options would.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from pathlib import Path
from typing import Callable

from box import CONFIG, HERE, SOCKET, UNIT, Failed, Listener, check, pid, run, say, say_log, show, wait_for
from install import CONFIGURATION

LIBRARIES = "/usr/lib/mlu-agent"
MODELS = Path("/var/lib/mlu-agent/model")
OLDER, NEWER = HERE / "packages" / "older", HERE / "packages" / "newer"
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


def page(heading: str) -> list[str]:
    """The commands that docs/operate.md gives under a heading, a block of lines each."""
    text = (HERE / "operate.md").read_text(encoding="utf-8")
    part = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"(?:^    .*\n)+", part, re.MULTILINE)
    check(blocks, f"docs/operate.md has no commands under {heading}")
    return [re.sub(r"^    ", "", block, flags=re.MULTILINE) for block in blocks]


def shell(commands: str, folder: Path) -> str:
    """Runs them as a person would who stands in the folder."""
    return run("sh", "-exc", f"cd {folder}\n{commands}", timeout=600)


def answer_no_questions() -> None:
    """apt asks nothing, as in an unattended upgrade: a configuration that a person changed is kept."""
    keep = "".join(f'"--force-{word}";' for word in ("confdef", "confold"))
    text = f'Dpkg::Options {{ {keep} }};\nAPT::Get::Assume-Yes "true";\n'
    Path("/etc/apt/apt.conf.d/99boot-test").write_text(text)
    os.environ["DEBIAN_FRONTEND"] = "noninteractive"


def version() -> str:
    """Of the installed package."""
    return run("dpkg-query", "--show", "--showformat=${Version}", "mlu-agent")


def state() -> str:
    """active or not, enabled or not, in systemd's words."""
    return f"{show('ActiveState')['ActiveState']} {show('UnitFileState')['UnitFileState']}"


def installed(_: Listener) -> str:
    """The service is there, stopped and not enabled; one sentence says what to do next."""
    words = shell(page("Install")[0], OLDER)
    check(state() == "inactive disabled", f"the service is {state()}")
    said = [line for line in words.splitlines() if line.startswith("mlu-agent: the service")]
    check(len(said) == 1 and "systemctl enable --now mlu-agent" in said[0], f"it says {said}")
    owner = run("stat", "--format=%U:%G %a", str(CONFIG)).strip()
    check(owner == "root:mlu-agent 640", f"{CONFIG} is {owner}")
    run("mlu-agent", "devices")
    return f"{version()}: {state()}, {owner}, says what is next"


def started(listener: Listener) -> str:
    """By the page's commands for the first camera: `enable --now` returns at READY, and a subscriber gets frames."""
    before, _, after = page("The first camera")[0].partition("# edit")
    shell(before, HERE / "delivery")
    shutil.copy(HERE / "clip.mp4", MODELS.parent)
    with CONFIG.open("w") as file:  # as an editor does: owner and mode stay
        file.write(CONFIGURATION.replace("small.cambricon", "model.cambricon"))
    began, wall = time.monotonic(), time.time()
    shell(after.partition("\n")[2], HERE)
    took = time.monotonic() - began
    check(SOCKET.is_socket(), "READY without the socket")
    sys.path.insert(0, LIBRARIES)  # the subscriber's; not before it is there, which Python would remember
    listener.start()
    listener.frames_after(wall, 30)
    return f"check, doctor, start, status and three messages in {took:.1f} s; {state()}"


def changed(listener: Listener) -> str:
    """A source more and another model, without a restart and without a pause."""
    before, wall = pid(), time.time()
    with CONFIG.open("a") as file:
        file.write(MORE)
    listener.longest = {}
    shell(page("Changes")[0], HERE / "delivery")
    took = wait_for("frames of the new source", lambda: listener.published.get("more", 0.0) > wall, 20)
    pause = listener.longest_pause(3)
    check(pid() == before, "another process")
    check(pause < 1.0, f"{pause:.1f} s without a frame")
    check("new.cambricon" in run("mlu-agent", "status", "--json"), "status does not name the file")
    run("mlu-agent", "ctl", "swap", "main", str(MODELS / "none.cambricon"), good=(2,))
    return f"reload and swap: frames of the new source after {took:.1f} s, same process, longest pause {pause:.2f} s"


def upgraded(listener: Listener) -> str:
    """What ran runs the new version; the configuration that a person wrote stays."""
    before, old, configuration = pid(), version(), CONFIG.read_text()
    began = time.monotonic()
    shell(page("Upgrade")[0], NEWER)
    listener.frames_after(time.time(), 30)
    check(version() != old, "the same version")
    check(pid() != before, "still the old process")
    check(CONFIG.read_text() == configuration, "another configuration")
    check(CONFIG.with_name("mlu-agent.toml.dpkg-dist").exists(), "the delivered one is not beside it")
    check(state() == "active enabled", f"the service is {state()}")
    pause = max(listener.longest.values())
    return f"{old} -> {version()} in {time.monotonic() - began:.0f} s: {state()}, {pause:.1f} s without a frame"


def upgraded_stopped(_: Listener) -> str:
    """What was stopped stays stopped."""
    run("systemctl", "stop", UNIT)
    shell("apt-get install --allow-downgrades ./mlu-agent_*.deb", OLDER)
    first = state()
    shell(page("Upgrade")[0], NEWER)
    check(first == state() == "inactive enabled", f"the service is {first}, then {state()}")
    return f"there and back: {state()}"


def removed(_: Listener) -> str:
    """Stopped and gone; the configuration and the models stay, and the next installation finds them."""
    run("systemctl", "start", UNIT)
    configuration = CONFIG.read_text()
    shell(page("Remove")[0].splitlines()[0], HERE)
    gone = show("ActiveState", "LoadState")
    check(gone["ActiveState"] == "inactive" and gone["LoadState"] != "loaded", f"the unit is {gone}")
    check(not Path(LIBRARIES).exists(), f"{LIBRARIES} is still there: {list(Path(LIBRARIES).rglob('*'))[:3]}")
    check(CONFIG.read_text() == configuration, "another configuration")
    check((MODELS / "model.cambricon").exists(), "the model is gone")
    shell(page("Install")[0], NEWER)
    check(CONFIG.read_text() == configuration, "another configuration after the next installation")
    return f"stopped and gone, configuration and model stay; installed again it is {state()}"


def restored(listener: Listener) -> str:
    """What was backed up serves on a box where nothing of it was left."""
    save, restore = page("Back up")
    configuration = CONFIG.read_text()
    shell(save, HERE)
    shell(page("Remove")[0].splitlines()[1], HERE)
    check(not CONFIG.exists() and not MODELS.exists(), "purge left something")
    shell(page("Install")[0], NEWER)
    shell(restore, HERE)
    owner = run("stat", "--format=%U:%G %a", str(CONFIG)).strip()
    check(CONFIG.read_text() == configuration and owner == "root:mlu-agent 640", f"another configuration, {owner}")
    wall = time.time()
    run("systemctl", "start", UNIT)
    listener.frames_after(wall, 30)
    return f"purged, installed, restored, serving; {owner}"


def purged(before: set[str]) -> str:
    """Nothing of it is left but the user."""
    shell(page("Remove")[0], HERE)
    left = sorted(files() - before)
    check(not left, f"left: {left[:5]}")
    check(not [path for path in OURS if Path(path).exists()], "a folder of ours is left")
    gone = sorted(before - files())
    check(not gone, f"gone with it: {gone[:5]}")
    known = run("dpkg-query", "--show", "mlu-agent", good=(0, 1))
    check(not known.strip(), f"dpkg still knows {known}")
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
    sys.dont_write_bytecode = True
    answer_no_questions()
    before = files()
    listener = Listener()
    steps = (installed, started, changed, upgraded, upgraded_stopped, removed, restored)
    if all(_attempt(step, listener) for step in steps):
        _attempt(purged, before)
    say("done")
    time.sleep(600)


if __name__ == "__main__":
    main()
