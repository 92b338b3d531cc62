"""Evaluations side by side, in text and as data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .accuracy import SIZES
from .resampling import LEAST_PICTURES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .accuracy import Evaluation
    from .against import Against, Boxes
    from .resampling import Interval

WORST = 5  # classes that the text names
CONFUSED = 3  # pairs of classes that it names
_LONG = {"map50_95": "mAP50-95", "map50": "mAP50", "f1": "F1"}


def comparison(results: Sequence[Evaluation], against: Mapping[str, Against]) -> list[dict[str, Any]]:
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
            "f1": result.working.f1,
            "against_float": None if exact is None else _document(result, exact, against.get(result.mode)),
        }
        for result in results
    ]


def _document(result: Evaluation, exact: Evaluation, known: Against | None) -> dict[str, Any]:
    """Float against itself, and what was measured on other pictures, has plain differences alone."""
    if known is not None:
        return known.document()
    return {"map50_95": result.map50_95 - exact.map50_95, "map50": result.map50 - exact.map50}


def result_text(result: Evaluation, intervals: Mapping[str, Interval | None]) -> str:
    """One evaluation for a person to read; its first two lines are for scripts too."""
    counts = result.working
    lines = [
        f"{result.images} pictures on {result.runtime}: mAP50-95 {result.map50_95:.3f}, mAP50 {result.map50:.3f}",
        f"Mean AP: {result.map50:.3f}",
        f"95 % intervals of {_pictures(result.images)}: "
        + ", ".join(f"{_LONG.get(name, name)} {_span(one)}" for name, one in intervals.items()),
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


def _pictures(count: int) -> str:
    return f"{count} pictures" + (" (too few for them to hold)" if count < LEAST_PICTURES else "")


def _span(one: Interval | None) -> str:
    return "-" if one is None else f"{max(0.0, one.low):.3f} to {min(1.0, one.high):.3f}"


def worst_classes(result: Evaluation, count: int = WORST) -> list[str]:
    """Labels with the lowest mAP50-95 of those that have objects, worst first."""
    return sorted(result.per_class, key=lambda label: (result.per_class[label]["map50_95"], label))[:count]


def _class_row(result: Evaluation, label: str) -> str:
    figures, counts = result.per_class[label], result.class_counts[label]
    return (
        f"  {label:22.22} {figures['map50_95']:8.3f} {figures['map50']:7.3f} {_figure(counts.precision):>9} "
        f"{_figure(counts.recall):>7}"
    )


def comparison_text(results: Sequence[Evaluation], against: Mapping[str, Against]) -> str:
    """All results as a table with their differences to float, and what is lost against it."""
    sizes = " ".join(f"{size:>7}" for size in SIZES)
    lines = [
        f"{'':10} {'mAP50-95':>8} {'to float':>8} {'mAP50':>7} {'to float':>8} {sizes} {'precision':>9} {'recall':>7}"
    ]
    for row in comparison(results, against):
        gap = row["against_float"]
        own = row["mode"] == "float"
        differences = ["-" if gap is None or own else f"{gap[key]:+.4f}" for key in ("map50_95", "map50")]
        sizes = " ".join(f"{_figure(row['per_size'][size]):>7}" for size in SIZES)
        lines.append(
            f"{row['mode']:10} {row['map50_95']:8.4f} {differences[0]:>8} {row['map50']:7.4f} {differences[1]:>8} "
            f"{sizes} {_figure(row['precision']):>9} {_figure(row['recall']):>7}"
        )
    return "\n".join([*lines, *(line for mode, one in against.items() for line in _against_lines(mode, one))])


def _against_lines(mode: str, one: Against) -> list[str]:
    lines = [
        f"{mode} against float, with 95 % intervals of {_pictures(one.pictures)}:",
        f"  mAP50-95 {one.map50_95.words()}, mAP50 {one.map50.words()}",
        "  mAP50-95 by object size: " + ", ".join(f"{size} {_words(value)}" for size, value in one.per_size.items()),
        "  at the working confidence: " + ", ".join(f"{name} {_words(value)}" for name, value in one.rates.items()),
        f"  {one.boxes.words()}",
        "  by size: " + "; ".join(f"{size} {_boxes(boxes)}" for size, boxes in one.size_boxes.items()),
    ]
    changed = most_changed(one)
    if changed:
        lines.append(
            "  classes that change most: " + "; ".join(f"{label} {_boxes(one.class_boxes[label])}" for label in changed)
        )
    lost = surely_lost(one)
    if lost:
        tested = len(one.per_class)
        lines.append(
            f"  classes that lose beyond chance, of {tested} with objects in {LEAST_PICTURES} pictures or more "
            "(intervals widened for so many): "
            + ", ".join(f"{label} {one.per_class[label].of_many(tested).words()}" for label in lost[:WORST])
        )
    return lines


def most_changed(one: Against, count: int = WORST) -> list[str]:
    """Labels with the most lost and added boxes, most first."""
    boxes = one.class_boxes
    order = sorted(boxes, key=lambda label: (-boxes[label].lost - boxes[label].added, label))
    return [label for label in order if label and boxes[label].lost + boxes[label].added][:count]


def surely_lost(one: Against) -> list[str]:
    """Labels whose mAP50-95 is lower than float's by more than chance, most first; of all that were looked at, however
    many lose nothing, one is among them by chance in one of forty sets.
    """
    lost = [label for label, value in one.per_class.items() if value.of_many(len(one.per_class)).high < 0]
    return sorted(lost, key=lambda label: (one.per_class[label].value, label))


def _boxes(boxes: Boxes) -> str:
    return f"{boxes.lost} of {boxes.kept + boxes.lost} lost, {boxes.added} added"


def _words(value: Interval | None) -> str:
    return "-" if value is None else value.words()


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
