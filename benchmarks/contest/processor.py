"""What this processor has, and as which lesser ones it can be shown to a program (cpu_mask.c)."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Processor:
    """One that engines are shown: ``name`` is that of the mask, ``all`` for what there is; ``title`` says which."""

    name: str
    title: str


@dataclass(frozen=True)
class Machine:
    """Where this runs."""

    model: str
    cpus: int
    memory_gb: float
    system: str
    flags: frozenset[str]

    def best(self) -> str:
        """The widest instructions for products of bytes."""
        for flag, title in (
            ("amx_int8", "AMX"),
            ("avx512_vnni", "AVX-512 VNNI"),
            ("avx_vnni", "AVX-VNNI"),
            ("avx2", "AVX2"),
            ("i8mm", "NEON i8mm"),
            ("asimddp", "NEON dot product"),
        ):
            if flag in self.flags:
                return title
        return platform.machine()

    def processors(self, mask: Path | None) -> list[Processor]:
        """Those that can be shown here: this one, and the lesser ones that are still common."""
        shown = [Processor("all", self.best())]
        if mask is not None and "amx_int8" in self.flags:
            shown.append(Processor("avx512vnni", "AVX-512 VNNI"))
        if mask is not None and self.flags & {"avx512_vnni", "avx_vnni", "avx512f"}:
            shown.append(Processor("avx2", "AVX2"))
        return shown


def machine() -> Machine:
    """Read from /proc."""
    told = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    values: dict[str, str] = {}
    for line in told.splitlines():
        key, _, value = line.partition(":")
        values.setdefault(key.strip(), value.strip())
    memory = int(Path("/proc/meminfo").read_text(encoding="ascii").split()[1]) / 2**20
    flags = frozenset((values.get("flags") or values.get("Features", "")).split())
    name = values.get("model name", platform.machine())
    return Machine(name, len(os.sched_getaffinity(0)), round(memory, 1), platform.release(), flags)


def build_mask(folder: Path) -> Path | None:
    """The library that hides features, None where there is none: no x86-64, no compiler, or no faults at CPUID."""
    if platform.machine() != "x86_64":
        return None
    mask = folder / "cpu_mask.so"
    try:
        command = ["cc", "-O2", "-shared", "-fPIC", "-o", str(mask), str(HERE / "cpu_mask.c")]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        environment = {**os.environ, "LD_PRELOAD": str(mask), "CPU_MASK": "avx2"}
        subprocess.run([sys.executable, "-c", ""], check=True, env=environment, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        return None
    return mask


def masked(processor: str, mask: Path | None) -> dict[str, str]:
    """The environment of a program that is to see that processor."""
    return {} if processor == "all" or mask is None else {"LD_PRELOAD": str(mask), "CPU_MASK": processor}
