"""The libraries need libc, libm and libpthread alone, and nothing that glibc 2.28 lacks.

api_needed.py NM READELF LIBRARY...

A library that is built here names the versions of this machine's glibc. Those newer than 2.28 must be of functions that
older ones have under another version: built against glibc 2.28 the library asks for that.
"""

from __future__ import annotations

import re
import subprocess
import sys

NEEDED = {"libc.so.6", "libm.so.6", "libpthread.so.0", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}
OLDEST = (2, 28)
# What merely moved: 2.33 made functions of fstat and stat, 2.32 to 2.34 brought libpthread into libc. What became
# another function, as log did in 2.29, stays out: a library built against 2.31 asks for it.
OLDER = {
    *("fstat", "lstat", "stat"),
    *("pthread_create", "pthread_detach", "pthread_getspecific", "pthread_join", "pthread_key_create", "pthread_kill"),
    *("pthread_mutex_trylock", "pthread_once", "pthread_setname_np", "pthread_setspecific", "pthread_sigmask"),
    *("pthread_getattr_np", "pthread_getaffinity_np", "pthread_setaffinity_np", "sem_init", "sem_post", "sem_wait"),
}


def _words(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def faults(nm: str, readelf: str, library: str) -> list[str]:
    """A sentence for each thing that it must not need."""
    needed = set(re.findall(r"Shared library: \[(.+?)\]", _words(readelf, "-d", "-W", library)))
    found = [f"{library} needs {name}" for name in sorted(needed - NEEDED)]
    for line in _words(nm, "-D", "--undefined-only", library).splitlines():
        match = re.fullmatch(r"\s*[UwW] (\w+)@+GLIBC_(\d+)\.(\d+)(\.\d+)?", line)
        if match and (int(match[2]), int(match[3])) > OLDEST and match[1] not in OLDER:
            found.append(
                f"{library} calls {match[1]} of glibc {match[2]}.{match[3]}: 2.28 may lack it; if not, see OLDER"
            )
    return found


def main() -> int:
    """The exit status."""
    nm, readelf, *libraries = sys.argv[1:]
    found = [fault for library in libraries for fault in faults(nm, readelf, library)]
    print("\n".join(found) if found else f"{len(libraries)} libraries need nothing else")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
