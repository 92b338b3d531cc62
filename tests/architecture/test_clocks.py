"""Who looks at the wall clock: it jumps, so it may date what is told, and decide nothing."""

from __future__ import annotations

import re
from pathlib import Path

AGENT = Path(__file__).resolve().parents[2] / "agent"
WALL = re.compile(r"\btime\.time(_ns)?\(|\bdatetime\.|\btime\.localtime\(|\btime\.gmtime\(")
# When a message left; since when the device is as it is; when somebody asked for a change, when the process began;
# files that were left behind, which are old by their dates; what looks whether the clock is right, and what shows it.
TELLERS = {
    "mlu_agent/publish/messages.py",
    "mlu_agent/engine/recovery.py",
    "mlu_agent/daemon/desk.py",
    "mlu_agent/daemon/status.py",
    "mlu_agent/config/new_files.py",
    "mlu_agent/commands/asking.py",  # until when it waits
    "mlu_agent/commands/status.py",
    "mlu_agent/doctor/clock.py",
    "mlu_agent/model/unpacked.py",
}
FOLDERS = ("mlu_agent/sources/",)


def test_only_what_is_told_is_dated_by_the_wall_clock():
    """Deadlines, intervals and ages are of the monotonic clock, in the daemon and in the engine above all."""
    users = {
        str(path.relative_to(AGENT)) for path in AGENT.rglob("*.py") if WALL.search(path.read_text(encoding="utf-8"))
    }
    assert {user for user in users if not user.startswith(FOLDERS)} <= TELLERS
