"""A device that hangs, at each call that there is: when it is noticed, and when detections flow again.

    python benchmarks/hangs.py --model MODEL.cambricon [POINT ...]

The daemon runs on a synthetic camera under a manager that starts it again after 2 s, as the unit does. Needs a C
compiler, for the library that hangs. Exits with 1 unless each point is served again within 10 s.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from importlib.resources import as_file, files
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.faults import Fault, build_fault_library
from tests.hangs import CONFIG, POINTS, outage

LIMIT_S = 10.0


def main() -> int:
    """Measures; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("points", nargs="*", metavar="POINT", help=f"of {', '.join(POINTS)}; default: all")
    arguments = parser.parse_args()
    late = 0
    with tempfile.TemporaryDirectory() as name, as_file(files("mlu_agent") / "_native" / "libcnrt.so") as simulator:
        folder = Path(name)
        endpoint = f"ipc://{folder}/out.sock"
        config = folder / "agent.toml"
        config.write_text(CONFIG.format(size="640x480", model=arguments.model.absolute(), endpoint=endpoint))
        fault = Fault(build_fault_library(folder, simulator), folder / "fault")
        print(f"{'hang in':14} {'process ends':>13} {'served again':>13}  exit code")
        for point in arguments.points or POINTS:
            found = outage(POINTS[point], config, endpoint, fault)
            late += found.serving_s > LIMIT_S or found.code != 3
            print(f"{point:14} {found.noticed_s:11.1f} s {found.serving_s:11.1f} s  {found.code}", flush=True)
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main())
