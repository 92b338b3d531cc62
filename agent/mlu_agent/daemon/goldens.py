"""Where the golden frame of a model comes from: from beside the model, or recorded at the first good start, and said.

    NAME.golden                       beside the model: written by mlu-export, or by us where we may
    CACHE_DIRECTORY/SHA256.golden     recorded by us where the model's folder is read-only, as under the unit

A file that is damaged or of another model is said and recorded anew: a daemon must not stay away for it. One that tells
of another device or runtime than this one is recorded anew too, since those may compute differently.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config.new_files import write_whole
from ..engine.golden import record, weakness
from ..errors import DataError
from ..model.golden import SUFFIX, golden_text, read_golden
from ..model.unpacked import CACHE_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..engine import Engine
    from ..model.bundle import ModelSpec
    from ..model.golden import GoldenFrame


def golden_frame(spec: ModelSpec, engine: Engine, log: Any) -> GoldenFrame:
    """The model's golden frame. RuntimeFailure if none is there, and the device does not compute the same twice."""
    known = known_golden(spec, engine, log)
    if known is not None:
        return known
    made_on = _made_on(engine)
    golden = record(engine, spec.sha256, made_on)
    # a bundle's files are as they were packed, and may go with it: what is recorded lies elsewhere
    places = [path for path in _places(spec) if spec.packed is None or path.parent != spec.path.parent]
    kept = next((str(path) for path in places if _write(path, golden_text(golden))), "")
    if kept:
        log.warning("golden frame recorded: from now on the device has to compute the same", path=kept, made_on=made_on)
    else:
        log.warning(
            "golden frame recorded, and no place to keep it until the next start: the model's folder is read-only",
            remedy=f"let it be writable, or name a folder in {CACHE_VARIABLE}",
            made_on=made_on,
        )
    if weakness(golden):
        log.warning("the golden frame does not see outputs that stay from before", reason=weakness(golden))
    return golden


def known_golden(spec: ModelSpec, engine: Engine, log: Any, folder: str = "") -> GoldenFrame | None:
    """The one that was made before; None if there is none that can be taken. ``folder``: where one may lie beside the
    places where one is written."""
    for path in _places(spec, folder):
        golden = _read(path, spec, _made_on(engine), log)
        if golden is not None:
            log.info("golden frame", path=str(path), made_on=golden.made_on)
            return golden
    return None


def _made_on(engine: Engine) -> str:
    kind = engine.library.kind
    return kind if kind == "simulator" else f"{engine.device.name}, CNRT {engine.library.version()}"


def _places(spec: ModelSpec, more: str = "") -> Iterator[Path]:
    yield spec.path.with_suffix(SUFFIX)
    folder = more or os.environ.get(CACHE_VARIABLE, "").split(":")[0]
    if folder:
        yield Path(folder) / f"{spec.sha256}{SUFFIX}"


def _read(path: Path, spec: ModelSpec, made_on: str, log: Any) -> GoldenFrame | None:
    if not os.path.lexists(path):
        return None
    try:
        golden = read_golden(path)
    except DataError as error:
        log.warning("a golden frame is not taken", reason=error.message)
        return None
    problem = ""
    if golden.model_sha256 != spec.sha256:
        problem = f"it is of another model than {spec.path.name}"
    elif golden.made_on != made_on:
        problem = f"it was made on {golden.made_on}, and this is {made_on}"
    elif len(golden.outputs[0]) != len(spec.offline.outputs):
        problem = f"it has {len(golden.outputs[0])} outputs, the model {len(spec.offline.outputs)}"
    if problem:
        log.warning("a golden frame is not taken", reason=f"{path.name}: {problem}")
        return None
    return golden


def _write(path: Path, text: str) -> bool:
    """Whether the file is there now, as a whole."""
    try:
        write_whole(path, text.encode("utf-8"))
    except OSError:
        return False
    return True
