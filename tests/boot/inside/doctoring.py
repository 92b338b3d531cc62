"""What doctor says of the unit, and how the journal has its lines."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from typing import Any

from box import CONFIG, UNIT, Listener, Scenario, check, drop_in, pid, restarts, run, show, wait_for

LONGEST_S = 15.0
FLOW_S = 2.0


def _doctor() -> dict[str, dict[str, Any]]:
    """Its findings by their word, or by their area where they have none; as root, within its time."""
    start = time.monotonic()
    told = json.loads(run(sys.executable, "-m", "mlu_agent.cli", "doctor", "-c", str(CONFIG), "--json", good=(0, 1)))
    took = time.monotonic() - start
    check(took < LONGEST_S, f"doctor took {took:.1f} s")
    return {one["code"] or one["area"]: one for one in told["findings"]}


def _named(found: dict[str, dict[str, Any]], code: str, words: str) -> str:
    check(code in found, f"{code} was not named, only {', '.join(found)}")
    check(words in found[code]["found"], f"{code}: {found[code]['found']}")
    check(found[code]["remedy"], f"{code} has no remedy")
    return str(found[code]["found"])


def doctor_beside_a_daemon_that_runs(listener: Listener) -> str:
    """It is asked and not disturbed: the same process, frames all the time, rights of the service's user."""
    before = pid()
    found = _doctor()
    pause = listener.longest_pause(1.0)
    check(pid() == before and pause < FLOW_S, f"the daemon was disturbed: {pause:.1f} s without a frame")
    check("serving" in found["daemon"]["found"], found["daemon"]["found"])
    check("is active" in found["service"]["found"], found["service"]["found"])
    check("mlu-agent can read" in found["permissions"]["found"], found["permissions"]["found"])
    return found["service"]["found"]


def doctor_in_a_restart_loop(_listener: Listener) -> str:
    """A unit without a device starts again and again: doctor says so, and what the exit code means."""
    drop_in("Environment=CNRT_SIMULATOR_DEVICES=0")
    before = restarts()
    run("systemctl", "restart", "--no-block", UNIT)
    wait_for("restarts", lambda: restarts() >= before + 3, 60)
    wait_for("a pause", lambda: show("SubState")["SubState"] == "auto-restart", 30)
    return _named(_doctor(), "restart-loop", "the device failed")


def doctor_of_a_service_that_has_ended(_listener: Listener) -> str:
    """A configuration that a person has to change: the unit has failed, and both are named."""
    good = CONFIG.read_text()
    try:
        CONFIG.write_text(f"{good}\nno_such_option = 1\n")
        run("systemctl", "restart", UNIT, good=(0, 1))
        wait_for("the end", lambda: show("ActiveState")["ActiveState"] == "failed", 30)
        found = _doctor()
        _named(found, "configuration", "no_such_option")
        return _named(found, "service-failed", "a person has to change")
    finally:
        CONFIG.write_text(good)


def lines_in_the_journal_have_priorities(_listener: Listener) -> str:
    """journalctl -p warning shows the warnings of the unit, and none of its other lines."""
    os.kill(pid(), signal.SIGUSR2)
    query = ("journalctl", "--unit", UNIT, "--output", "json", "--no-pager", "--lines", "500")
    mark = "a signal without a meaning"

    def entries() -> list[tuple[str, str]]:
        rows = [json.loads(line) for line in run(*query).splitlines()]
        return [(str(row["MESSAGE"]), row["PRIORITY"]) for row in rows if row.get("_TRANSPORT") == "stdout"]

    wait_for("the line", lambda: any(mark in message for message, _ in entries()), 10)
    found = {priority for message, priority in entries() if mark in message}
    check(found == {"4"}, f"a warning has the priority {found}")
    ready = {priority for message, priority in entries() if '"ready"' in message}
    check(ready == {"6"}, f"an information has the priority {ready}")
    check(not any(message.startswith("<") for message, _ in entries()), "the mark was left in the message")
    return "warnings are 4, information is 6, without their marks"


SCENARIOS: list[Scenario] = [
    doctor_beside_a_daemon_that_runs,
    lines_in_the_journal_have_priorities,
    doctor_in_a_restart_loop,
    doctor_of_a_service_that_has_ended,
]
