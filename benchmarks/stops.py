"""How the daemon ends when it is told to: hundreds of stops, in every state, with eight slow cameras.

    python benchmarks/stops.py [--count 500] [--at-once 4] [--state NAME]

A stop is good if the process ends by itself with 0 within 5 s. The exit status is 1 unless all of them are.
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import sys
import tempfile
from importlib.resources import as_file, files
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.models import small_bundle
from tests.stops import LIMIT_S, STATES, Cameras, Stop, stop


def main() -> int:
    """Runs them and prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=500, help="stops, over all states in turn")
    parser.add_argument("--at-once", type=int, default=4, help="daemons at a time")
    parser.add_argument("--state", choices=list(STATES), action="append", help="only this state; may be repeated")
    arguments = parser.parse_args()
    states = arguments.state or list(STATES)
    found: dict[str, list[Stop]] = collections.defaultdict(list)
    library = as_file(files("mlu_agent") / "_native" / "libcnrt.so")
    with tempfile.TemporaryDirectory() as work, library as simulator, Cameras() as cameras:
        model = small_bundle(Path(work))

        def one(number: int) -> tuple[str, Stop]:
            name = states[number % len(states)]
            with tempfile.TemporaryDirectory(dir=work) as folder:
                return name, stop(name, Path(folder), model, simulator, cameras, seed=number)

        with concurrent.futures.ThreadPoolExecutor(arguments.at_once) as pool:
            for name, ended in pool.map(one, range(arguments.count)):
                found[name].append(ended)
                if ended.code or ended.seconds > LIMIT_S:
                    print(f"{name}: exit {ended.code} after {ended.seconds:.2f} s: {ended.said}", flush=True)
    return report(found)


def report(found: dict[str, list[Stop]]) -> int:
    """Prints the table; the exit status."""
    print(f"{'state':<26} {'stops':>5} {'exit 0':>6} {'signals':>7} {'median s':>9} {'longest s':>9}")
    for name, stops in found.items():
        times = sorted(ended.seconds for ended in stops)
        good = sum(ended.code == 0 for ended in stops)
        killed = sum(ended.code < 0 for ended in stops)
        print(f"{name:<26} {len(stops):>5} {good:>6} {killed:>7} {times[len(times) // 2]:>9.2f} {times[-1]:>9.2f}")
    stops = [ended for ended_in in found.values() for ended in ended_in]
    good = sum(ended.code == 0 and ended.seconds <= LIMIT_S for ended in stops)
    print(f"{good} of {len(stops)} stops ended with 0 within {LIMIT_S:g} s")
    return int(good != len(stops))


if __name__ == "__main__":
    sys.exit(main())
