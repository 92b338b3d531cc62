"""``mlu-export run SCRIPT.py [args...]``: a porting script, unmodified, without the vendor's packages."""

from __future__ import annotations

import importlib.util
import os
import re
import runpy
import sys
import traceback
from typing import TYPE_CHECKING

import numpy as np

from mlu_agent.errors import UserError

from ..float_runner import import_torch

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


# Names that numpy had when these scripts were written.
OLD_NUMPY_NAMES = {"int": int, "float": float, "bool": bool, "object": object}


def run_script(script: Path, arguments: Sequence[str], trust_pickles: bool = False) -> int:
    """Runs the script as ``python SCRIPT args...`` would; returns its exit code. Raises UserError if it cannot start.

    A real torch_mlu is never shadowed: with one installed, the script runs with that. Otherwise gradients are off from
    the start, since nothing trains here, and ``torch.load`` refuses files that would run code, unless they are trusted.
    """
    if not script.is_file():
        raise UserError(f"{script}: there is no such script")
    if importlib.util.find_spec("torch_mlu") is not None:
        print("mlu-export: the vendor's torch_mlu is installed: the script runs with it", file=sys.stderr)
        return _run(script, arguments)
    if trust_pickles:
        os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"
    import_torch().set_grad_enabled(False)
    for name, kind in OLD_NUMPY_NAMES.items():
        if name not in vars(np):
            setattr(np, name, kind)
    from . import modules  # noqa: PLC0415 - they load torch
    from .settings import SETTINGS  # noqa: PLC0415

    modules.install()
    try:
        return _run(script, arguments)
    finally:
        SETTINGS.report()


def _without_operator(error: NotImplementedError) -> Exception:
    """The sentence for what torch says on many lines: an operator that nobody provides for the device."""
    match = re.match(r"Could not run '(\S+)' with arguments from the '(\w+)' backend", str(error))
    if match is None or match[2].lower() not in ("mlu", "privateuse1"):
        return error
    return UserError(f"{match[1]} has no operator on the device: compute it on the CPU, with .cpu() in front of it")


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
    except NotImplementedError as error:
        raise _without_operator(error) from error
    except BrokenPipeError:
        raise
    except OSError:  # the script's own, whose place it wants to know
        traceback.print_exc()
        return 1
    finally:
        sys.argv, sys.path[:] = before
    return 0
