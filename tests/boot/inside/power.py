"""The power fails: what is on the disk then, and that the box comes back by itself."""

from __future__ import annotations

import random
import subprocess
import time
from pathlib import Path

from box import CACHE, UNIT, Listener, Scenario, check, restarts, run, show, wait_for

LEFT_S = 120  # for what a process that died has left, until the next one removes it
BOOT_S = 180  # in a machine that computes each instruction
OURS = (Path("/var/lib/mlu-agent"), Path("/etc/mlu-agent"), CACHE)


def half_written() -> list[str]:
    """Files of ours without content, and those under a temporary name that nobody removes."""
    files = [path for folder in OURS if folder.is_dir() for path in folder.rglob("*") if path.is_file()]
    young = time.time() - LEFT_S
    return [
        str(path)
        for path in files
        if not path.stat().st_size or (path.suffix == ".part" and path.stat().st_mtime < young)
    ]


def start_s() -> float:
    """How long the last start of the unit took."""
    names = ("InactiveExitTimestampMonotonic", "ActiveEnterTimestampMonotonic")
    began, ready = (int(value) / 1e6 for value in map(show(*names).__getitem__, names))
    return ready - began


def after_a_boot(listener: Listener) -> str:
    """The enabled unit comes up with the machine and frames arrive, without anybody's hand."""
    wait_for("the unit is active", lambda: show("ActiveState")["ActiveState"] == "active", BOOT_S)
    listener.frames_after(time.time(), 60)
    check(restarts() == 0, f"it took {restarts()} restarts to come up")
    check(not half_written(), f"half written: {half_written()}")
    run("mlu-agent", "check", "-c", "/etc/mlu-agent/mlu-agent.toml")
    return f"READY {start_s():.1f} s after systemd began with it; nothing half written"


def before_a_cut(listener: Listener) -> str:
    """While frames flow."""
    listener.frames_after(time.time(), 60)
    return "the power is cut while frames flow"


def after_a_cut(listener: Listener) -> str:
    """As after any boot."""
    return after_a_boot(listener)


def cut_while_starting(_: Listener) -> str:
    """The power is cut at a random moment of a start, in which the golden frame is recorded anew."""
    usual = start_s()
    run("systemctl", "stop", UNIT)
    for golden in CACHE.glob("*"):
        golden.unlink()
    pause = random.uniform(0.1, 1.1) * usual
    subprocess.Popen(["systemctl", "start", UNIT])
    time.sleep(pause)
    return f"the power is cut {pause:.2f} s after a start began, which takes {usual:.1f} s"


# what the boot itself left is looked at: nothing is put right before them
BOOTS: tuple[Scenario, ...] = (after_a_boot, after_a_cut, cut_while_starting)
