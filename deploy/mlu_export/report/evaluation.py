"""The report of ``eval``: figures, curves, F1 over confidence, classes, confusions, the pictures that went worst."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..measurement.accuracy import RECALLS, SIZES
from ..measurement.comparison import comparison
from ..measurement.f1 import THRESHOLDS
from ..measurement.matching import MATCHING_IOU
from . import html, svg
from .losses import Judgement, losses
from .samples import Shot, shots

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mlu_agent.model.bundle import ModelSpec

    from ..measurement.accuracy import Evaluation
    from ..measurement.annotations import Annotations
    from ..measurement.evaluate import Found
    from ..support.circumstances import Circumstances
    from .html import Html

CLASSES_WITH_CURVES = 6
CONFUSIONS = 12  # pairs of classes that the page names
RECALL = tuple(np.linspace(0, 1, RECALLS).tolist())


@dataclass(frozen=True)
class Outcome:
    """What one way of running gave: the figures, and the detections that they are of."""

    evaluation: Evaluation
    found: Found


def evaluation_page(
    spec: ModelSpec,
    truth: Annotations,
    outcomes: Sequence[Outcome],
    shown: Evaluation,
    found: Judgement,
    made: Circumstances | None = None,
) -> bytes:
    """The whole report; ``shown`` is the result that large figures and samples are about."""
    results = [outcome.evaluation for outcome in outcomes]
    parts = [
        html.cards(
            [
                ("mAP50-95" + _span(found, "map50_95"), f"{shown.map50_95:.3f}"),
                ("Mean AP (mAP50)" + _span(found, "map50"), f"{shown.map50:.3f}"),
                (
                    f"precision at confidence {shown.confidence:g}" + _span(found, "precision"),
                    _figure(shown.working.precision),
                ),
                (f"recall at confidence {shown.confidence:g}" + _span(found, "recall"), _figure(shown.working.recall)),
                *_best_card(shown),
            ]
        ),
        _comparison(results, found),
        losses(found),
        _curves(results, shown),
        _confidence(results, shown),
        _classes(results, shown),
        _confusion(shown),
        shots(_shots(spec, truth, outcomes, shown)),
        _settings(spec, truth.path, shown),
    ]
    where = f"{shown.mode} on {shown.runtime}, {shown.images} pictures"
    return html.page(f"Accuracy of {spec.name}", where, parts, made)


def _span(found: Judgement, name: str) -> str:
    """The interval of a card, behind its name."""
    one = found.intervals.get(name)
    return "" if one is None else f"; 95 %: {max(0.0, one.low):.3f} to {min(1.0, one.high):.3f}"


def _comparison(results: Sequence[Evaluation], found: Judgement) -> Html:
    rows = []
    exact = any(result.mode == "float" for result in results)
    for row in comparison(results, found.against):
        gap = row["against_float"]
        own = row["mode"] == "float"
        differences = [_difference(None if gap is None or own else gap[key]) for key in ("map50_95", "map50")]
        sizes = [_figure(row["per_size"][size]) for size in SIZES]
        rows.append(
            [row["mode"], row["runtime"], f"{row['map50_95']:.4f}"]
            + [differences[0]] * exact
            + [f"{row['map50']:.4f}"]
            + [differences[1]] * exact
            + [*sizes, _figure(row["precision"]), _figure(row["recall"])]
        )
    gap_name = ["to float"] * exact
    header = ["", "runtime", "mAP50-95", *gap_name, "mAP50", *gap_name, *SIZES, "precision", "recall"]
    about = (
        "small, medium and large: mAP50-95 of objects under 32 x 32 pixels, under 96 x 96, and of the others. "
        f"Precision and recall are those of what a daemon reports, matched at an IoU of {MATCHING_IOU:g}."
    )
    heading = "Side by side" if len(results) > 1 else "Figures"
    return html.section(heading, html.table(header, rows, names=2), about=about)


def _difference(value: float | None) -> object:
    if value is None:
        return "-"
    return f"{value:+.4f}", "bad" if value < -5e-4 else "good" if value > 5e-4 else ""


def _curves(results: Sequence[Evaluation], shown: Evaluation) -> Html:
    by_objects = sorted(
        shown.per_class,
        key=lambda label: (-shown.class_counts[label].found - shown.class_counts[label].missed, label),
    )
    small = [
        html.figure("", _curve(results, label, 320, 220), f"{label}, {_objects(shown, label)}")
        for label in by_objects[:CLASSES_WITH_CURVES]
    ]
    return html.section(
        "Precision over recall",
        html.legend([result.mode for result in results]),
        html.figure("", _curve(results, "", 640, 360), "mean over all classes"),
        html.grid(small),
        about="At an IoU of .5, over all confidences, of the classes with the most objects. Where curves are equal, "
        "the last one hides the others.",
    )


def _objects(result: Evaluation, label: str) -> str:
    count = result.class_counts[label].found + result.class_counts[label].missed
    return f"{count} object" + "s" * (count != 1)


def _curve(results: Sequence[Evaluation], label: str, width: float, height: float) -> Html:
    series = [svg.Series(result.mode, RECALL, list(result.curves.get(label, ()))) for result in results]
    return svg.lines(series, svg.Axis("recall", 0, 1), svg.Axis("precision", 0, 1), width, height)


def _best_card(shown: Evaluation) -> list[tuple[str, str]]:
    best = shown.f1.get("")
    return [] if best is None or best.at is None else [(f"best F1, at confidence {best.at:.3f}", f"{best.best:.3f}")]


def _confidence(results: Sequence[Evaluation], shown: Evaluation) -> Html:
    known = [result for result in results if "" in result.f1]
    if not known:
        return html.Html("")
    places = THRESHOLDS.tolist()
    series = [svg.Series(result.mode, places, result.f1[""].values.tolist()) for result in known]
    marks = [(f"now {shown.confidence:g}: F1 {_figure(shown.working.f1)}", shown.confidence)]
    best = shown.f1[""]
    if best.at is not None:
        marks.append((f"best {best.at:.3f}: F1 {best.best:.3f}", best.at))
    drawing = svg.lines(series, svg.Axis("confidence", 0, 1), svg.Axis("F1", 0, 1), 640, 320, marks)
    return html.section(
        "F1 over confidence",
        html.legend([result.mode for result in known]),
        html.figure("", drawing),
        about="Of all classes together, of what a daemon would report at each confidence, matched at an IoU of "
        f"{MATCHING_IOU:g}: 2 right / (2 right + wrong + missed). The table of classes below names the best confidence "
        "of each. Where wrong and missed do not cost the same, choose by precision and recall instead.",
    )


def _confusion(shown: Evaluation) -> Html:
    if shown.confusion is None or not shown.confusion.counts.any():
        return html.Html("")
    counts = shown.confusion.counts
    kept = np.flatnonzero(counts[:-1].sum(axis=1) + counts[:, :-1].sum(axis=0)[: len(counts) - 1]).tolist()
    labels = [shown.confusion.labels[place] for place in kept]
    rows = [*kept, len(counts) - 1]
    drawing = svg.matrix(labels, counts[np.ix_(rows, rows)].tolist(), "annotated", "detected", "nothing")
    pairs = shown.confusion.confused(CONFUSIONS)
    table = html.table(["annotated", "detected as", "objects"], [list(pair) for pair in pairs], names=2)
    return html.section(
        "What is taken for what",
        html.figure("", drawing),
        *([html.figure("the classes that are confused most", table)] if pairs else []),
        about=f"At confidence {shown.confidence:g} and an IoU of {MATCHING_IOU:g}. Objects found by their own class "
        "are on the diagonal; of the missed ones and the wrong detections those that overlap are a confusion; what is "
        "left is missed (last column) or seen where nothing is (last row). A square is as dark as its part of its row.",
    )


def _classes(results: Sequence[Evaluation], shown: Evaluation) -> Html:
    chosen = [result for result in results if result is shown or result.mode == "float"]
    chosen.sort(key=lambda result: result is shown)
    colours = [list(results).index(result) for result in chosen]
    labels = sorted(shown.per_class, key=lambda label: (-shown.per_class[label]["map50_95"], label))
    bars = [(label, [result.per_class.get(label, {}).get("map50_95") for result in chosen]) for label in labels]
    header = ["class", "objects", "mAP50-95", "mAP50", "precision", "recall", "found", "wrong", "missed"]
    header += ["best F1", "at"]
    rows = []
    for label in labels:
        figures, counts = shown.per_class[label], shown.class_counts[label]
        rows.append(
            [
                label,
                counts.found + counts.missed,
                f"{figures['map50_95']:.3f}",
                f"{figures['map50']:.3f}",
                _figure(counts.precision),
                _figure(counts.recall),
                counts.found,
                counts.wrong,
                counts.missed,
                *_best_of(shown, label),
            ]
        )
    names = [result.mode for result in chosen]
    return html.section(
        "Classes",
        html.legend(names, colours),
        html.figure("mAP50-95, best class first", svg.bars(bars, svg.Axis("mAP50-95", 0, 1), names, colours)),
        html.details(f"all figures of {len(labels)} classes", html.table(header, rows)),
        about=f"Counts are those at confidence {shown.confidence:g}; the last columns tell at which confidence the "
        "F1 of a class is best.",
    )


def _best_of(shown: Evaluation, label: str) -> tuple[str, str]:
    found = shown.f1.get(label)
    return ("-", "-") if found is None or found.at is None else (f"{found.best:.3f}", f"{found.at:.3f}")


def _shots(spec: ModelSpec, truth: Annotations, outcomes: Sequence[Outcome], shown: Evaluation) -> list[Shot]:
    """The pictures with the most wrong and missed objects, each beside what is annotated and what float sees."""
    wanted = [outcome for outcome in outcomes if outcome.evaluation is shown or outcome.evaluation.mode == "float"]
    wanted.sort(key=lambda outcome: outcome.evaluation is shown)  # float first
    by_mode = {outcome.evaluation.mode: dict(outcome.found) for outcome in wanted}
    counts = shown.picture_counts
    worst = sorted(truth.entries, key=lambda entry: (-counts[entry[0]].wrong - counts[entry[0]].missed, entry[0]))
    return [
        Shot(
            path,
            counts[image_id],
            truth.objects(image_id, spec.labels),
            {mode: found[image_id] for mode, found in by_mode.items()},
            spec.labels,
            spec.thresholds,
        )
        for image_id, path in worst
    ]


def _settings(spec: ModelSpec, annotations: Path, shown: Evaluation) -> Html:
    size = spec.input
    values: list[tuple[str, object]] = [
        ("model", spec.path.name),
        ("sha256", spec.sha256),
        ("input", f"{size.width} x {size.height}, {size.channels}, {size.dtype}, {size.resize}, batch {spec.batch}"),
        ("target", spec.offline.target),
        ("annotations", annotations.name),
        ("working confidence", f"{shown.confidence:g}"),
        ("suppression IoU", f"{spec.thresholds.iou:g} in the manifest"),
        *((name, value) for name, value in spec.provenance.items()),
    ]
    if shown.unmatched:
        values.append(("labels without a category", ", ".join(shown.unmatched)))
    if shown.foreign:
        values.append(("annotations that do not count", shown.foreign))
    return html.section("What was measured", html.pairs(values))


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
