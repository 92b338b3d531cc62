"""The library exports the functions of cnrt_abi.h and nothing else, under the name that real programs ask for.

api_symbols.py NM READELF LIBRARY HEADER
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path


def declared(header: str) -> set[str]:
    """Names of the functions that the header declares."""
    text = re.sub(r"/\*.*?\*/", "", header, flags=re.DOTALL)
    return set(re.findall(r"\b(cnrt\w+)\s*\([^;{]*\)\s*;", text))


def main() -> int:
    nm, readelf, library, header = sys.argv[1:]
    lines = subprocess.run([nm, "-D", "--defined-only", library], check=True, capture_output=True, text=True).stdout
    exported = {line.split()[-1] for line in lines.splitlines()}
    expected = declared(Path(header).read_text(encoding="utf-8"))
    dynamic = subprocess.run([readelf, "-d", library], check=True, capture_output=True, text=True).stdout
    faults = [f"exported, but not declared: {name}" for name in sorted(exported - expected)]
    faults += [f"declared, but not exported: {name}" for name in sorted(expected - exported)]
    if "soname: [libcnrt.so]" not in dynamic:
        faults.append("the SONAME is not libcnrt.so")
    if len(expected) < 100:
        faults.append(f"only {len(expected)} declarations were found: the header was not understood")
    print("\n".join(faults) if faults else f"{len(exported)} functions")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
