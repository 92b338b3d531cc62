"""The library exports the functions of cnrt_abi.h and nothing else, under the name that real programs ask for, and
section 12 of ABI.md lists them.

api_symbols.py NM READELF LIBRARY HEADER ABI.md
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


def documented(abi: str) -> list[str]:
    """Names of the functions that the section lists, under the version that brought them; each count must be right."""
    section = abi.partition("\n## 12. Functions\n")[2].partition("\n## ")[0]
    paragraphs = re.findall(r"^\*\*([\w.]+)\*\* \((\d+)\): (.*?)\.$", section, re.MULTILINE | re.DOTALL)
    found = []
    for version, count, names in paragraphs:
        listed = re.findall(r"`(cnrt\w+)`", names)
        found += listed if len(listed) == int(count) else [f"{len(listed)} functions of {version}, which says {count}"]
    return found


def main() -> int:
    nm, readelf, library, header, abi = sys.argv[1:]
    lines = subprocess.run([nm, "-D", "--defined-only", library], check=True, capture_output=True, text=True).stdout
    exported = {line.split()[-1] for line in lines.splitlines()}
    expected = declared(Path(header).read_text(encoding="utf-8"))
    dynamic = subprocess.run([readelf, "-d", library], check=True, capture_output=True, text=True).stdout
    faults = [f"exported, but not declared: {name}" for name in sorted(exported - expected)]
    faults += [f"declared, but not exported: {name}" for name in sorted(expected - exported)]
    told = documented(Path(abi).read_text(encoding="utf-8"))
    faults += [f"in ABI.md twice: {name}" for name in sorted(set(told)) if told.count(name) > 1]
    faults += [f"in ABI.md, but not exported: {name}" for name in sorted(set(told) - exported)]
    faults += [f"exported, but not in ABI.md: {name}" for name in sorted(exported - set(told))]
    if "soname: [libcnrt.so]" not in dynamic:
        faults.append("the SONAME is not libcnrt.so")
    if "STATIC_TLS" in dynamic:
        faults.append("its thread-local memory must be there from the start: late, or twice, it cannot be opened")
    if len(expected) < 170:
        faults.append(f"only {len(expected)} declarations were found: the header was not understood")
    print("\n".join(faults) if faults else f"{len(exported)} functions")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
