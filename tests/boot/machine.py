"""Where a root is booted: a container, as fast as this machine, or a virtual machine with its own kernel and disk.

Both give the lines of their console that begin with ``boot-test: ``, and can lose their power at any moment.
"""

from __future__ import annotations

import contextlib
import os
import queue
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

PREFIX = "boot-test: "
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
SILENCE_S = 300  # a machine that says nothing for so long will say nothing more


class Machine:
    """A process whose standard output is the machine's console."""

    def __init__(self, command: list[str], log: Path) -> None:
        self.booted = time.monotonic()
        self._log = log
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._log.open("a", errors="replace") as log:
            for raw in self._process.stdout:
                line = ESCAPES.sub("", raw.decode(errors="replace")).strip()
                print(line, file=log, flush=True)
                if PREFIX in line:
                    self._lines.put(line.partition(PREFIX)[2])
        self._lines.put(None)

    def line(self, timeout_s: float = SILENCE_S) -> str | None:
        """The next line, without its prefix; None when the machine is off or has fallen silent."""
        try:
            return self._lines.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def cut(self) -> None:
        """Takes the power away: nothing in there is asked or told."""
        # of a container its first process, with which all others die: systemd-nspawn alone would leave them alive
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        for pid in (*(children.read_text().split() if children.exists() else ()), self._process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        self._process.wait()


def container(root: Path, log: Path) -> Machine:
    """systemd-nspawn, whose first process is the root's systemd; it needs no service manager outside."""
    return Machine(
        [
            "systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--console=read-only",
            "--private-network", "--machine=mlu-agent-boot-test", "--link-journal=no", "--directory", str(root),
        ],
        log,
    )  # fmt: skip


def virtual_machine(disk: Path, kernel: Path, initrd: Path, log: Path) -> Machine:
    """qemu computes each instruction, so it is slow, runs anywhere, and its disk is what was really written."""
    return Machine(
        [
            "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "1536",
            "-display", "none", "-monitor", "none", "-nic", "none", "-no-reboot", "-serial", "stdio",
            "-kernel", str(kernel), "-initrd", str(initrd), "-append", "root=/dev/vda rw console=ttyS0 quiet",
            "-drive", f"file={disk},format=raw,if=virtio",
        ],
        log,
    )  # fmt: skip
