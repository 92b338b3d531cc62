"""One file of the simulator asks the environment, and hands down what it was told."""

from __future__ import annotations

import re

from tests.architecture.test_floors import SIM


def test_only_one_file_asks_the_environment():
    """Each variable is read, bounded and complained about in core/environment.c; all else is handed settings."""
    asking = {
        path.relative_to(SIM).as_posix()
        for path in SIM.rglob("*.[ch]")
        if re.search(r"\b(?:secure_)?getenv\s*\(|\benviron\b", path.read_text(encoding="utf-8"))
    }
    assert asking == {"core/environment.c"}
