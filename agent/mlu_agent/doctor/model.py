"""The model's files, without the device."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..errors import MluAgentError
from ..model.configured import read_configured
from .finding import Finding, fine, trouble

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..config import ModelConfig, SourceConfig

# What a sentence about a model's files is called, by the first that fits, and the remedy beyond what it says itself.
_COPY = "copy model and manifest again from where they were made, and compare `sha256sum`"
KINDS = (
    (r"is no label of", "label-unknown", "write a label that the model has, or name another model for that source"),
    (r"cannot be unpacked into", "bundle-room", "make room there: `df -h` tells where there is none"),
    (r"sign(ed|ature)|public key|keys? of|keys are trusted", "signature",
     "take the bundle as it was delivered, or sign it with `mlu-export sign`; model.trust names the keys"),
    (r"this agent reads|update mlu-agent|this version reads", "model-newer",
     "update mlu-agent on this box, or take the bundle that was made for its version"),
    (r"is not the digest of", "model-digest", _COPY),
    (r"its manifest .* is not beside it", "manifest-missing",
     "copy the manifest (.toml) too; for a file of the vendor's compiler `mlu-agent adopt` writes one"),
    (r"no such file|cannot be reached|cannot be read", "model-missing",
     "check [model] path, and whether its disk is mounted"),
    (r"", "model-damaged", _COPY),
)  # fmt: skip


def look(name: str, config: ModelConfig, sources: Iterable[SourceConfig]) -> list[Finding]:
    """Reads the model as the daemon does, for those ``sources``; ``name`` is what findings call it."""
    try:
        spec = read_configured(config, sources)
    except MluAgentError as error:
        return [judge(name, line) for line in error.message.splitlines()]
    size = f"{spec.input.width}x{spec.input.height}"
    return [
        fine(name, f"{spec.name}, {size}, {spec.num_classes} labels, sha256 {spec.sha256[:12]} as the manifest says")
    ]


def judge(name: str, sentence: str) -> Finding:
    """What a sentence of the model's reader means."""
    code, remedy = next((code, remedy) for pattern, code, remedy in KINDS if re.search(pattern, sentence))
    return trouble(name, code, sentence, remedy)
