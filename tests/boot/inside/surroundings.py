"""What happens around the process: the journal, the disk, a mount that comes late."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from box import CACHE, CONFIG, UNIT, Listener, Scenario, check, journal, pid, run, show, wait_for

FLOW_S = 1.5  # without a frame is too long while only the log is in trouble
JOURNAL = "systemd-journald.service"
SOCKETS = ("systemd-journald.socket", "systemd-journald-dev-log.socket", "systemd-journald-audit.socket")
LATE_S = 20.0
BACK_S = 10.0
TALKATIVE = "[log]\nsummary_s = 0.02\n"  # a summary of some hundred bytes fifty times a second


class _Talkative:
    """The agent with so much to say that a pipe is full within seconds."""

    def __init__(self, listener: Listener) -> None:
        self._good = CONFIG.read_text()
        CONFIG.write_text(f"{self._good}\n{TALKATIVE}")
        run("systemctl", "restart", UNIT)
        listener.frames_after(time.time(), BACK_S)
        self.pid = pid()

    def __enter__(self) -> _Talkative:
        return self

    def __exit__(self, *_: object) -> None:
        CONFIG.write_text(self._good)
        run("systemctl", "restart", UNIT)

    def check(self, what: str, pause: float) -> str:
        """The same process, and frames all the time."""
        check(pid() == self.pid, f"{what}: the process was replaced")
        check(pause < FLOW_S, f"{what}: {pause:.1f} s without a frame")
        return f"{what}: longest pause {pause:.2f} s"


def a_log_reader_that_hangs(listener: Listener) -> str:
    """journald stopped by SIGSTOP for 20 s while the agent has much to say: frames and heartbeats go on."""
    with _Talkative(listener) as agent:
        journald = int(show("MainPID", unit=JOURNAL)["MainPID"])
        os.kill(journald, signal.SIGSTOP)
        try:
            pause = listener.longest_pause(20)
            silent = time.monotonic() - listener.beat
        finally:
            os.kill(journald, signal.SIGCONT)
        check(silent < 3.0, f"no heartbeat for {silent:.1f} s")
        return agent.check("journald hung", pause)


def a_log_reader_that_dies(listener: Listener) -> str:
    """journald killed and started again, then gone for good for a while: the agent goes on and is heard again."""
    with _Talkative(listener) as agent:
        os.kill(int(show("MainPID", unit=JOURNAL)["MainPID"]), signal.SIGKILL)
        said = [agent.check("journald killed", listener.longest_pause(5))]
        run("systemctl", "stop", *SOCKETS, JOURNAL)
        try:
            said.append(agent.check("journald gone", listener.longest_pause(10)))
        finally:
            run("systemctl", "start", *SOCKETS, JOURNAL)
        said.append(agent.check("journald back", listener.longest_pause(3)))
    return ", ".join(said)


def _fill(folder: Path) -> None:
    """Takes the last byte, root's reserve included."""
    with (folder / "filler").open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))


def a_disk_that_is_full(listener: Listener) -> str:
    """No byte left in /var and for temporary files: frames go on, and the agent starts there, too, without the golden
    frame that it has to record anew."""
    held = Path("/run/boot-test/var")
    held.mkdir(parents=True, exist_ok=True)
    used = int(run("du", "-sk", "/var").split()[0])
    run("mount", "-t", "tmpfs", "-o", f"size={used + 4096}k,mode=755", "tmpfs", str(held))
    run("cp", "-a", "/var/.", str(held))
    run("mount", "--bind", str(held), "/var")
    run("mount", "-t", "tmpfs", "-o", "size=1m,mode=1777", "tmpfs", "/tmp")
    try:
        run("systemctl", "restart", JOURNAL)
        for golden in CACHE.glob("*"):
            golden.unlink()
        for folder in (Path("/var"), Path("/tmp")):
            _fill(folder)
        before = pid()
        pause = listener.longest_pause(5)
        check(pid() == before, "the process was replaced")
        check(pause < FLOW_S, f"{pause:.1f} s without a frame")
        began, wall = time.monotonic(), time.time()
        run("systemctl", "restart", UNIT)
        listener.frames_after(wall + 0.5, 60)
        took = time.monotonic() - began
        left = [path.name for path in CACHE.iterdir()]
        check(not left, f"left in {CACHE}: {left}")
        said = "said" if "golden" in journal(wall) else "kept to itself (the journal is as full)"
    finally:
        run("umount", "--lazy", "/tmp")
        run("umount", "--lazy", "/var", str(held))
        run("systemctl", "restart", JOURNAL)
    return f"longest pause {pause:.2f} s; restarted there, frames after {took:.1f} s; no golden frame, {said}"


def a_mount_that_comes_late(listener: Listener) -> str:
    """The model lies on what is mounted 20 s after the start: the unit tries again until it is there."""
    model = Path("/var/lib/mlu-agent/model")
    run("systemctl", "stop", UNIT)
    run("mount", "-t", "tmpfs", "tmpfs", str(model))
    run("systemctl", "start", "--no-block", UNIT)
    time.sleep(LATE_S)
    tries = int(show("NRestarts")["NRestarts"])
    state = show("ActiveState", "SubState")
    run("umount", str(model))
    wall, began = time.time(), time.monotonic()
    check(state["ActiveState"] != "failed", f"the unit gave up ({state}) after {tries} restarts")
    listener.frames_after(wall, BACK_S)
    took = time.monotonic() - began
    return f"{state['ActiveState']} with {tries} restarts, frames {took:.1f} s after the mount (bound {BACK_S:g})"


def a_clip_that_comes_late(listener: Listener) -> str:
    """The same for what a source reads, beside one that works: nothing is given up."""
    clip, away = Path("/var/lib/mlu-agent/clip.mp4"), Path("/var/lib/mlu-agent/away.mp4")
    run("systemctl", "stop", UNIT)
    clip.rename(away)
    try:
        run("systemctl", "start", "--no-block", UNIT)
        time.sleep(5)
    finally:
        away.rename(clip)
    wall, began = time.time(), time.monotonic()
    wait_for("synthetic frames", lambda: listener.published.get("synthetic", 0.0) > wall, BACK_S)
    alone = time.monotonic() - began
    try:
        listener.frames_after(wall, 15)
    except Exception:
        return f"the other source serves ({alone:.1f} s); a file that was not there stays failed until a restart"
    return f"frames of both {time.monotonic() - began:.1f} s after it came"


SCENARIOS: tuple[Scenario, ...] = (
    a_log_reader_that_hangs, a_log_reader_that_dies, a_disk_that_is_full, a_mount_that_comes_late,
    a_clip_that_comes_late,
)  # fmt: skip
