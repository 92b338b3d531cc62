"""Calls of ``mlu-export`` that each have a process of their own, without each loading torch.

``python -m tests.deploy.forks`` loads torch once, and forks for each line of its stdin: the child has loaded what any
call loads, and has done nothing with it. Its stdout, stderr and exit code are those of a process that was started.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import subprocess
import sys
import threading
import traceback
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Forks:
    """The process that forks, as seen from the tests."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._environment = dict(os.environ)
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.deploy.forks"],
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def serves(self, environment: dict[str, str]) -> bool:
        """Whether a call in this environment loads what is loaded here: Python's own settings are as they were.

        But where breakpoint() leads: Ray sets that once it was started in this process, and no call stops at one.
        """
        names = {name for name in {*environment, *self._environment} if name.startswith("PYTHON")}
        names.discard("PYTHONBREAKPOINT")
        return all(environment.get(name) == self._environment.get(name) for name in names)

    def run(
        self, arguments: list[str], cwd: Path, environment: dict[str, str], timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """What ``mlu-export`` with these arguments came to, like subprocess.run's."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        out, err = self._folder / "stdout", self._folder / "stderr"
        call = {"argv": arguments, "cwd": str(cwd), "environment": environment, "out": str(out), "err": str(err)}
        self._process.stdin.write(json.dumps(call) + "\n")
        if not select.select([self._process.stdout], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(arguments, timeout)
        code = int(self._process.stdout.readline())
        return subprocess.CompletedProcess(arguments, code, out.read_text(), err.read_text())

    def close(self) -> None:
        """Ends the process that forks."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()


def _become(call: dict) -> None:
    """Makes this process one that was started for the call."""
    for number, name, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, call["out"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        (2, call["err"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
    ):
        opened = os.open(name, flags, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(call["cwd"])
    os.environ.clear()
    os.environ.update(call["environment"])


def _wait_for_call() -> list[str]:
    """Forks for each line on stdin; returns the call's arguments, in the child alone."""
    calls = os.fdopen(os.dup(0), "r")
    while line := calls.readline():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numpy's threads wait for work, and know of forks
            child = os.fork()
        if child == 0:
            call = json.loads(line)
            _become(call)
            return call["argv"]
        status = os.waitpid(child, 0)[1]
        code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        os.write(1, f"{code}\n".encode())
    sys.exit(0)


def _end(code: int) -> None:
    """Ends the child as Python ends, less the taking down of every module, which takes longer than most calls."""
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main() -> None:
    """Serves until nobody is left to ask; the children go on behind the loop."""
    from mlu_export.cli import main as mlu_export
    from mlu_export.torch_mlu import loading, modules  # noqa: F401 - they load torch; nothing is put into it yet

    arguments = _wait_for_call()
    sys.path[:] = [entry for entry in sys.path if entry != str(ROOT)]
    try:
        code = mlu_export(arguments)
    except SystemExit as stop:  # of the command line's parser
        code = stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        traceback.print_exc()
        code = 1
    _end(code)


if __name__ == "__main__":
    main()
