"""The last good bundle of a model: what serves at a start where the one that is configured is refused.

A bundle counts as good once a test frame passed. Its unpacked files stay in the cache until another one of the same
path is good, and every byte and signature of them is checked again before they serve. Without a cache there is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..config.files import reason
from ..errors import CannotUnpack, DataError
from ..model import unpacked
from ..model.bundle import load_last_good
from ..model.signatures import trust_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..config import ModelConfig
    from ..model.bundle import ModelSpec


def remember(model: ModelConfig, spec: ModelSpec, log: Any, configured: Iterable[ModelConfig]) -> None:
    """The model passed its test: if it came in a bundle, that is a good one. ``configured``: all that are; what lay at
    other paths is forgotten, and may leave the disk."""
    if spec.packed is None or spec.packed.refused or spec.packed.files.temporary:
        return  # what serves is not kept: the one that is goes on being the last good one
    try:
        unpacked.remember(model.path, spec.packed.sha256, [one.path for one in configured])
    except OSError as failure:
        log.warning("the last good bundle cannot be remembered", model=model.name, reason=reason(failure))


def instead(model: ModelConfig, refused: DataError | CannotUnpack, log: Any) -> ModelSpec:
    """The last good one, and says so. Raises ``refused`` where there is none."""
    try:
        spec = load_last_good(model.path, trust_of(model), refused.message)
    except DataError:
        spec = None
    if spec is None or spec.packed is None:
        raise refused
    log.error(
        "the bundle is refused, and the last good one serves",
        model=model.name, path=str(model.path), reason=refused.message, version=spec.packed.index.version,
        sha256=spec.sha256, remedy="put a good bundle there, then reload",
    )  # fmt: skip
    return spec
