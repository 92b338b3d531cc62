"""Injects troubles one after the other, asks `mlu-agent doctor`, and says whether it named each and what to do.

    python benchmarks/troubles.py [NAME...]

Prints a line for each: named or MISSED, with what was found. The exit status is 1 if one was missed. As root all can
be injected; those that cannot are said.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from importlib.resources import as_file, files
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.injections import INJECTIONS, Box, Injection, found, lacks

SHOWN = 150


def main() -> int:
    """Runs them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"only these of: {', '.join(INJECTIONS)}")
    wanted = parser.parse_args().names or list(INJECTIONS)
    library = as_file(files("mlu_agent") / "_native" / "libcnrt.so")
    outcomes = []
    with library as simulator:
        for injection in (INJECTIONS[name] for name in wanted):
            reason = lacks(injection)
            if reason:
                print(f"not here  {injection.name}: {reason}", flush=True)
                continue
            outcomes.append(one(injection, simulator))
    print(f"{sum(outcomes)} of {len(outcomes)} troubles were named, with what to do")
    return int(not all(outcomes))


def one(injection: Injection, simulator: Path) -> bool:
    """One trouble in a box of its own; whether it was named."""
    with tempfile.TemporaryDirectory() as work:
        Path(work).chmod(0o755)
        start = time.monotonic()
        try:
            findings = injection.inject(Box(Path(work), simulator))
        except AssertionError as error:
            print(f"MISSED    {injection.name}: {error}", flush=True)
            return False
        seconds = time.monotonic() - start
    named = found(injection, findings)
    others = sorted({one["code"] for one in findings if one["code"]} - {injection.code})
    said = named["found"][:SHOWN] if named else f"only {', '.join(others)}"
    print(
        f"{'named' if named else 'MISSED':<9} {injection.name} ({seconds:.1f} s): {injection.code}: {said}", flush=True
    )
    return named is not None


if __name__ == "__main__":
    sys.exit(main())
