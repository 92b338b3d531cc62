"""Runs everything that tells whether this tree is good, and ends with one line for each part.

    python tests/run.py             ctest four times (native, sanitizers, threads, aarch64), instruction counts,
                                    valgrind, fuzz, pytest three times, mutations, lint
    python tests/run.py lint        only the parts named; coverage, the share of lines that tests run, is by name alone

The Python tests wait much, so they run beside all other parts, in two lanes; each line says whose it is. A part
that fails does not stop the others: one run shows all that is wrong. The exit status is 0 only when every part passed.
What a part needs and this machine lacks is said in its line; only build/venv39 is installed here.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Callable, NamedTuple

import needs

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
BIN = Path(sys.executable).parent
JOBS = str(os.cpu_count() or 2)
PYTEST_CLOSING = r"(passed|failed|error|no tests).* in [0-9.]+s"
MUTATION_SECONDS = 60
WAITING = ("pipeline", "e2e")  # folders of tests whose time is their daemons'
_SMALL = tuple(f"{name}.cambricon" for name in ("small", "small_4_cores", "small_batch_3"))
# 11 s of a processor in all. The api_ programs take the best kernels of this machine that valgrind knows (AVX2's), the
# others those and the reference's.
MEMCHECKED: dict[str, tuple[str, ...]] = {
    "api_data": (),
    "api_context": _SMALL,
    "api_buffers": _SMALL,
    "api_model": _SMALL,
    "api_params": _SMALL,
    "api_sequence": _SMALL[:1],
    "network_test": (*_SMALL[:1], "operators_half.cambricon"),
    "kernels_test": ("60",),  # layers: with fewer some algorithms have none, which it takes for a failure
}
FUZZ_SECONDS = 20  # for each of four programs, side by side; native/fuzz/run.sh takes any time


class Result(NamedTuple):
    """What a part came to: whether it passed, and its closing line."""

    good: bool
    line: str


def _say(line: str) -> None:
    """One line of the part that runs in this thread."""
    sys.stdout.write(f"{threading.current_thread().name:>10} | {line}\n")
    sys.stdout.flush()


def _stream(*command: str | Path, env: dict[str, str] | None = None) -> tuple[int, list[str]]:
    """Runs a command with its output passed on as it comes; returns the exit status and the lines."""
    _say("$ " + " ".join(map(str, command))[:200])
    environment = {**os.environ, "CTEST_OUTPUT_ON_FAILURE": "1", **(env or {})}
    process = subprocess.Popen(
        [str(part) for part in command],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    lines = []
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            lines.append(line.rstrip())
            _say(line.rstrip())
    return process.wait(), lines


def _closing(lines: list[str], pattern: str) -> str:
    """The last line that looks like a runner's closing line."""
    found = [line for line in lines if re.search(pattern, line)]
    return found[-1].strip("= ") if found else "no closing line"


def _build(name: str, *options: str) -> str | None:
    """Configures and builds native/ in build/NAME; returns what failed, if something did."""
    folder = BUILD / name
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    status, _ = _stream("cmake", "-S", "native", "-B", folder, *generator, *options)
    if status:
        return "cmake could not configure it"
    status, _ = _stream("cmake", "--build", folder, "-j", JOBS)
    return "it does not build" if status else None


def _ctest(title: str, name: str, *options: str, need: str | None = None, env: dict[str, str] | None = None) -> Result:
    reason = needs.missing(need) if need else None
    if reason:
        return Result(good=True, line=f"{title}: skipped, {reason}")
    failure = _build(name, *options)
    if failure:
        return Result(good=False, line=f"{title}: {failure}")
    # no ctest that found no test may count as a pass
    command = (
        "ctest",
        "--test-dir",
        BUILD / name,
        "-j",
        JOBS,
        "--output-on-failure",
        "--no-tests=error",
        "--timeout",
        "900",
    )
    status, lines = _stream(*command, env=env)
    return Result(good=status == 0, line=f"{title}: {_closing(lines, 'tests passed')}")


def native() -> Result:
    """The C tests with the compiler's usual optimisation, as the wheel has it."""
    return _ctest("ctest", "native")


def counts() -> Result:
    """Instructions of the kernels on small layers, against the recorded figures: dearer by 5 % is a failure."""
    reason = needs.missing("valgrind") or needs.missing("readelf")
    if reason:
        return Result(good=True, line=f"counts: skipped, {reason}")
    failure = _build("native")
    if failure:
        return Result(good=False, line=f"counts: {failure}")
    program = BUILD / "native" / "tests" / "count_runs"
    status, lines = _stream(BIN / "python", ROOT / "tests" / "counts" / "run.py", program)
    return Result(good=status == 0, line=_closing(lines, "^counts: "))


def memcheck() -> Result:
    """The C tests of MEMCHECKED under valgrind: contexts, buffers, models, parameters, a program's calls, networks and
    layers drawn by lot. A result that hangs on what was never written, or memory that is lost, is a failure."""
    reason = needs.missing("valgrind")
    if reason:
        return Result(good=True, line=f"memcheck: skipped, {reason}")
    failure = _build("native")
    if failure:
        return Result(good=False, line=f"memcheck: {failure}")
    folder = BUILD / "native" / "tests"
    options = (
        "--quiet",
        "--error-exitcode=99",
        "--leak-check=full",
        "--show-leak-kinds=definite",
        "--errors-for-leak-kinds=definite",
    )
    bad = []
    for program, arguments in MEMCHECKED.items():
        named = [folder / argument if argument.endswith(".cambricon") else argument for argument in arguments]
        status, _ = _stream("timeout", "300", "valgrind", *options, folder / program, *named)
        bad += [f"{program} ended with {status}"] if status else []
    return Result(good=not bad, line=f"memcheck: {', '.join(bad) or f'{len(MEMCHECKED)} programs clean'}")


def sanitizers() -> Result:
    """The C tests with AddressSanitizer and UndefinedBehaviorSanitizer: a report is a failure."""
    options = ("-DSIM_SANITIZE=address,undefined", "-DCMAKE_BUILD_TYPE=RelWithDebInfo")
    return _ctest("ctest (ASan, UBSan)", "asan", *options, need="sanitizers")


def threads() -> Result:
    """The C tests with ThreadSanitizer: queues, teams of cores and notifiers; a data race is a failure."""
    options = ("-DSIM_SANITIZE=thread", "-DCMAKE_BUILD_TYPE=RelWithDebInfo")
    return _ctest("ctest (TSan)", "tsan", *options, need="threads")


def aarch64() -> Result:
    """The C tests compiled for the boxes' processor and run by qemu: the NEON kernels."""
    options = (f"-DCMAKE_TOOLCHAIN_FILE={ROOT}/native/cmake/aarch64-linux-gnu.cmake",)
    return _ctest("ctest (aarch64, qemu)", "aarch64", *options, need="aarch64")


def fuzz() -> Result:
    """The reader of model files, the planner and the kernels, and the readers of what people write for the simulator,
    on mutated files under the sanitizers; messages and peers of any bytes. Three programs read models and one what
    people write, side by side for FUZZ_SECONDS: 60 seconds of reading models in all, of what the processors allow.
    """
    status, lines = _stream(BIN / "python", ROOT / "tests" / "fuzz_messages.py", str(FUZZ_SECONDS // 2))
    messages = _closing(lines, "no report") if status == 0 else "messages or peers: A report"
    reason = needs.missing("fuzz")
    if reason or status:
        return Result(good=status == 0, line=f"fuzz: {messages}; of files skipped, {reason or 'for that'}")
    status, lines = _stream("sh", ROOT / "native" / "fuzz" / "run.sh", str(FUZZ_SECONDS), BUILD / "fuzz")
    runs = [int(line.split()[1]) for line in lines if line.startswith("stat::number_of_executed_units:")]
    if status != 0 and not runs:
        return Result(good=False, line=f"fuzz: {messages}; of files it does not build or does not start")
    return Result(good=status == 0, line=f"fuzz: {messages}; {sum(runs)} files, {'no' if status == 0 else 'A'} report")


def pytest() -> Result:
    """The Python tests but those of the next part."""
    return _pytest("pytest", *(f"--ignore=tests/{name}" for name in WAITING))


def services() -> Result:
    """The Python tests with daemons, sources and subscribers: they wait more than they compute."""
    return _pytest("services", *(f"tests/{name}" for name in WAITING))


def _pytest(name: str, *arguments: str) -> Result:
    cache = f"cache_dir={BUILD / name}-cache"  # of its own: two run at a time
    status, lines = _stream(BIN / "python", "-m", "pytest", "--durations=15", "-o", cache, *arguments)
    return Result(good=status == 0, line=f"{name}: {_closing(lines, PYTEST_CLOSING)}")


def coverage() -> Result:
    """All Python tests once more, and which share of each package's lines they run in their own process. By name alone:
    it costs a fifth of their time."""
    BUILD.mkdir(exist_ok=True)  # coverage writes its data there
    sysmon = {"COVERAGE_CORE": "sysmon"} if sys.version_info >= (3, 12) else {}  # costs least, where it is
    status, _ = _stream(BIN / "python", "-m", "coverage", "run", "-m", "pytest", env=sysmon)
    shares = []
    for package in ("mlu_client", "mlu_agent", "mlu_export"):
        known, total = _stream(BIN / "python", "-m", "coverage", "report", f"--include=*/{package}/*", "--format=total")
        shares.append(f"{package} {'not known' if known else total[-1] + ' %'}")
    return Result(good=status == 0, line=f"coverage: lines run: {', '.join(shares)}")


def _python39() -> str | None:
    """A Python 3.9 that runs and can make environments, of this machine or of its pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for candidate in ("python3.9", *sorted(pyenv.glob("versions/3.9.*/bin/python3.9"))):
        trial = [candidate, "-c", "import ensurepip, ssl, sys, venv; sys.exit(sys.version_info[:2] != (3, 9))"]
        try:
            if subprocess.run(trial, capture_output=True, stdin=subprocess.DEVNULL, check=False).returncode == 0:
                return str(candidate)
        except OSError:
            continue
    return None


def python39() -> Result:
    """The tests of agent and client on the oldest Python they promise, installed as a user does."""
    title = "pytest (Python 3.9)"
    if sys.version_info[:2] == (3, 9):
        return Result(good=True, line=f"{title}: skipped, all of pytest ran on it")
    found = _python39()
    if found is None:
        return Result(good=True, line=f"{title}: skipped, no python3.9 that works on PATH or in pyenv")
    folder = BUILD / "venv39"
    python = folder / "bin" / "python"
    pip = (python, "-m", "pip", "install", "-q")
    tools = ("pytest>=7.4", "hypothesis>=6.80", "jsonschema>=4.17")
    if not python.exists() and _stream(found, "-m", "venv", "--clear", folder)[0]:
        return Result(good=True, line=f"{title}: skipped, {found} makes no environment")
    if _stream(*pip, *tools)[0]:
        return Result(good=True, line=f"{title}: skipped, pip could not install {' '.join(tools)}")
    if _stream(*pip, ROOT / "agent" / "client", ROOT)[0]:
        return Result(good=False, line=f"{title}: mlu-client and mlu-agent cannot be installed")
    tests = [f"tests/{name}" for name in ("unit", "client", "pipeline", "binding")]
    path = {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    status, lines = _stream(python, "-m", "pytest", "-o", f"cache_dir={folder}/cache", *tests, env=path)
    return Result(good=status == 0, line=f"{title}: {_closing(lines, PYTEST_CLOSING)}")


def mutations() -> Result:
    """One-line changes of a copy, each of which must fail the tests named for it: all where they are asked for by name,
    else as many as MUTATION_SECONDS allow."""
    bound = () if "mutations" in sys.argv[1:] else ("--seconds", str(MUTATION_SECONDS))
    status, lines = _stream(BIN / "python", ROOT / "tests" / "mutation" / "run.py", *bound)
    return Result(good=status == 0, line=_closing(lines, r"^mutations: |^nothing was tried"))


def lint() -> Result:
    """ruff and mypy --strict over all Python files, ruff's and clang-format's hand over all files."""
    files = [path for folder in ("native", "tests/native") for path in (ROOT / folder).rglob("*")]
    c_files = sorted(path for path in files if path.suffix in {".c", ".h", ".inc", ".cpp"})
    tools: dict[str, list[str | Path]] = {
        "ruff": ["check", "."],
        "ruff format": ["format", "--check", "."],
        "mypy": [],
        "clang-format": ["--dry-run", "-Werror", *c_files],
    }
    says, good = [], True
    for title, arguments in tools.items():
        tool = BIN / title.split()[0]
        if not tool.exists():  # mypy is not made any more for the oldest Python that the packages support
            says.append(f"{title}: not installed for this Python")
            continue
        status, lines = _stream(tool, *arguments)
        good = good and status == 0
        says.append(f"{title}: {lines[-1] if lines else 'clean'}")
    return Result(good=good, line="lint: " + "; ".join(says))


PARTS: dict[str, Callable[[], Result]] = {
    "native": native,
    "counts": counts,
    "memcheck": memcheck,
    "lint": lint,
    "python39": python39,
    "fuzz": fuzz,
    "sanitizers": sanitizers,
    "threads": threads,
    "aarch64": aarch64,
    "pytest": pytest,
    "services": services,
    "mutations": mutations,
    "coverage": coverage,
}
BY_NAME = {"coverage"}  # not among all
BESIDE = (("pytest",), ("services", "python39"))  # lanes of parts that run beside the others


def _lane(names: list[str], results: dict[str, Result]) -> None:
    """Runs parts one after the other; the thread bears the part's name."""
    for name in names:
        threading.current_thread().name = name
        start = time.monotonic()
        try:
            results[name] = PARTS[name]()
        except Exception as error:
            results[name] = Result(good=False, line=f"{name}: {type(error).__name__}: {error}")
        _say(f"== {name}: {time.monotonic() - start:.0f} s")


def main(names: list[str]) -> int:
    """Runs the parts named, or all; returns the exit status."""
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        print(f"tests/run.py: no part {unknown[0]!r}; there are: {', '.join(PARTS)}")
        return 2
    names = names or [name for name in PARTS if name not in BY_NAME]
    results: dict[str, Result] = {}
    others = tuple(name for name in PARTS if not any(name in lane for lane in BESIDE))
    lanes = [[name for name in lane if name in names] for lane in (*BESIDE, others)]
    threads = [threading.Thread(target=_lane, args=(lane, results), daemon=True) for lane in lanes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print()
    for name in names:
        print(("" if results[name].good else "FAILED ") + results[name].line)
    return 0 if all(result.good for result in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
