"""``mlu-export run SCRIPT.py [args...]``: a porting script, unmodified, without the vendor's packages."""

from __future__ import annotations

import importlib.util
import os
import pickle
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

# How torch says that a file has more in it than tensors: the name of a class, or before torch 1.6 its source.
# Operands 140 to 151 are those of pickle protocols 4 and 5, which torch reads only together with everything else.
RUNS_CODE = re.compile(
    r"Weights only load failed.*(?:GLOBAL (\S+)|persistent_load|Unsupported operand 1(?:4\d|5[01])\b)", re.DOTALL
)


def run_script(script: Path, arguments: Sequence[str], trust_pickles: bool = False) -> int:
    """Runs the script as ``python SCRIPT args...`` would; returns its exit code. Raises UserError if it cannot start.

    A real torch_mlu is never shadowed: with one installed, the script runs with that. Otherwise gradients are off from
    the start, since nothing trains here, and ``torch.load`` refuses files that would run code, unless they are trusted:
    whatever the script says about ``weights_only``.
    """
    if not script.is_file():
        raise UserError(f"{script}: there is no such script")
    if importlib.util.find_spec("torch_mlu") is not None:
        print("mlu-export: the vendor's torch_mlu is installed: the script runs with it", file=sys.stderr)
        return _run(script, arguments)
    if trust_pickles:
        os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"
    import_torch("running scripts for torch_mlu needs torch: pip install 'mlu-export[run]'").set_grad_enabled(False)
    for name, kind in OLD_NUMPY_NAMES.items():
        if name not in vars(np):
            setattr(np, name, kind)
    from . import loading, modules  # noqa: PLC0415 - they load torch
    from .settings import SETTINGS  # noqa: PLC0415

    modules.install()
    if not trust_pickles:
        loading.install()
    try:
        return _run(script, arguments)
    except pickle.UnpicklingError as error:
        if trust_pickles or not RUNS_CODE.search(str(error)):
            raise  # a damaged file, for example
        raise UserError(_refused(script, error)) from error
    finally:
        SETTINGS.report()


def _refused(script: Path, error: BaseException) -> str:
    """The sentence for what torch says on many lines: a file with more in it than tensors."""
    lines = [one.lineno for one in traceback.extract_tb(error.__traceback__) if one.filename == str(script)]
    place = f"{script.name}, line {lines[-1]}: " if lines else ""
    found = RUNS_CODE.search(str(error))
    held = f" ({found[1]:.80})" if found and found[1] else ""
    return (
        f"{place}torch.load found a whole pickled model or other objects{held}, which run code as they are loaded: "
        f"`mlu-export run --trust-pickles {script.name} …` allows it, if you know where the file comes from"
    )


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
