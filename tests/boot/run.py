"""The agent in a booted Debian, installed as the README says, under its own unit, and everything that happens to a box.

    python tests/boot/run.py [--vm] [--folder FOLDER] [SCENARIO...]
    python tests/boot/run.py --packages debian12 debian11

    make boot-test         all scenarios in a container (systemd-nspawn --boot), as fast as this machine
    make boot-test VM=1    after them a virtual machine (qemu) whose power is cut: its disk has what was written
    make boot-test PACKAGES='debian12 debian11'    the .debs instead: installed, upgraded and purged in each release

Prints a line for each scenario, ok or FAIL with its figures; the exit status is 0 only when all passed. Needs root and
what `python tests/needs.py missing boot` names. FOLDER (build/boot) keeps the base and the wheels for the next time.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Callable

import image
import machine

sys.path.insert(0, str(image.ROOT))
from tests import needs

CUT = "cut"
DONE = "done"


def follow(boot: Callable[[], machine.Machine]) -> list[str]:
    """Boots, passes on what is said, and cuts the power where that is asked for, until the machine is done."""
    said: list[str] = []
    running = boot()
    try:
        while True:
            line = running.line()
            if line is None:
                print("FAIL  the machine fell silent", flush=True)
                return [*said, "FAIL  the machine fell silent"]
            if line == DONE:
                return said
            if line == CUT:
                running.cut()
                running = boot()
                continue
            print(line, flush=True)
            said.append(line)
    finally:
        running.cut()


def main() -> int:
    """Builds, boots, and sums up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=image.ROOT / "build" / "boot")
    parser.add_argument("--vm", action="store_true", help="also cut the power of a virtual machine")
    parser.add_argument(
        "--packages", nargs="*", default=[], choices=list(image.SUITES), metavar="RELEASE", help="the .debs, in those"
    )
    parser.add_argument("--built", type=Path, metavar="DIR", help="where the .debs lie already (dist/packages)")
    parser.add_argument("scenarios", nargs="*", help="only those named")
    arguments = parser.parse_args()
    for need in ("boot", "virtual machine") if arguments.vm else ("boot",):
        reason = needs.missing(need)
        if reason:
            sys.exit(f"boot-test: {reason}")
    folder: Path = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    log = folder / "console.log"
    log.unlink(missing_ok=True)
    said = packages(folder, log, arguments) if arguments.packages else broken(folder, log, arguments)
    failed = [line for line in said if line.startswith("FAIL")]
    passed = [line for line in said if line.startswith("ok")]
    print(f"boot-test: {len(passed)} passed, {len(failed)} failed in {time.monotonic() - start:.0f} s; console: {log}")
    return 1 if failed or not passed else 0


def packages(folder: Path, log: Path, arguments: argparse.Namespace) -> list[str]:
    """The life of the package in a booted root of each release."""
    said = []
    for name in arguments.packages:
        root = image.fresh(folder, name, arguments.built)
        print(f"boot-test: {name} boots", flush=True)
        said += follow(lambda root=root: machine.container(root, log))
    return said


def broken(folder: Path, log: Path, arguments: argparse.Namespace) -> list[str]:
    """The agent, installed by the README, and everything that happens to a box."""
    start = time.monotonic()
    root = image.fresh(folder)
    (root / "boot-test" / "only").write_text("\n".join(arguments.scenarios))
    print(f"boot-test: the root is ready after {time.monotonic() - start:.0f} s", flush=True)
    said = follow(lambda: machine.container(root, log))
    if arguments.vm:
        (root / "boot-test" / "stage").write_text("vm 0")
        disk = image.disk(root, folder)
        kernel, initrd = (next(iter((root / "boot").glob(pattern))) for pattern in ("vmlinuz-*", "initrd.img-*"))
        said += follow(lambda: machine.virtual_machine(disk, kernel, initrd, log))
    return said


if __name__ == "__main__":
    sys.exit(main())
