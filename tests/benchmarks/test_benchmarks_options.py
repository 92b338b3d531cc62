"""The command line of ``make bench``: what is wrong is one sentence at once, not a traceback after an hour."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).resolve().parents[2] / "benchmarks" / "run.py"


@pytest.mark.parametrize(
    "option, value",
    [
        ("--threads", "two"),
        ("--threads", "0"),
        ("--threads", "1,,2"),
        ("--rounds", "-1"),
        ("--seconds", "nan"),
        ("--weights", "/nonexistent"),
        ("--pictures", "/nonexistent"),
        ("--labelled", "/nonexistent"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_at_once(option, value, tmp_path):
    """The last line names the option; 2 is the user's mistake."""
    page = tmp_path / "page.md"
    done = subprocess.run(
        [sys.executable, str(PROGRAM), "--parts", "", "--page", str(page), f"{option}={value}"],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert f"error: argument {option}: " in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not page.exists()
