"""Pictures with boxes, small, for a report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlu_agent.draw import draw, encode_jpeg, shrink

from ..formats.pictures import read_picture
from ..measurement.accuracy import at_work
from . import html

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from mlu_agent.detections import Detections
    from mlu_agent.model.bundle import Thresholds

    from ..measurement.accuracy import Counts
    from .html import Html

SHOWN = 8
LONGEST = 480  # pixels


@dataclass(frozen=True)
class Shot:
    """One picture: what is annotated in it, and what each way of running found, by its name."""

    path: Path
    counts: Counts
    truth: Detections
    found: Mapping[str, Detections]
    labels: tuple[str, ...]
    working: Thresholds


def shots(all_of_them: Sequence[Shot]) -> Html:
    """The first few, drawn."""
    some = all_of_them[:SHOWN]
    parts = [_shot(shot) for shot in some]
    about = (
        f"The {len(some)} of {len(all_of_them)} pictures with the most wrong and missed objects, the worst first, "
        "with what a daemon would report."
    )
    return html.section("Worst pictures", *parts, about=about)


def _shot(shot: Shot) -> Html:
    pixels, factor = shrink(read_picture(shot.path), LONGEST)
    counts = shot.counts
    figures = [html.figure("annotated", _drawn(pixels, factor, shot.truth, shot, sure=False))]
    for mode, found in shot.found.items():
        figures.append(html.figure(mode, _drawn(pixels, factor, at_work(found, shot.working), shot, sure=True)))
    title = f"{shot.path.name}: {counts.found} found, {counts.wrong} wrong, {counts.missed} missed"
    return html.Html(f'<h3>{html.text(title)}</h3>\n<div class="shots">{html.join(figures)}</div>')


def _drawn(pixels: npt.NDArray[np.uint8], factor: float, found: Detections, shot: Shot, *, sure: bool) -> Html:
    smaller = found.scaled(factor)
    names = ", ".join(shot.labels[number] for number in found.class_id.tolist()[:20])
    jpeg = encode_jpeg(draw(pixels, smaller, shot.labels, confidences=sure))
    return html.picture(jpeg, f"{shot.path.name} with boxes of: {names or 'nothing'}")
