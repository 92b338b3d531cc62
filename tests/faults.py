"""The library of faults between the agent and the simulator: built here, told what to do by a file."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

SOURCE = Path(__file__).with_name("fault_library.c")


def build_fault_library(folder: Path, simulator: Path) -> Path:
    """Compiles ``fault_library.c`` into ``folder``, with that simulator behind it."""
    library = folder / "libfault.so"
    behind = [f"-L{simulator.parent}", f"-Wl,-rpath,{simulator.parent}", "-Wl,--no-as-needed", f"-l:{simulator.name}"]
    flags = ["-std=gnu11", "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-pthread"]
    subprocess.run(["cc", *flags, str(SOURCE), "-o", str(library), *behind, "-ldl"], check=True)
    return library


class Fault:
    """The file that the library looks at. ``environment``: what a process needs to run with both."""

    def __init__(self, library: Path, file: Path) -> None:
        self._file = file
        self._seen = file.with_name(f"{file.name}.seen")
        self.environment = {"MLU_AGENT_SIMULATOR": str(library), "FAULT_FILE": str(file)}

    def begin(self, function: str, action: str, after: int = 0) -> None:
        """From the call of ``function`` after so many more on; "in" and "out" are the two directions of cnrtMemcpy."""
        self._seen.unlink(missing_ok=True)
        part = self._file.with_suffix(".part")
        part.write_text(f"{function} {action} {after}\n")
        part.replace(self._file)

    def wait_until_seen(self, timeout: float = 60) -> None:
        """Returns when somebody hangs."""
        end = time.monotonic() + timeout
        while not self._seen.exists():
            assert time.monotonic() < end, "nobody came to the call that hangs"
            time.sleep(0.01)

    def end(self) -> None:
        """The device is well again."""
        self._file.unlink(missing_ok=True)
