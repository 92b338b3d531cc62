"""Which device the simulator is: the one that a model file is for, unless the environment says otherwise."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from mlu_agent.cnrt import open_library
from mlu_agent.model.offline_model import read_offline_model

if TYPE_CHECKING:
    from pathlib import Path

VARIABLE = "CNRT_SIMULATOR_DEVICE"
USUAL = "MLU220"  # what the simulator is without the variable


def simulate_target(model: Path, runtime: str = "simulator") -> None:
    """Lets the simulator be the device of the model file; says so where that is not the usual one.

    To be called before a device is opened: a process has one kind of it. Nothing happens where the variable is set,
    or where ``runtime`` is a device. Raises DataError; UserError and RuntimeFailure as ``open_library``.
    """
    target = read_offline_model(model).target
    if os.environ.get(VARIABLE) or target in (USUAL, "unknown") or open_library(runtime).kind != "simulator":
        return
    os.environ[VARIABLE] = target
    print(
        f"mlu-export: note: {model.name} is for an {target}: the simulator is one ({VARIABLE}={target})",
        file=sys.stderr,
    )
