"""The service: installed, enabled, running, and how it ended last."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from .finding import Finding, fine, note, trouble

if TYPE_CHECKING:
    from collections.abc import Mapping

AREA = "service"
UNIT = "mlu-agent.service"
PROPERTIES = (
    "LoadState", "UnitFileState", "ActiveState", "SubState", "Result", "ExecMainCode", "ExecMainStatus", "NRestarts",
    "MainPID", "LimitNOFILESoft", "MemoryMax", "TasksMax", "StatusText",
)  # fmt: skip
MANY_RESTARTS = 3
ANSWER_S = 2.0
_KILLED = ("2", "3")  # CLD_KILLED, CLD_DUMPED of <signal.h>
_LOG = "`journalctl -u mlu-agent -n 50` tells why"


def look(limit_s: float = ANSWER_S) -> dict[str, str]:
    """The unit's properties; none where no systemd runs. TimeoutExpired if it does not answer."""
    if not Path("/run/systemd/system").is_dir():
        return {}
    command = ["systemctl", "show", UNIT, "--no-pager", *(f"-p{name}" for name in PROPERTIES)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=limit_s, check=False
        )
    except FileNotFoundError:
        return {}
    return dict(re.findall(r"^(\w+)=(.*)$", done.stdout, re.MULTILINE)) if done.returncode == 0 else {}


def meaning(code: int) -> str:
    """What an exit code of `mlu-agent run` says (docs/service.md)."""
    if code > 128:
        return f"it was ended by {signal_name(code - 128)}"
    return {
        0: "it was told to stop, or its files came to their end",
        1: "a fault of the program",
        2: "a person has to change the configuration or the model",
        3: "the device failed, or the system refused something",
    }.get(code, "systemd could not start it" if code >= 200 else "unknown")


def signal_name(number: int) -> str:
    """Those of the real-time kind have none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def judge(unit: Mapping[str, str]) -> list[Finding]:
    """``unit``: its properties."""
    if not unit:
        return [note(AREA, "no systemd runs here, so the daemon is started by hand")]
    if unit.get("LoadState") != "loaded":
        return [note(AREA, f"{UNIT} is not installed, so the daemon is started by hand", "`mlu-agent service install`")]
    state, restarts = unit.get("ActiveState", "?"), int(unit.get("NRestarts") or 0)
    last = _last_end(unit)
    if unit.get("SubState") == "auto-restart" or (state == "activating" and restarts >= MANY_RESTARTS):
        found = f"{UNIT} starts again and again: {restarts} times so far; {last}"
        return [trouble(AREA, "restart-loop", found, f"{_LOG}; the other findings may name it already")]
    if state == "failed" or (state == "inactive" and unit.get("ExecMainStatus", "0") != "0"):
        return [trouble(AREA, "service-failed", f"{UNIT} has ended: {last}", f"{_LOG}; `systemctl restart mlu-agent`")]
    if state == "inactive":
        return [note(AREA, f"{UNIT} is installed and does not run", "`systemctl enable --now mlu-agent` starts it")]
    enabled = unit.get("UnitFileState", "")
    often = f", {restarts} restarts so far" if restarts else ""
    found = f"{UNIT} is {state} ({unit.get('StatusText') or unit.get('SubState')}){often}"
    if not enabled.startswith(("enabled", "static", "generated", "alias")):
        return [note(AREA, f"{found}, and not enabled: it does not start with the box", "`systemctl enable mlu-agent`")]
    return [fine(AREA, found)]


def _last_end(unit: Mapping[str, str]) -> str:
    status = int(unit.get("ExecMainStatus") or 0)
    if unit.get("ExecMainCode") in _KILLED:
        return f"it was ended by {signal_name(status)} (result {unit.get('Result')})"
    return f"its last exit code was {status}: {meaning(status)}"
