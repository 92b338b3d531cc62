"""What happens to the process: signals, a device that hangs, a stop in each state."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from box import (
    CONFIG,
    SOCKET,
    UNIT,
    Listener,
    Scenario,
    check,
    journal,
    pid,
    restarts,
    run,
    show,
    wait_for,
)

BACK_S = 10.0  # detections are back, whatever happened to the process or the device
STOP_S = 5.0
WATCHDOG_S = 30.0 + 10.0  # WatchdogSec, and TimeoutStopSec for a process that cannot take SIGABRT
REFUSED = 2


def start(listener: Listener) -> str:
    """`systemctl start` returns at READY: the socket is there, a status line says so, and frames follow."""
    run("systemctl", "stop", UNIT)
    check(not SOCKET.exists(), "the socket outlives the process")
    began, wall = time.monotonic(), time.time()
    run("systemctl", "start", UNIT)
    ready = time.monotonic() - began
    properties = show("ActiveState", "StatusText", "MainPID")
    check(properties["ActiveState"] == "active", f"it is {properties['ActiveState']} after `start`")
    check(SOCKET.is_socket(), "READY came before the socket was there")
    check(properties["StatusText"], "no status text")
    listener.frames_after(wall, BACK_S)
    heard = time.monotonic() - began
    return f"READY after {ready:.1f} s, frames at a subscriber after {heard:.1f} s"


def readers(_: Listener) -> str:
    """The socket is for the group mlu-agent: another user cannot reach it."""
    code = f"import socket; socket.socket(socket.AF_UNIX).connect('{SOCKET}')"
    as_nobody = ["setpriv", "--reuid=nobody", "--clear-groups"]
    run(*as_nobody, "--regid=mlu-agent", "/usr/bin/python3", "-c", code)
    run(*as_nobody, "--regid=nogroup", "/usr/bin/python3", "-c", code, good=(1,))
    return "a member of the group reads, nobody else does"


def _survives(listener: Listener, name: str, send: tuple[str, ...]) -> str:
    before, wall = pid(), time.time()
    run(*send)
    pause = listener.longest_pause(3)
    check(pid() == before, f"{name} ended or replaced the process")
    check(show("ActiveState")["ActiveState"] == "active", f"{name} left it {show('ActiveState')['ActiveState']}")
    check(pause < 1.0, f"{name}: {pause:.1f} s without a frame")
    check(name in journal(wall), f"{name} was not said in the log")
    return f"{name}: same process, longest pause {pause:.2f} s, said"


def hangup(listener: Listener) -> str:
    """SIGHUP reads the configuration anew, says so, and costs no frame."""
    return _survives(listener, "SIGHUP", ("systemctl", "kill", "--signal=SIGHUP", "--kill-whom=main", UNIT))


def user_signals(listener: Listener) -> str:
    """SIGUSR1 and SIGUSR2 neither end the process."""
    said = [
        _survives(listener, name, ("systemctl", "kill", f"--signal={name}", "--kill-whom=main", UNIT))
        for name in ("SIGUSR1", "SIGUSR2")
    ]
    return "; ".join(said)


def reload(listener: Listener) -> str:
    """`systemctl reload` returns when it is done and costs no frame; it fails where the file is wrong, and the journal
    says why."""
    said = _survives(listener, "asked to change", ("systemctl", "reload", UNIT))
    written = CONFIG.read_text()
    before, wall = pid(), time.time()
    try:
        CONFIG.write_text(written + "\n[nonsense]\n")
        run("systemctl", "reload", UNIT, good=(1,))
    finally:
        CONFIG.write_text(written)
    check(pid() == before, "a wrong file ended or replaced the process")
    check(show("ActiveState")["ActiveState"] == "active", "a wrong file ended the service")
    check("nonsense" in journal(wall), "the journal does not say what is wrong")
    return f"{said}; a wrong file is refused with its reason"


def ask(_: Listener) -> str:
    """`mlu-agent status` and `ctl` find the daemon without being told where; only the group may ask."""
    out = run("mlu-agent", "status")
    check("serving" in out, f"status does not say that it serves: {out}")
    as_nobody = ["setpriv", "--reuid=nobody", "--clear-groups"]
    run(*as_nobody, "--regid=mlu-agent", "mlu-agent", "status")
    run(*as_nobody, "--regid=nogroup", "mlu-agent", "status", good=(3,))
    run("mlu-agent", "ctl", "log", "debug")
    run("mlu-agent", "ctl", "log", "info")
    return "status and ctl answer the group, and nobody else"


def _back(listener: Listener, wall: float, began: float, before: int, limit_s: float) -> str:
    listener.frames_after(wall, limit_s)
    took = time.monotonic() - began
    check(pid() != before, "the process is still the same")
    return f"frames again after {took:.1f} s (bound {limit_s:g}), pid {before} -> {pid()}"


def killed(listener: Listener) -> str:
    """kill -9: started again, the stale socket taken over."""
    before, count, inode = pid(), restarts(), SOCKET.stat().st_ino
    began, wall = time.monotonic(), time.time()
    os.kill(before, signal.SIGKILL)
    said = _back(listener, wall + 0.5, began, before, BACK_S)
    check(restarts() == count + 1, f"{restarts() - count} restarts, expected 1")
    check(SOCKET.stat().st_ino != inode, "the stale socket was left")
    return said


def crashed(listener: Listener) -> str:
    """SIGSEGV, as from a bug in a driver's library."""
    before, began, wall = pid(), time.monotonic(), time.time()
    os.kill(before, signal.SIGSEGV)
    return _back(listener, wall + 0.5, began, before, BACK_S)


def stopped_process(listener: Listener) -> str:
    """SIGSTOP: the watchdog notices, and the process is replaced."""
    before, began, wall = pid(), time.monotonic(), time.time()
    os.kill(before, signal.SIGSTOP)
    return _back(listener, wall + 1.0, began, before, WATCHDOG_S + BACK_S)


def _stop() -> tuple[float, str]:
    began = time.monotonic()
    run("systemctl", "stop", UNIT)
    took = time.monotonic() - began
    properties = show("Result", "ExecMainCode", "ExecMainStatus")
    return took, f"{properties['Result']}, exit {properties['ExecMainStatus']}"


def _check_stop(state: str) -> str:
    took, how = _stop()
    check(took <= STOP_S, f"{state}: {took:.1f} s to stop")
    check(how == "success, exit 0", f"{state}: {how}")
    check(not SOCKET.exists(), f"{state}: the socket is still there")
    return f"{state} {took:.1f} s"


def stops(listener: Listener) -> str:
    """`systemctl stop` within 5 s and with exit 0: serving, just started, while starting."""
    said = [_check_stop("serving")]
    run("systemctl", "start", UNIT)
    said.append(_check_stop("at READY"))
    for pause in (0.2, 0.6, 1.2):
        run("systemctl", "start", "--no-block", UNIT)
        time.sleep(pause)
        took, how = _stop()
        check(took <= STOP_S, f"{pause} s into the start: {took:.1f} s to stop")
        check(how.startswith("success"), f"{pause} s into the start: {how}")
        said.append(f"{pause} s into a start {took:.1f} s")
    run("systemctl", "start", UNIT)
    listener.frames_after(time.time(), BACK_S)
    return ", ".join(said)


def two_units(listener: Listener) -> str:
    """Two agents on one box, each with its configuration, stopped in one transaction."""
    other = "mlu-agent-2.service"
    text = Path(f"/etc/systemd/system/{UNIT}").read_text()
    text = text.replace("mlu-agent.toml", "second.toml")
    text = text.replace("RuntimeDirectory=mlu-agent", "RuntimeDirectory=mlu-agent-2")
    Path(f"/run/systemd/system/{other}").write_text(text)
    second = CONFIG.with_name("second.toml")
    endpoint = "ipc:///run/mlu-agent-2/detections.sock"
    second.write_text(f'{CONFIG.read_text()}\n[publish]\nendpoint = "{endpoint}"\n')
    os.chown(second, 0, CONFIG.stat().st_gid)
    try:
        run("systemctl", "daemon-reload")
        run("systemctl", "start", other)
        ear = Listener(endpoint)
        ear.start()
        ear.frames_after(time.time(), BACK_S)
        listener.frames_after(time.time(), BACK_S)
        began = time.monotonic()
        run("systemctl", "stop", UNIT, other)
        took = time.monotonic() - began
        results = [show("Result", "ExecMainStatus", unit=unit) for unit in (UNIT, other)]
    finally:
        second.unlink()
    check(took <= STOP_S, f"{took:.1f} s for both")
    check(all(one == {"Result": "success", "ExecMainStatus": "0"} for one in results), f"they ended as {results}")
    return f"both served, both gone after {took:.1f} s with exit 0"


def a_mistake_in_the_configuration(listener: Listener) -> str:
    """It is said in one line, and mended without anybody's `systemctl`: the next try takes the mended file."""
    good = CONFIG.read_text()
    run("systemctl", "stop", UNIT)
    wall = time.time()
    CONFIG.write_text(good.replace("[model]", "[model]\nthreshold = 0.5"))
    try:
        run("systemctl", "start", "--no-block", UNIT)
        wait_for("the log names the mistake", lambda: "threshold" in journal(wall), BACK_S)
        wait_for("the process ends", lambda: pid() == 0, BACK_S)
    finally:
        CONFIG.write_text(good)
    state = show("ActiveState", "SubState", "NRestarts")
    if state["ActiveState"] == "failed":
        run("systemctl", "start", UNIT)
        return "said; the unit gives up on what only a person can mend, and starts when told to"
    took = wait_for("it starts with the mended file", lambda: show("ActiveState")["ActiveState"] == "active", 60)
    listener.frames_after(time.time(), BACK_S)
    return f"said; tried again by itself, serving {took:.1f} s after the file was mended"


SCENARIOS: tuple[Scenario, ...] = (
    start, readers, hangup, user_signals, reload, ask, killed, crashed, stopped_process, stops, two_units,
    a_mistake_in_the_configuration,
)  # fmt: skip
