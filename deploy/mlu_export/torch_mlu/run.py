"""``mlu-export run SCRIPT.py [args...]``: a porting script, unmodified, without the vendor's packages."""

from __future__ import annotations

import importlib.util
import os
import pickle
import re
import runpy
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlu_agent.errors import MluAgentError, UserError

from ..support.torch_needed import import_torch

if TYPE_CHECKING:
    from collections.abc import Sequence


PACKAGE = f"{Path(__file__).parents[1]}{os.sep}"

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
    code = 1
    try:
        code = _run(script, arguments, trust_pickles)
    finally:
        SETTINGS.report(ended=code == 0)
    return code


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


def _without_operator(error: Exception) -> str:
    """The sentence for what torch says on many lines: an operator that nobody provides for the device."""
    match = re.match(r"Could not run '(\S+)' with arguments from the '(\w+)' backend", str(error))
    if match is None or match[2].lower() not in ("mlu", "privateuse1"):
        return ""
    return f"{match[1]} has no operator on the device: compute it on the CPU, with .cpu() in front of it"


def _sentence(script: Path, error: Exception, trust_pickles: bool) -> str:
    """What is said instead of the script's own error, if anything is."""
    if isinstance(error, NotImplementedError):
        return _without_operator(error)
    if isinstance(error, pickle.UnpicklingError) and not trust_pickles and RUNS_CODE.search(str(error)):
        return _refused(script, error)  # others are of a damaged file, for example
    if isinstance(error, (SyntaxError, ValueError)) and "null bytes" in str(error):  # without a place, unlike others
        return f"{script}: {error}: give a Python script"
    return ""


def _show(error: BaseException) -> None:
    """The script's own error, as python shows it: without what stands between the command line and the script."""
    shown = traceback.TracebackException.from_exception(error)
    waiting: list[traceback.TracebackException | None] = [shown]
    while waiting:
        one = waiting.pop()
        if one is not None:
            own = [frame for frame in one.stack if not _is_ours(frame.filename)]
            one.stack = traceback.StackSummary.from_list(own)
            waiting += [one.__cause__, one.__context__]
    lines = list(shown.format())
    if not shown.stack and lines and lines[0].startswith("Traceback"):
        del lines[0]  # a syntax error has no frames
    print("".join(lines), end="", file=sys.stderr)


def _is_ours(file: str) -> bool:
    return file in ("<frozen runpy>", runpy.__file__) or file.startswith(PACKAGE)


def _run(script: Path, arguments: Sequence[str], trust_pickles: bool = True) -> int:
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
    except MluAgentError as error:
        told = str(error).strip().splitlines()
        if len(told) > 1:  # from a DataLoader's worker, with its traceback around it
            raise type(error)(told[-1].partition(": ")[2] or told[-1]) from error
        raise
    except (BrokenPipeError, MemoryError):
        raise
    except Exception as error:  # the script's own, whose place it wants to know
        said = _sentence(script, error, trust_pickles)
        if said:
            raise UserError(said) from error
        _show(error)
        return 1
    finally:
        sys.argv, sys.path[:] = before
    return 0
