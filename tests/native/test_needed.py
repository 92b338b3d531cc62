"""``api_needed.py`` refuses a library that needs more than libc, libm and libpthread of glibc 2.28."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What it says of a library that is made of this."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    needed = importlib.import_module("api_needed")

    def say(text: str, *options: str) -> list[str]:
        source, library = tmp_path / "part.c", tmp_path / "libpart.so"
        source.write_text(text)
        subprocess.run(["cc", "-shared", "-fPIC", source, *options, "-o", library], check=True, timeout=60)
        found: list[str] = needed.faults("nm", "readelf", str(library))
        return found

    yield say
    sys.modules.pop("api_needed", None)


def test_what_merely_moved_into_libc_is_needed_by_a_newer_build_alone(faults):
    """Threads are in libpthread or in libc, log1p has been one since ever."""
    lines = "#include <math.h>\n#include <pthread.h>\ndouble part(double x) { return log1p(x) + (long)pthread_self(); }"
    assert faults(lines, "-lm", "-lpthread") == []


def test_functions_that_became_others_after_2_28_are_refused(faults):
    """Glibc 2.29 gave doubles' functions other errors under a new version: even Debian 11's build would ask for it."""
    for name in ("log", "exp", "log2"):
        (said,) = faults(f"#include <math.h>\ndouble part(double x) {{ return {name}(x); }}", "-fno-builtin", "-lm")
        assert f" calls {name} of glibc 2.29" in said


def test_libdl_is_refused(faults):
    """A library of its own until 2.34."""
    (said,) = faults("int part;", "-Wl,--no-as-needed", "-l:libdl.so.2")
    assert said.endswith(" needs libdl.so.2")
