"""The process that touches runtime library and device for doctor: what crashes or hangs there takes nobody along.

    python -m mlu_agent.doctor.child RUNTIME [--library-only | MODEL]

MODEL is a JSON object: the model's ``path``, ``trust`` and ``require_signature`` as the configuration has them, and
``goldens``, a folder where golden frames may lie, too.

Prints one JSON object per line: ``{"step": …}`` before each step, ``{"fact": …}`` for what was learnt, and
``{"failed": sentence, "kind": class}`` for what went wrong, after which it ends. With a model it is loaded, a grey
picture goes through it, and its golden frame, if it has one, has to come out. Nothing is written but what a bundle
holds, into a temporary folder that goes with the process.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..cnrt import open_library
from ..cnrt.device import list_devices
from ..config import ModelConfig
from ..daemon.goldens import known_golden
from ..engine import Engine
from ..engine.golden import GoldenTest
from ..engine.served import ServedModel
from ..errors import MluAgentError
from ..ledger import Ledger
from ..model.configured import read_configured

if TYPE_CHECKING:
    from ..cnrt import Library
    from ..model.bundle import ModelSpec


LIBRARY_ONLY = "--library-only"


def _say(**fields: Any) -> None:
    os.write(_OUT, json.dumps(fields).encode() + b"\n")


_OUT = os.dup(1)  # standard output, which a library may print to: what it says is not heard


class _Quiet:
    """A log for those who want one: why a golden frame is not taken is a fact."""

    def info(self, event: str, **fields: Any) -> None:
        """Nothing of it is news."""

    def warning(self, event: str, **fields: Any) -> None:
        _say(fact={"warning": f"{event}: {fields.get('reason', '')}"})

    error = warning


def main(words: list[str]) -> int:
    """Looks at the runtime, and at a model on it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    runtime, *models = words
    try:
        library = _look_at_library(runtime)
        if models == [LIBRARY_ONLY]:
            return 0
        _look_at_devices(library)
        for model in models:
            _look_at_model(library, json.loads(model))
    except MluAgentError as error:
        _say(failed=error.message, kind=type(error).__name__)
        return 1
    return 0


def _look_at_library(runtime: str) -> Library:
    _say(step="library")
    library = open_library(runtime)
    _say(fact={"kind": library.kind, "path": library.path, "reason": library.reason})
    _say(step="version")
    _say(fact={"version": library.version()})
    return library


def _look_at_devices(library: Library) -> None:
    _say(step="devices")
    devices = [{"name": one.name, "target": one.target, "cores": one.cores} for one in list_devices(library)]
    _say(fact={"devices": devices})


def _look_at_model(library: Library, asked: dict[str, Any]) -> None:
    _say(step="model")
    trust = Path(asked["trust"]) if asked["trust"] else None
    config = ModelConfig(Path(asked["path"]), trust=trust, require_signature=asked["require_signature"])
    spec = read_configured(config, ()).on(library.kind)  # the labels were looked at by who asks
    _say(fact={"target": spec.offline.target, "parallelism": spec.offline.parallelism})
    _say(step="load")
    with Engine(library, spec.path, spare=True, stamp=spec.stamp, given=spec.given) as engine:
        if engine.standin is not None:
            _say(fact={"standin": engine.standin.words})
        _say(step="self-test")
        account = Ledger().model(spec.name)
        _say(fact={"device_ms": round(ServedModel[int](spec, engine, spec.thresholds).self_test(), 3)})
        _look_at_golden(spec, engine, account, asked["goldens"])


def _look_at_golden(spec: ModelSpec, engine: Engine, account: Any, folder: str) -> None:
    _say(step="golden")
    golden = None if engine.library.outputs_are_recorded else known_golden(spec, engine, _Quiet(), folder)
    if golden is not None:
        GoldenTest(engine, golden, account).check()
    _say(fact={"golden": golden is not None})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
