"""The device hangs, in each call that there is: the process gives up, systemd starts it again, detections flow."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

from box import UNIT, Listener, Scenario, check, drop_in, journal, restarts, run, show, wait_for

BACK_S = 10.0  # from the hang to detections, the start of a new process included
FAULTS = Path("/run/boot-test/faults.toml")
HANG_AFTER_S = 3.0


class Point(NamedTuple):
    """Where the device hangs: the function, which of its copies, and whether at the first call of the process."""

    function: str
    direction: str = ""
    at_start: bool = False


POINTS = {
    "init": Point("cnrtInit", at_start=True),
    "load": Point("cnrtLoadModel", at_start=True),
    "invoke": Point("cnrtInvokeRuntimeContext"),
    "copy_in": Point("cnrtMemcpy", "in"),
    "copy_out": Point("cnrtMemcpy", "out"),
    "sync": Point("cnrtSyncQueue"),
    "place": Point("cnrtPlaceNotifier"),
    "wait": Point("cnrtWaitNotifier"),
}


def _write(point: Point | None) -> None:
    """The faults of the next process: a device that hangs at the point and for ever, or none."""
    text = '[[fault]]\nfunction = "cnrtInit"\nnth = 1000000\nhang = true\n'  # never comes to it
    if point is not None:
        text = f'[[fault]]\nfunction = "{point.function}"\nhang = true\nuntil = "forever"\n'
        text += f'direction = "{point.direction}"\n' if point.direction else ""
        text += "" if point.at_start else f"after_s = {HANG_AFTER_S}\n"
    FAULTS.parent.mkdir(exist_ok=True)
    FAULTS.write_text(text)


def hanging(name: str, point: Point) -> Scenario:
    """The scenario of one point."""

    def scenario(listener: Listener) -> str:
        run("systemctl", "stop", UNIT)
        drop_in(f"Environment=CNRT_SIMULATOR_FAULTS={FAULTS}")
        _write(point)
        count, wall, began = restarts(), time.time(), time.monotonic()
        run("systemctl", "start", "--no-block", UNIT)
        if point.at_start:
            wait_for("the hang", lambda: f"{point.function} does what" in journal(wall), BACK_S)
        else:
            listener.frames_after(wall, BACK_S)
        _write(None)
        listener.longest = {}
        wait_for("the end of the process", lambda: restarts() > count, HANG_AFTER_S + BACK_S)
        listener.frames_after(time.time(), BACK_S)
        took = time.monotonic() - began if point.at_start else max(listener.longest.values())
        check(took <= BACK_S, f"{took:.1f} s without a frame")
        check(point.function in journal(wall), f"the log does not name {point.function}")
        return f"{point.function}: frames again after {took:.1f} s (bound {BACK_S:g}), named in the log"

    scenario.__name__ = f"hang_{name}"
    return scenario


def a_stop_while_the_device_hangs(listener: Listener) -> str:
    """`systemctl stop` within 5 s, also then."""
    drop_in(f"Environment=CNRT_SIMULATOR_FAULTS={FAULTS}")
    _write(POINTS["sync"])
    wall = time.time()
    run("systemctl", "restart", UNIT)
    listener.frames_after(wall, BACK_S)
    wait_for("the hang", lambda: time.time() - max(listener.published.values()) > 0.5, HANG_AFTER_S + BACK_S)
    began = time.monotonic()
    run("systemctl", "stop", UNIT)
    took = time.monotonic() - began
    check(took <= 5.0, f"{took:.1f} s to stop")
    return f"gone after {took:.1f} s, {show('Result')['Result']}"


SCENARIOS: tuple[Scenario, ...] = (
    *(hanging(name, point) for name, point in POINTS.items()),
    a_stop_while_the_device_hangs,
)
