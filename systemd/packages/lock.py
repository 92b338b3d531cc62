"""Writes ``locked/``: the newest versions that each release's Python can have, and the digests of their wheels.

    python systemd/packages/lock.py      (with uv: pip install uv)

Packages are built from these and nothing newer, so that the same commit gives the same bytes next year. To be run,
looked at and committed when something in there is to be newer.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import sys
import tempfile
from pathlib import Path

from releases import PROCESSORS, PYTHONS
from steps import call
from wheels import PIP, lock, target

EXTRAS = ("metrics", "sign")  # a package has no extras: what they need is in it


def wanted() -> list[str]:
    """What agent and client require, without each other; of the extras, those that a package holds."""
    lines = [line for name in ("mlu-agent", "mlu-client") for line in importlib.metadata.requires(name) or []]
    return [text for text in map(_without_extra, lines) if text and not text.startswith("mlu-client")]


def _without_extra(line: str) -> str:
    """The line without its marker of an extra; empty if that is none of ours."""
    text, _, marker = (part.strip() for part in line.partition(";"))
    if "extra" not in marker:
        return line
    return text if any(f"extra == '{name}'" in marker.replace('"', "'") for name in EXTRAS) else ""


def versions(python: str) -> list[str]:
    """Lines NAME==VERSION that fit together for that Python on every processor."""
    found: set[str] = set()
    for processor in PROCESSORS:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "wanted.in")
            file.write_text("\n".join(wanted()))
            machine = f"--python-platform={processor.machine}-manylinux_2_31"
            said = call(
                sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate",
                "--only-binary=:all:", f"--python-version={python}", machine, file,
            )  # fmt: skip
        found |= set(said.split())
    return sorted(found)


def digests(python: str, pins: list[str]) -> dict[str, set[str]]:
    """The wheels' digests by NAME==VERSION."""
    found: dict[str, set[str]] = {pin: set() for pin in pins}
    for processor in PROCESSORS:
        with tempfile.TemporaryDirectory() as folder:
            call(*PIP, "download", "--quiet", "--no-deps", "--dest", folder, *target(python, processor), *pins)
            for path in Path(folder).glob("*.whl"):
                name, version = path.name.split("-")[:2]
                pin = f"{name.lower().replace('_', '-')}=={version}"
                found[pin].add(hashlib.sha256(path.read_bytes()).hexdigest())
    return found


def main() -> None:
    """One file for each Python."""
    for python in PYTHONS:
        found = digests(python, versions(python))
        lines = [f"# Written by lock.py: what the packages for Python {python} hold, besides our own."]
        for pin, wheels in found.items():
            lines += [f"{pin} \\", *(f"    --hash=sha256:{digest} \\" for digest in sorted(wheels))]
            lines[-1] = lines[-1].removesuffix(" \\")
        lock(python).write_text("\n".join(lines) + "\n")
        print(f"{lock(python).name}: {len(found)} packages", flush=True)


if __name__ == "__main__":
    main()
