"""Counts the instructions of the kernels on small fixed layers (callgrind): a guard that no noise reaches.

    python tests/counts/run.py PROGRAM            compares with the figures in tests/counts/recorded.json
    python tests/counts/run.py PROGRAM --record   takes today's figures as the recorded ones of this compiler

PROGRAM is count_runs, of a build as the wheel's. A layer that takes 5 % more instructions than recorded fails; one that
takes 5 % fewer is told, so that its figure is recorded and cannot be lost again unnoticed. Recording a dearer figure is
for a change that has a reason, which its commit says. Counts are those of our own code alone, of sim_plan_run and what
it calls; they depend on compiler and version: where none are recorded for it, that is said and nothing is compared.
Only tables that valgrind can run are counted: it knows no AVX-512, so on x86-64 AVX2 and the plain reference.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
RECORDED = HERE / "recorded.json"
TABLES = {"x86_64": ("avx2", "reference"), "aarch64": ("neon", "reference")}
TOLERANCE = 0.05

sys.path.insert(0, str(HERE.parent / "native"))
import counted_layers  # noqa: E402 - a script beside others, as they import each other


def own_instructions(dump: Path, program: Path) -> int:
    """The instructions that a profile of callgrind tells of one object file, without what it calls elsewhere."""
    names: dict[str, str] = {}
    total, counted, is_call = 0, False, False
    for line in dump.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("ob="):
            number, _, name = line[3:].partition(" ")
            names.setdefault(number, name)
            counted = names[number] == str(program)
        elif line.startswith("cob="):  # of a callee: may be where the object is named first
            number, _, name = line[4:].partition(" ")
            if name:
                names.setdefault(number, name)
        elif line.startswith("calls="):
            is_call = True
        elif re.match(r"[+\-*\d]", line):
            if counted and not is_call:
                total += int(line.split()[-1])
            is_call = False
    return total


def count(program: Path, table: str, folder: Path) -> dict[str, int]:
    """Instructions of one run of each layer with one table."""
    files = counted_layers.write(folder / "models")
    out = folder / table
    command = ["valgrind", "--tool=callgrind", "--quiet", "--toggle-collect=sim_plan_run", "--dump-after=sim_plan_run"]
    options = [f"--callgrind-out-file={out}", "--separate-threads=no", "--dump-line=no"]
    made = subprocess.run(
        [*command, *options, str(program), table, *map(str, files)],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if made.returncode:
        raise SystemExit(f"callgrind ends with {made.returncode}: {(made.stderr or made.stdout)[-300:]}")
    dumps = [folder / f"{table}.{number}" for number in range(1, 2 * len(files) + 1)]
    missing = [dump.name for dump in dumps if not dump.exists()]
    if missing:
        raise SystemExit(f"callgrind left no profile {missing[0]}: sim_plan_run was not called as often as expected")
    second = dumps[1::2]
    return {f"{table} {file.stem}": own_instructions(dump, program) for file, dump in zip(files, second)}


def compiler(program: Path) -> str:
    """Name and version of what compiled the program, by its own note."""
    made = subprocess.run(
        ["readelf", "-p", ".comment", str(program)],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    found = re.findall(r"\]\s+(.+)", made.stdout)
    notes = [note for note in found if "clang" in note] or found
    said = re.search(r"(GCC|clang).*?(\d+\.\d+\.\d+)", notes[0]) if notes else None
    if said is None:
        raise SystemExit(f"{program} does not say what compiled it")
    return f"{said.group(1).lower()} {said.group(2)} {platform.machine()}"


def compare(now: dict[str, int], before: dict[str, int]) -> tuple[list[str], list[str]]:
    """Sentences about what became dearer or is not recorded, and about what became cheaper."""
    dearer, cheaper = [], []
    for name, value in now.items():
        old = before.get(name)
        if old is None:
            dearer.append(f"{name}: no figure is recorded, it takes {value}")
        elif value > old * (1 + TOLERANCE):
            dearer.append(f"{name}: {value} instructions, recorded are {old}: {value / old - 1:+.1%}")
        elif value < old * (1 - TOLERANCE):
            cheaper.append(f"{name}: {value} instructions, recorded are {old}: {value / old - 1:+.1%}; record it")
    dearer += [f"{name}: is recorded and not counted any more" for name in before if name not in now]
    return dearer, cheaper


def main() -> int:
    """By the command line; the last line sums up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Path)
    parser.add_argument("--record", action="store_true")
    arguments = parser.parse_args()
    program = arguments.program.resolve()
    key = compiler(program)
    recorded: dict[str, dict[str, int]] = json.loads(RECORDED.read_text(encoding="ascii"))
    tables = TABLES.get(platform.machine(), ())
    if key not in recorded and not arguments.record:
        print(f"counts: no figures are recorded for {key} (there are: {', '.join(recorded) or 'none'}): not compared")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        now = {name: n for table in tables for name, n in count(program, table, Path(folder)).items()}
    dearer, cheaper = compare(now, recorded.get(key, {}))
    for line in dearer + cheaper:
        print(line)
    if arguments.record:
        recorded[key] = now
        RECORDED.write_text(json.dumps(recorded, indent=1, sort_keys=True) + "\n", encoding="ascii")
        print(f"counts: {len(now)} layers of {key} recorded")
        return 0
    said = f"{len(now)} layers counted with {key}"
    print(f"counts: {said}, {len(dearer)} dearer than recorded by 5 %, {len(cheaper)} cheaper")
    return 1 if dearer else 0


if __name__ == "__main__":
    sys.exit(main())
