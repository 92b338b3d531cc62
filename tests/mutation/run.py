"""Shows that the tests hold what they promise: changes one line of a copy, and expects its tests to fail.

    python tests/mutation/run.py            every change of changes.py
    python tests/mutation/run.py NAME...    those named
    python tests/mutation/run.py --seconds S    as many as S seconds allow, from another one on each day

First the tests named must pass on the copy as it is. A change ends as ``killed`` (a test failed), ``SURVIVED``
(all passed: the promise is not tested) or ``BROKEN`` (its text is not there exactly once, or nothing could be
built or collected). The exit status is 0 only if all were killed. It works on copies in a temporary folder and
takes two at a time.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from changes import CHANGES, Change

from mlu_agent.cnrt.library import bundled_folder

ROOT = Path(__file__).resolve().parent.parent.parent
COPIED = ("agent", "deploy", "docs", "native", "systemd", "tests", "pyproject.toml", "README.md")
SOURCES = (".py", ".c", ".h", ".inc", ".def")
NATIVE = "ctest "  # a test of that prefix is one of ctest
LIBRARY = "library "  # and of this one pytest's, with the copy's libcnrt.so
WORKERS = 2
LIMIT_S = 120  # for the tests of one change; a change that makes them hang is noticed too
LIMIT_OF_ALL_S = 3600  # for all of them on the tree as it is
# An editable install puts a finder before sys.path, which would find the checkout instead of the copy.
SITE = """
import sys
sys.meta_path[:] = [finder for finder in sys.meta_path if not type(finder).__name__.startswith("ScikitBuild")]
"""


class Broken(Exception):
    """The change says nothing about the tests."""


def sources(root: Path, folder: str) -> list[Path]:
    """The source files under a folder of a tree."""
    return [path for path in sorted((root / folder).rglob("*")) if path.suffix in SOURCES]


def find_text(root: Path, change: Change) -> Path:
    """The file that holds the change's text. Broken unless it is there once in all of the folder."""
    found = [(path, path.read_text(encoding="utf-8").count(change.old)) for path in sources(root, change.folder)]
    places = [path for path, count in found if count]
    if len(places) != 1 or sum(count for _, count in found) != 1:
        raise Broken(f"its text is {sum(count for _, count in found)} times in {change.folder}/, expected once")
    return places[0]


def find_tests(root: Path, name: str) -> list[str]:
    """pytest's names for the test functions of that name. Broken if there is none."""
    definition = re.compile(rf"^def {re.escape(name)}\(", re.MULTILINE)
    places = [path for path in sources(root, "tests") if definition.search(path.read_text(encoding="utf-8"))]
    if not places:
        raise Broken(f"there is no test {name} in tests/")
    return [f"{path.relative_to(root)}::{name}" for path in places]


class Copy:
    """A copy of the tree that tests run in."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.output = ""  # of the last command
        self.limit_s = LIMIT_OF_ALL_S
        self._programs: dict[str, str] = {}  # test of ctest -> its program
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__", "build", ".*cache"))
            else:
                shutil.copy2(source, root / name)
        native = root / "agent" / "mlu_agent" / "_native"
        with bundled_folder() as folder:
            if not native.exists():
                shutil.copytree(folder, native)
        (root / "site").mkdir()
        (root / "site" / "sitecustomize.py").write_text(SITE)
        self._environment = {
            **os.environ,
            # bytecode is told from its source by time and size, and a change may keep both
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": os.pathsep.join(str(root / name) for name in ("site", "agent", "agent/client", "deploy")),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "MLU_AGENT_SHARED": os.environ.get("MLU_AGENT_SHARED") or str(ROOT.parent / "shared"),
        }

    def run(self, *command: str) -> tuple[int, str]:
        """Exit status and output; 124 after the limit."""
        process = subprocess.Popen(
            command,
            cwd=self.root,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        try:
            self.output, _ = process.communicate(timeout=self.limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # ctest's tests and pytest's daemons, too
            self.output, _ = process.communicate()
            return 124, self.output
        return process.returncode, self.output

    def check(self) -> None:
        """Broken unless Python takes both packages from here."""
        code = "import mlu_agent, mlu_export; print(mlu_agent.__file__, mlu_export.__file__)"
        status, output = self.run(sys.executable, "-c", code)
        if status or output.count(str(self.root)) != 2:
            raise Broken(f"the packages are not taken from the copy: {output}")

    def fails(self, tests: list[str]) -> bool:
        """Whether a test failed. Broken if they could not be run."""
        python, native, library = [], [], []
        for name in tests:
            if name.startswith(NATIVE):
                native.append(name[len(NATIVE) :])
            elif name.startswith(LIBRARY):
                library += find_tests(self.root, name[len(LIBRARY) :])
            else:
                python += find_tests(self.root, name)
        return (
            bool(native and self._ctest_fails(native))
            or bool(library and self._library_fails(library))
            or bool(python and self._pytest_fails(python))
        )

    def _library_fails(self, names: list[str]) -> bool:
        self._build([], "cnrt")
        self._environment["MLU_AGENT_SIMULATOR"] = str(self.root / "build" / "libcnrt.so")
        try:
            return self._pytest_fails(names)
        finally:
            del self._environment["MLU_AGENT_SIMULATOR"]

    def _pytest_fails(self, names: list[str]) -> bool:
        status, output = self.run(sys.executable, "-m", "pytest", "-qx", "-p", "no:cacheprovider", "--tb=short", *names)
        if status not in (0, 1, 124) or (status == 0 and " passed" not in output):
            raise Broken(f"pytest ended with {status}: {output[-600:]}")
        return status != 0

    def _ctest_fails(self, names: list[str]) -> bool:
        self._build(names)
        exact = f"^({'|'.join(map(re.escape, names))})$"
        status, output = self.run("ctest", "--test-dir", "build", "-R", exact, "--no-tests=error", "--timeout", "60")
        if status not in (0, 8, 124) or "Not Run" in output:
            raise Broken(f"ctest ended with {status}: {output[-600:]}")
        return status != 0

    def _build(self, names: list[str], *more: str) -> None:
        """Builds the programs of these tests, and more; the first time all: ctest knows only those that are there."""
        if not self._programs:
            ninja = ["-G", "Ninja"] if shutil.which("ninja") else []
            # what a change leaves unused is no mistake here
            status, _ = self.run("cmake", "-S", "native", "-B", "build", "-DSIM_WERROR=OFF", *ninja)
            status = status or self.run("cmake", "--build", "build", "-j", str(WORKERS))[0]
            if status:
                raise Broken(f"it does not build: {self.output[-600:]}")
            _, listed = self.run("ctest", "--test-dir", "build", "--show-only=json-v1")
            self._programs = {test["name"]: self._target(test["command"][0]) for test in json.loads(listed)["tests"]}
        unknown = set(names) - set(self._programs)
        if unknown:
            raise Broken(f"ctest knows no {', '.join(sorted(unknown))}")
        targets = sorted({*more, *(self._programs[name] for name in names)})
        status, output = self.run("cmake", "--build", "build", "--target", *targets)
        if status:
            raise Broken(f"it does not build: {output[-600:]}")

    def _target(self, program: str) -> str:
        """What builds a test's program; of a test that is a script, whichever programs it starts."""
        return Path(program).name if Path(program).is_relative_to(self.root / "build") else "all"

    def verdict(self, change: Change) -> str:
        """What becomes of the change's tests; the copy is as before afterwards."""
        try:
            path = find_text(self.root, change)
            whole = path.read_text(encoding="utf-8")
            path.write_text(whole.replace(change.old, change.new), encoding="utf-8")
            try:
                return "killed" if self.fails(list(change.tests)) else "SURVIVED"
            finally:
                path.write_text(whole, encoding="utf-8")
        except Broken as reason:
            return f"BROKEN: {reason}"


def work(copy: Copy, waiting: list[collections.deque[Change]], verdicts: dict[str, str], end: float) -> None:
    """Takes changes from the first of the lists that has one, until none has or the time is over."""
    for changes in waiting:
        while time.monotonic() < end:
            try:
                change = changes.popleft()
            except IndexError:
                break
            start = time.monotonic()
            verdicts[change.name] = copy.verdict(change)
            print(f"{verdicts[change.name]:10} {time.monotonic() - start:5.1f} s  {change.name}", flush=True)


def rotated(changes: list[Change]) -> list[Change]:
    """From another one on each day: those that the time did not allow yesterday come today."""
    first = int(time.time() // 86400) * (len(changes) // 3) % len(changes)
    return changes[first:] + changes[:first]


def main(names: list[str]) -> int:
    """Runs the changes named, or all; returns the exit status."""
    seconds = float("inf")
    if names[:1] == ["--seconds"]:
        seconds, names = float(names[1]), names[2:]
    unknown = set(names) - {change.name for change in CHANGES}
    if unknown:
        print(f"tests/mutation/run.py: no change {', '.join(sorted(unknown))} in changes.py")
        return 2
    chosen = [change for change in rotated(list(CHANGES)) if not names or change.name in names]
    verdicts: dict[str, str] = {}
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        try:
            copies = [Copy(Path(folder) / str(number)) for number in range(WORKERS)]
            copies[0].check()
            tests = list(dict.fromkeys(test for change in chosen for test in change.tests))
            # where the time is bounded all tests have just run
            if seconds == float("inf") and copies[0].fails(tests):
                raise Broken(f"a test fails on the tree as it is: {copies[0].output[-2000:]}")
            for copy in copies:
                copy.limit_s = LIMIT_S
        except Broken as reason:
            print(f"nothing was tried: {reason}")
            return 1
        compiled = (NATIVE, LIBRARY)
        native = collections.deque(c for c in chosen if any(test.startswith(compiled) for test in c.tests))
        python = collections.deque(change for change in chosen if change not in native)
        # one of the two keeps the C build
        lists = [[native, python], [python]]
        threads = [
            threading.Thread(target=work, args=(copy, waiting, verdicts, start + seconds))
            for copy, waiting in zip(copies, lists)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    killed = sum(verdict == "killed" for verdict in verdicts.values())
    rest = len(chosen) - len(verdicts)
    print(
        f"mutations: {killed} of {len(verdicts)} killed in {time.monotonic() - start:.0f} s"
        + (f", {rest} left for another day" if rest else "")
    )
    for name, verdict in sorted(verdicts.items()):
        if verdict != "killed":
            print(f"{name}: {verdict}")
    return 0 if killed == len(verdicts) else 1


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main(sys.argv[1:]))
    sys.exit(130)
