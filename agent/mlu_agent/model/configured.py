"""The model that a configuration names, read as it will serve. Who serves it, who checks it and who examines it read it
here, so that none of them takes what another refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .bundle import load_bundle
from .labels import refuse_unknown_labels
from .signatures import trust_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..config import ModelConfig, SourceConfig
    from .bundle import ModelSpec


def read_configured(model: ModelConfig, sources: Iterable[SourceConfig], spec: ModelSpec | None = None) -> ModelSpec:
    """Its files, signed by whom the configuration wants, with all labels that ``sources``, those that it is to look at,
    ask for. ``spec``: the model, if it was read already. Raises what ``load_bundle``, ``trust_of`` and
    ``refuse_unknown_labels`` raise."""
    spec = spec or load_bundle(model.path, trust_of(model))
    refuse_unknown_labels(sources, spec)
    return spec
