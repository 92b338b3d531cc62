"""The ABI's wall: no exported function without a test that calls it."""

from __future__ import annotations

import re

from tests.architecture.test_floors import ROOT

# what a program calls by a macro of cnrt.h
BY_MACRO = {"cnrtCheck": "CNRT_CHECK"}


def test_every_exported_function_is_named_by_a_native_test():
    """Those of cnrt_abi.h, the one list, in C, C++ or through ctypes."""
    header = (ROOT / "native" / "include" / "cnrt_abi.h").read_text(encoding="utf-8")
    functions = set(re.findall(r"^\w[\w *]*?\b(cnrt[A-Z]\w*)\(", header, re.MULTILINE))
    assert len(functions) > 170
    files = [path for path in (ROOT / "tests" / "native").rglob("*") if path.suffix in (".c", ".cpp", ".h", ".py")]
    named = set(re.findall(r"\b(?:cnrt|CNRT_)\w+", "\n".join(path.read_text(encoding="utf-8") for path in files)))
    assert sorted(name for name in functions if BY_MACRO.get(name, name) not in named) == []
