"""How long nothing is detected after the device hangs, with the daemon under a manager that starts it again.

``benchmarks/hangs.py`` prints all of POINTS; tests take some.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from mlu_client.subscriber import Subscriber

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults import Fault

RESTART_S = 2.0  # RestartSec of the unit
LOST = 3
CONFIG = """\
[model]
path = "{model}"
runtime = "simulator"
[publish]
endpoint = "{endpoint}"
[[source]]
id = "camera"
synthetic = "{size}@25"
realtime = true
"""


class Point(NamedTuple):
    """Where the device hangs: the function, as ``Fault`` names it, and whether at the process' start."""

    function: str
    at_start: bool = False


POINTS = {
    "init": Point("cnrtInit", at_start=True),
    "load": Point("cnrtLoadModel", at_start=True),
    "create": Point("cnrtCreateQueue", at_start=True),
    "first invoke": Point("cnrtInvokeRuntimeContext", at_start=True),
    "invoke": Point("cnrtInvokeRuntimeContext"),
    "copy in": Point("in"),
    "copy out": Point("out"),
    "sync": Point("cnrtSyncQueue"),
    "place": Point("cnrtPlaceNotifier"),
    "wait": Point("cnrtWaitNotifier"),
}


class Outage(NamedTuple):
    """``noticed_s``: from the hang to the end of the process; ``serving_s``: to the first frame of the next one."""

    noticed_s: float
    serving_s: float
    code: int
    output: str


class Manager:
    """Starts the daemon, and starts it again RESTART_S after it ended."""

    def __init__(self, config: Path, fault: Fault) -> None:
        self._command = [sys.executable, "-m", "mlu_agent.cli", "run", "-c", str(config)]
        self._environment = {**os.environ, **fault.environment}
        self.start()

    def start(self) -> None:
        """Returns at once."""
        self.process = subprocess.Popen(
            self._command,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read, args=(self.process,), daemon=True)
        self._reader.start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout:
            self._lines.extend(process.stdout)

    def wait(self, timeout: float) -> tuple[int, str]:
        """Exit code and output of the process that ends."""
        code = self.process.wait(timeout)
        self._reader.join(10)
        return code, "".join(self._lines)

    def stop(self) -> None:
        """Ends whatever runs."""
        if self.process.poll() is None:
            self.process.terminate()
        self.wait(30)


def outage(point: Point, config: Path, endpoint: str, fault: Fault, timeout: float = 60) -> Outage:
    """Lets the device hang there, once; from the call that does not return to the first frame of the next process."""
    fault.end()
    if point.at_start:
        fault.begin(point.function, "hang")
    manager = Manager(config, fault)
    try:
        if not point.at_start:
            _wait_for_frame(endpoint, timeout)
            fault.begin(point.function, "hang")
        fault.wait_until_seen()
        begin = time.monotonic()
        code, output = manager.wait(timeout)
        noticed = time.monotonic() - begin
        fault.end()
        time.sleep(RESTART_S)
        manager.start()
        _wait_for_frame(endpoint, timeout)
        return Outage(noticed, time.monotonic() - begin, code, output)
    finally:
        fault.end()
        manager.stop()


def _wait_for_frame(endpoint: str, timeout: float) -> None:
    """A subscriber of its own each time: how long another one pauses between attempts is not the daemon's."""
    with Subscriber(endpoint, kinds=["frame"]) as subscriber:
        if subscriber.receive(timeout) is None:
            raise TimeoutError(f"no frame for {timeout} s")
