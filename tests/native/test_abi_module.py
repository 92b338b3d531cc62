"""The committed cffi module is what the header gives."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

NATIVE = Path(__file__).resolve().parents[2] / "native"


def check(script: Path) -> subprocess.CompletedProcess[str]:
    """Runs the generator in the mode that only compares."""
    return subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)


def test_the_committed_module_is_current() -> None:
    """``generate_abi.py --check`` finds no difference between the header and the committed module."""
    result = check(NATIVE / "generate_abi.py")
    assert result.returncode == 0, result.stderr


def test_a_preprocessor_line_in_the_header_is_refused(tmp_path: Path) -> None:
    """The header feeds gcc and cffi alike, so a preprocessor line in it is an error, not something to drop."""
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "cnrt_abi.h").write_text("#define X 1\n", encoding="utf-8")
    script = tmp_path / "generate_abi.py"
    script.write_text((NATIVE / "generate_abi.py").read_text(encoding="utf-8"), encoding="utf-8")
    result = check(script)
    assert result.returncode != 0
    assert "preprocessor" in result.stderr
