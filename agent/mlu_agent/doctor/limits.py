"""What the process may take: descriptors, memory, threads."""

from __future__ import annotations

import contextlib
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .finding import Finding, fine, trouble

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

AREA = "limits"
# Of the daemon: rounded estimates, generous ones, of what it holds with one source and what each further one adds.
FILES, FILES_EACH = 96, 8
MEMORY, MEMORY_EACH = 250_000_000, 60_000_000
TASKS, TASKS_EACH = 40, 6
_ENDLESS = 1 << 60


@dataclass(frozen=True)
class Limits:
    """``None``: no limit. ``whose``: the service's, the running daemon's, or of whoever runs doctor. ``available``:
    memory that the box has left, bytes; None where the daemon has taken its part already."""

    whose: str
    files: int | None = None
    memory: int | None = None
    tasks: int | None = None
    available: int | None = None


def look(unit: Mapping[str, str], pid: int = 0) -> Limits:
    """Those of the service where there is one (``unit``: its properties), else of the daemon that runs as ``pid``, else
    those that hold here. PermissionError for the process of another user."""
    available = None if pid else _available()
    if unit.get("LoadState") == "loaded":
        files, memory, tasks = (number(unit.get(name, "")) for name in ("LimitNOFILESoft", "MemoryMax", "TasksMax"))
        return Limits("the service", files, memory, tasks, available)
    soft, _ = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    data, _ = resource.prlimit(pid, resource.RLIMIT_AS)
    memory = min((one for one in (_endless(data), _of_group("memory", pid)) if one is not None), default=None)
    whose = f"process {pid}" if pid else "this shell"
    return Limits(whose, _endless(soft), memory, _of_group("pids", pid), available)


def number(text: str) -> int | None:
    """What a limit's text says: "max", "infinity" and numbers beyond all memory are none."""
    return _endless(int(text)) if text.isdigit() else None


def _endless(value: int) -> int | None:
    return value if 0 <= value < _ENDLESS else None


def _available() -> int | None:
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None


def _of_group(what: str, pid: int) -> int | None:
    """The least limit of a process's control groups, of either version."""
    found = [value for path in _group_files(what, pid) if (value := number(_text(path))) is not None]
    return min(found, default=None)


def _group_files(what: str, pid: int) -> Iterator[Path]:
    root = Path("/sys/fs/cgroup")
    for line in _text(Path("/proc") / (str(pid) if pid else "self") / "cgroup").splitlines():
        controllers, _, place = line.partition(":")[2].partition(":")
        if not controllers:
            name, top = ("memory.max" if what == "memory" else "pids.max"), root
        elif what in controllers.split(","):
            name, top = ("memory.limit_in_bytes" if what == "memory" else "pids.max"), root / what
        else:
            continue
        folder = top / place.lstrip("/")
        yield from (one / name for one in (folder, *folder.parents) if top == one or top in one.parents)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def judge(limits: Limits, sources: int, model_bytes: int = 0) -> list[Finding]:
    """Against what so many sources and a model of that size need."""
    more = max(0, sources - 1)
    files, tasks = FILES + more * FILES_EACH, TASKS + more * TASKS_EACH
    memory = MEMORY + more * MEMORY_EACH + 3 * model_bytes
    found = []
    if limits.files is not None and limits.files < files:
        found.append(_trouble("limit-files", limits, f"{limits.files} open files", files, "LimitNOFILE=", "ulimit -n"))
    if limits.tasks is not None and limits.tasks < tasks:
        found.append(_trouble("limit-tasks", limits, f"{limits.tasks} threads", tasks, "TasksMax=", "ulimit -u"))
    for what, have in (("allowed", limits.memory), ("free", limits.available)):
        if have is not None and have < memory:
            text = f"{have / 1e6:.0f} MB of memory {what}"
            found.append(_trouble("limit-memory", limits, text, f"{memory / 1e6:.0f} MB", "MemoryMax=", "ulimit -v"))
    if found:
        return found
    memory_text = None if limits.memory is None else f"{limits.memory / 1e6:.0f} MB"
    shown = {"open files": limits.files, "threads": limits.tasks, "memory": memory_text}
    told = ", ".join(f"{what} {'without limit' if have is None else have}" for what, have in shown.items())
    return [fine(AREA, f"{limits.whose}: {told}")]


def _trouble(code: str, limits: Limits, have: str, needed: object, option: str, shell: str) -> Finding:
    found = f"{limits.whose} has {have}, and {needed} are needed for this configuration"
    remedy = f"raise {option} in the unit (`systemctl edit mlu-agent`), `{shell}` in a shell; or run fewer sources"
    return trouble(AREA, code, found, remedy)
