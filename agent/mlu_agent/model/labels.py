"""The labels that sources ask for, held against those that a model has."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from ..config.fields import show
from ..errors import UserError
from .output_spec import TENSORS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..config import SourceConfig
    from .bundle import ModelSpec

NEAR = 3
SHOWN = 8


def refuse_unknown_labels(sources: Iterable[SourceConfig], spec: ModelSpec) -> None:
    """UserError telling every label in ``classes`` of these sources that the model does not have, with the nearest."""
    known = () if spec.output.kind == TENSORS else spec.labels
    lines = [
        f"source {source.id}: classes: {show(label)} is no label of {show(spec.name)}; {_remedy(label, known)}"
        for source in sources
        for label, _ in source.classes
        if label not in known
    ]
    if lines:
        raise UserError("\n".join(lines))


def label_remarks(spec: ModelSpec) -> list[str]:
    """What is unwise about the labels and yet accepted: classes that nobody can tell apart by their names."""
    numbers: dict[str, list[int]] = {}
    for number, label in enumerate(spec.labels):
        numbers.setdefault(label, []).append(number)
    doubled = [
        f"{show(label)} ({', '.join(map(str, found[:SHOWN]))}{', …' if len(found) > SHOWN else ''})"
        for label, found in numbers.items()
        if len(found) > 1
    ]
    if not doubled:
        return []
    told = f"{', '.join(doubled[:NEAR])}{', …' if len(doubled) > NEAR else ''}"
    return [
        f"{spec.given}: labels: several classes have one name: {told}; give each its own, or the labels may be wrong"
    ]


def _remedy(label: str, labels: Sequence[str]) -> str:
    if not labels:
        return "it has none: remove classes"
    folded = {known.casefold(): known for known in labels}
    near = difflib.get_close_matches(label.casefold(), folded, n=NEAR)
    if near:
        return f"did you mean {' or '.join(show(folded[name]) for name in near)}?"
    more = ", …" if len(labels) > SHOWN else ""
    return f"it knows {', '.join(show(known) for known in labels[:SHOWN])}{more}"
