"""NAME.learned: what was learned of each layer, beside the recipe that names it by its digest.

It is a state dict like any checkpoint (checkpoint.py), of integers for codes: LAYER.codes, LAYER.tops, LAYER.gain,
LAYER.offset. Reading needs no torch and runs nothing of the file.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np

from mlu_agent.errors import DataError, UserError

from ..support.files import read_bounded, sha256_hex
from ..values.learned import PARTS, LearnedLayer
from .checkpoint import Checkpoint, checkpoint_bytes, parse_checkpoint

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MAX_LEARNED_BYTES = 1 << 30
SUFFIX = ".learned"


def learned_bytes(layers: Mapping[str, LearnedLayer]) -> bytes:
    """The file's bytes; equal values give equal bytes. Needs torch, as learning does."""
    tensors = OrderedDict(
        (f"{name}.{part}", getattr(layer, part))
        for name, layer in layers.items()
        for part in PARTS
        if getattr(layer, part) is not None
    )
    return checkpoint_bytes(Checkpoint(tensors).state_dict())


def parse_learned(data: bytes) -> dict[str, LearnedLayer]:
    """What was learned, by layer. Raises DataError."""
    found: dict[str, dict[str, Any]] = {}
    for key, value in parse_checkpoint(data).tensors.items():
        name, _, part = key.rpartition(".")
        if not name or part not in PARTS:
            raise DataError(f"entry {key!r:.60} is none of learned weights (LAYER.{', LAYER.'.join(PARTS)})")
        found.setdefault(name, {})[part] = np.ascontiguousarray(value)
    return {name: LearnedLayer(**parts) for name, parts in found.items()}


def read_learned(recipe: Path, name: str, sha256: str) -> bytes:
    """The bytes of the file that a recipe names, which lies beside it. Raises UserError and DataError."""
    path = recipe.parent / name
    if not path.exists():
        raise UserError(
            f"{path} is missing: the recipe {recipe.name} holds ranges alone, its learned weights are there"
        )
    data = read_bounded(path, MAX_LEARNED_BYTES, "learned weights")
    if sha256_hex(data) != sha256:
        raise DataError(f"{path} is not the file that {recipe.name} was made with (its sha256 is another)")
    return data
