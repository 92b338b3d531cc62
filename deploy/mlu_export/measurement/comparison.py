"""Evaluations side by side, in text, and what a gate lets pass."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlu_agent.errors import DataError

from ..support.files import read_bounded
from .accuracy import SIZES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .accuracy import Evaluation

MAX_BASELINE_BYTES = 1 << 24
WORST = 5  # classes that the text names
CONFUSED = 3  # pairs of classes that it names


@dataclass(frozen=True)
class Reference:
    """What a gate measures against."""

    name: str
    images: int
    map50_95: float


def read_baseline(path: Path) -> Reference:
    """An earlier ``eval --json``. Raises DataError."""
    try:
        document = json.loads(read_bounded(path, MAX_BASELINE_BYTES, "baseline"))
        images, figure = document["images"], document["map50_95"]
    except (ValueError, RecursionError, KeyError, TypeError):
        raise DataError(f"{path} is not what an earlier eval --json printed: it has no images and map50_95") from None
    if not isinstance(images, int) or not isinstance(figure, (int, float)) or not 0 <= figure <= 1:
        raise DataError(f"{path}: images {images!r:.20} and map50_95 {figure!r:.20} are not what eval --json prints")
    return Reference(f"the baseline {path.name}", images, float(figure))


def check_gate(results: Sequence[Evaluation], references: Sequence[Reference], loss: float) -> list[str]:
    """A sentence for every result that loses more than ``loss`` of mAP50-95 against a reference. Raises DataError if
    one was measured on another number of pictures.
    """
    sentences = []
    for reference in references:
        for result in results:
            if result.mode == "float":
                continue
            if result.images != reference.images:
                raise DataError(
                    f"{reference.name} was measured on {reference.images} pictures, this is on {result.images}: "
                    "measure it anew on the same set"
                )
            lost = reference.map50_95 - result.map50_95
            if lost > loss:
                sentences.append(
                    f"{result.mode} loses {lost:.4f} mAP50-95 against {reference.name} "
                    f"({result.map50_95:.4f} against {reference.map50_95:.4f}), more than --gate {loss:g} allows"
                )
    return sentences


def comparison(results: Sequence[Evaluation]) -> list[dict[str, Any]]:
    """Each result's figures for ``--json``, with what it has more or less than float (None without a float result)."""
    exact = next((result for result in results if result.mode == "float"), None)
    return [
        {
            "mode": result.mode,
            "runtime": result.runtime,
            "images": result.images,
            "map50_95": result.map50_95,
            "map50": result.map50,
            "per_size": result.per_size,
            "precision": result.working.precision,
            "recall": result.working.recall,
            "against_float": None
            if exact is None
            else {"map50_95": result.map50_95 - exact.map50_95, "map50": result.map50 - exact.map50},
        }
        for result in results
    ]


def result_text(result: Evaluation) -> str:
    """One evaluation for a person to read; its first two lines are for scripts too."""
    counts = result.working
    lines = [
        f"{result.images} pictures on {result.runtime}: mAP50-95 {result.map50_95:.3f}, mAP50 {result.map50:.3f}",
        f"Mean AP: {result.map50:.3f}",
        "by object size, mAP50-95: " + ", ".join(f"{size} {_figure(value)}" for size, value in result.per_size.items()),
    ]
    lines.append(
        f"at confidence {result.confidence:g}: precision {_figure(counts.precision)}, recall {_figure(counts.recall)} "
        f"({counts.found} found, {counts.wrong} wrong, {counts.missed} missed; IoU .5), F1 {_figure(counts.f1)}"
    )
    best = result.f1.get("")
    if best is not None and best.at is not None:
        lines.append(f"best F1 {best.best:.3f} at confidence {best.at:.4f}")
    if result.confusion is not None and result.confusion.confused(1):
        pairs = result.confusion.confused(CONFUSED)
        lines.append("most confused: " + ", ".join(f"{one} as {other} {count}" for one, other, count in pairs))
    if result.per_class:
        worst = worst_classes(result)
        which = "worst classes" if len(result.per_class) > len(worst) else "classes, worst first"
        lines.append(f"{which + ':':24} {'mAP50-95':>8} {'mAP50':>7} {'precision':>9} {'recall':>7}")
        lines += [_class_row(result, label) for label in worst]
    return "\n".join(lines)


def worst_classes(result: Evaluation, count: int = WORST) -> list[str]:
    """Labels with the lowest mAP50-95 of those that have objects, worst first."""
    return sorted(result.per_class, key=lambda label: (result.per_class[label]["map50_95"], label))[:count]


def _class_row(result: Evaluation, label: str) -> str:
    figures, counts = result.per_class[label], result.class_counts[label]
    return (
        f"  {label:22.22} {figures['map50_95']:8.3f} {figures['map50']:7.3f} {_figure(counts.precision):>9} "
        f"{_figure(counts.recall):>7}"
    )


def comparison_text(results: Sequence[Evaluation]) -> str:
    """All results as a table with their differences to float."""
    sizes = " ".join(f"{size:>7}" for size in SIZES)
    lines = [
        f"{'':10} {'mAP50-95':>8} {'to float':>8} {'mAP50':>7} {'to float':>8} {sizes} {'precision':>9} {'recall':>7}"
    ]
    for row in comparison(results):
        gap = row["against_float"]
        own = row["mode"] == "float"
        differences = ["-" if gap is None or own else f"{gap[key]:+.4f}" for key in ("map50_95", "map50")]
        sizes = " ".join(f"{_figure(row['per_size'][size]):>7}" for size in SIZES)
        lines.append(
            f"{row['mode']:10} {row['map50_95']:8.4f} {differences[0]:>8} {row['map50']:7.4f} {differences[1]:>8} "
            f"{sizes} {_figure(row['precision']):>9} {_figure(row['recall']):>7}"
        )
    return "\n".join(lines)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
