"""The part of the report of ``eval`` that says what is lost against float, where, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..measurement.matching import MATCHING_IOU
from ..measurement.resampling import LEAST_PICTURES
from . import html

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..measurement.against import Against, Boxes
    from ..measurement.gate import Verdict
    from ..measurement.resampling import Interval
    from .html import Html

BOXES = ["kept", "lost", "of these right", "added", "of these right"]


@dataclass(frozen=True)
class Judgement:
    """How sure the figures are: ``intervals`` of the shown result's, by name; by mode what is lost against float; what
    the gate says.
    """

    intervals: Mapping[str, Interval | None]
    against: Mapping[str, Against]
    verdicts: Sequence[Verdict] = ()


def losses(found: Judgement) -> Html:
    """What each result loses against float, and what the gate says of it; nothing where neither is known."""
    if not found.against and not found.verdicts:
        return html.Html("")
    parts = [html.pairs([(f"gate, {one.mode}", one.sentence()) for one in found.verdicts])] if found.verdicts else []
    for mode, one in found.against.items():
        parts += [
            html.figure(f"{mode}: accuracy", _figures(one)),
            html.figure(f"{mode}: boxes that a daemon reports", _boxes(one)),
            html.details(f"{mode}: all {len(one.class_boxes)} classes", _classes(one)),
        ]
    return html.section(
        "Against float",
        *parts,
        about="Differences to float, with the interval that chance leaves: pictures are drawn anew many times, both "
        "with the same, and 95 of 100 such intervals hold the truth for pictures of this kind. A difference whose "
        "interval holds 0 may be none. Classes and sizes with objects in fewer than "
        f"{LEAST_PICTURES} pictures have none; a class is coloured by an interval widened for the number of classes. "
        f"A box of float without a partner of its class at an IoU of {MATCHING_IOU:g} is lost, one that float has not "
        "is added.",
    )


def _figures(one: Against) -> Html:
    rows: list[tuple[str, Interval | None]] = [("mAP50-95", one.map50_95), ("mAP50", one.map50)]
    rows += [(f"mAP50-95, {size} objects", value) for size, value in one.per_size.items()]
    rows += [(f"{name} at the working confidence", value) for name, value in one.rates.items()]
    return html.table(["", "to float", "from", "to"], [[name, *_cells(value)] for name, value in rows])


def _cells(value: Interval | None, tested: int = 1) -> list[object]:
    """Coloured where it is beyond chance, of so many that are looked at together."""
    if value is None:
        return ["-", "-", "-"]
    wide = value.of_many(tested)
    kind = "bad" if wide.high < 0 else "good" if wide.low > 0 else ""
    return [(f"{value.value:+.4f}", kind), f"{value.low:+.4f}", f"{value.high:+.4f}"]


def _boxes(one: Against) -> Html:
    rows = [["all", *_counts(one.boxes)]]
    rows += [[size, *_counts(boxes)] for size, boxes in one.size_boxes.items()]
    return html.table(["", *BOXES], rows)


def _counts(boxes: Boxes) -> list[object]:
    return [boxes.kept, boxes.lost, boxes.lost_right, boxes.added, boxes.added_right]


def _classes(one: Against) -> Html:
    """Those with the most changes first."""
    order = sorted(one.class_boxes, key=lambda name: (-one.class_boxes[name].lost - one.class_boxes[name].added, name))
    tested = len(one.per_class)
    rows = [
        [label or "-", *_cells(one.per_class.get(label), tested), *_counts(one.class_boxes[label])] for label in order
    ]
    return html.table(["class", "mAP50-95 to float", "from", "to", *BOXES], rows)
