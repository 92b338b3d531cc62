"""Where the golden frame of a model comes from: from beside the model, or recorded at the first good start, and said.

    NAME.golden                       beside the model: written by mlu-export, or by us where we may
    CACHE_DIRECTORY/SHA256.golden     recorded by us where the model's folder is read-only, as under the unit

A file that is damaged or of another model is said and recorded anew at the start: a daemon must not stay away for it.
A change is refused for one that lies beside its model, since what serves goes on: nothing would be held to a frame that
was recorded a moment ago. One that tells of another device or runtime than this one is recorded anew in both cases,
since those may compute differently.
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
    from collections.abc import Collection, Iterator

    from ..engine import Engine
    from ..model.bundle import ModelSpec
    from ..model.golden import GoldenFrame


def refuse_damaged(spec: ModelSpec, serving: Collection[str]) -> None:
    """DataError if the golden frame beside a model is damaged or another's; there need not be one, and one that a model
    left which was copied over (``serving``: the digests of those that serve) counts as none."""
    path = spec.path.with_suffix(SUFFIX)
    if not os.path.lexists(path):
        return
    remedy = "copy it again beside its model, or delete it to have one recorded here"
    try:
        golden = read_golden(path)
    except DataError as error:
        raise DataError(f"{error.message}; {remedy}") from None
    problem = _problem(golden, spec)
    if problem and golden.model_sha256 not in serving:
        raise DataError(f"{path.name}: {problem}; {remedy}")


def golden_frame(spec: ModelSpec, engine: Engine, log: Any) -> GoldenFrame:
    """The model's golden frame. RuntimeFailure if none is there, and the device does not compute the same twice."""
    known = known_golden(spec, engine, log)
    if known is not None:
        return known
    made_on = _made_on(engine)
    golden = record(engine, spec.sha256, made_on)
    # a bundle's files are as they were packed, and may go with it: what is recorded lies elsewhere
    places = [path for path in _places(spec, engine) if spec.packed is None or path.parent != spec.path.parent]
    kept = next((str(path) for path in places if _write(path, golden_text(golden))), "")
    if kept:
        log.warning("golden frame recorded: from now on the same has to be computed here", path=kept, made_on=made_on)
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
    for path in _places(spec, engine, folder):
        golden = _read(path, spec, _made_on(engine), log)
        if golden is not None:
            log.info("golden frame", path=str(path), made_on=golden.made_on)
            return golden
    return None


def _made_on(engine: Engine) -> str:
    if engine.standin is not None:
        return f"simulator, stand-in {engine.standin.sha256}"
    kind = engine.library.kind
    return kind if kind == "simulator" else f"{engine.device.name}, CNRT {engine.library.version()}"


def _places(spec: ModelSpec, engine: Engine, more: str = "") -> Iterator[Path]:
    """Beside what computes: that of the device file is the device's."""
    yield (spec.path if engine.standin is None else engine.standin.path).with_suffix(SUFFIX)
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
    problem = _problem(golden, spec)
    if not problem and golden.made_on != made_on:
        problem = f"it was made on {golden.made_on}, and this is {made_on}"
    if problem:
        log.warning("a golden frame is not taken", reason=f"{path.name}: {problem}")
        return None
    return golden


def _problem(golden: GoldenFrame, spec: ModelSpec) -> str:
    """Why it cannot be of the model, "" if it can."""
    if golden.model_sha256 != spec.sha256:
        return f"it is of another model than {spec.path.name}"
    if len(golden.outputs[0]) != len(spec.offline.outputs):
        return f"it has {len(golden.outputs[0])} outputs, the model {len(spec.offline.outputs)}"
    return ""


def _write(path: Path, text: str) -> bool:
    """Whether the file is there now, as a whole."""
    try:
        write_whole(path, text.encode("utf-8"))
    except OSError:
        return False
    return True
