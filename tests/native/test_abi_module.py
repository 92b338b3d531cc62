"""The committed cffi module is what the headers give."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

NATIVE = Path(__file__).resolve().parents[2] / "native"


def check(script: Path) -> subprocess.CompletedProcess[str]:
    """Runs the generator in the mode that only compares."""
    return subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)


def test_the_committed_module_is_current() -> None:
    """``generate_abi.py --check`` finds no difference between the headers and the committed module."""
    result = check(NATIVE / "generate_abi.py")
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("wrong", ["cnrt_codes.h", "cnrt_abi.h"])
def test_a_preprocessor_line_in_a_header_is_refused(tmp_path: Path, wrong: str) -> None:
    """These headers feed gcc and cffi alike, so a preprocessor line in one is an error, not something to drop."""
    (tmp_path / "include").mkdir()
    for name in ("cnrt_codes.h", "cnrt_abi.h"):
        (tmp_path / "include" / name).write_text("#define X 1\n" if name == wrong else "", encoding="utf-8")
    script = tmp_path / "generate_abi.py"
    script.write_text((NATIVE / "generate_abi.py").read_text(encoding="utf-8"), encoding="utf-8")
    result = check(script)
    assert result.returncode != 0
    assert f"{wrong} must hold no preprocessor lines" in result.stderr
