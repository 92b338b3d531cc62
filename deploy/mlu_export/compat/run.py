"""``mlu-export run SCRIPT.py [args...]``: a porting script, unmodified, without the vendor's packages."""

from __future__ import annotations

import importlib.util
import runpy
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mlu_agent.errors import UserError

from ..float_runner import import_torch

if TYPE_CHECKING:
    from collections.abc import Sequence


def run_script(script: Path, arguments: Sequence[str]) -> int:
    """Runs the script as ``python SCRIPT args...`` would; returns its exit code. Raises UserError if it cannot start.

    A real torch_mlu is never shadowed: with one installed, the script runs with that.
    """
    if not script.is_file():
        raise UserError(f"{script}: there is no such script")
    if importlib.util.find_spec("torch_mlu") is not None:
        print("mlu-export: the vendor's torch_mlu is installed: the script runs with it", file=sys.stderr)
        return _run(script, arguments)
    import_torch()
    from . import modules, torchvision_names  # noqa: PLC0415 - they load torch
    from .settings import SETTINGS  # noqa: PLC0415

    modules.install()
    torchvision_names.install()
    try:
        return _run(script, arguments)
    finally:
        SETTINGS.report()


def _run(script: Path, arguments: Sequence[str]) -> int:
    before = sys.argv, list(sys.path)
    sys.argv = [str(script), *arguments]
    sys.path.insert(0, str(script.resolve().parent))
    try:
        runpy.run_path(str(script), run_name="__main__")
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return int(end.code or 0)
        print(end.code, file=sys.stderr)
        return 1
    finally:
        sys.argv, sys.path[:] = before
    return 0
