"""Runs the scenarios of this boot. Each boot has its list; the last scenario of a list asks for the power to be cut."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import device
import doctoring
import faults
import power
import surroundings
from box import HERE, Listener, Scenario, attempt, say, settle

STAGE = HERE / "stage"
BOOTS: dict[str, list[list[Scenario]]] = {
    "container": [
        [*faults.SCENARIOS, *device.SCENARIOS, *surroundings.SCENARIOS, *doctoring.SCENARIOS, power.before_a_cut],
        [power.after_a_cut, power.cut_while_starting],
        [power.after_a_cut],
    ],
    "vm": [
        [power.after_a_boot, surroundings.a_disk_that_is_full, power.before_a_cut],
        [power.after_a_cut, power.cut_while_starting],
        [power.after_a_cut],
    ],
}


def next_boot() -> list[Scenario]:
    """The scenarios of this boot; the number of the next is on the disk before any of them runs."""
    machine, number = (STAGE.read_text() if STAGE.exists() else "container 0").split()
    STAGE.write_text(f"{machine} {int(number) + 1}")
    os.sync()
    lists = BOOTS[machine]
    return lists[int(number)] if int(number) < len(lists) else []


def main() -> None:
    """Ends with "done", or with "cut" if there is another boot."""
    scenarios = next_boot()
    only = (HERE / "only").read_text().split()
    if only:
        scenarios = [scenario for scenario in scenarios if scenario.__name__ in only]
    listener = Listener()
    listener.start()
    for scenario in scenarios:
        if scenario not in power.BOOTS:
            settle(listener)
        attempt(scenario, listener)
    machine, number = STAGE.read_text().split()
    more = int(number) < len(BOOTS[machine]) and not only
    say("cut" if more else "done")
    time.sleep(600)


if __name__ == "__main__":
    Path("/boot-test/traceback").touch()
    try:
        main()
    except BaseException as error:
        say(f"FAIL  boot-test: {type(error).__name__}: {error}")
        say("done")
        sys.exit(1)
