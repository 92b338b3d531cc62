"""Figures over pictures drawn anew: how far chance alone moves them (bootstrap over pictures).

Detections are matched once. What is left of it per category are its detections in order of confidence, with the few
that are matched at each size and threshold; from these a draw, which is how often each picture counts, gives average
precision in a few sums: right ones and wrong ones up to each right one, as ``matching.precisions`` has them. Two
results on the same pictures get the same draws, so that what is easy or hard of them falls out of their difference.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .matching import AREAS, IOUS, RECALLS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .matching import Cell

    Floats = npt.NDArray[np.float64]
    Whole = npt.NDArray[np.int64]

DRAWS = 400  # the width of an interval is then right to 4 %
SEED = 1128
SURE = 1.96  # standard deviations to either side: 95 of 100 intervals hold the truth
# With objects of a figure: what one or two give hardly changes from draw to draw, however far from the truth it is.
LEAST_PICTURES = 10
MOST_NUMBERS = 1 << 22  # of one array: draws are taken in portions
MOST_NEEDED = 1e9  # pictures: no set has more


@dataclass(frozen=True, eq=False)
class Ranking:
    """One category: its detections in order of confidence.

    ``picture`` (D,) places of their pictures, ``inside`` (A, D) whether their own size is that of the area, ``matched``
    by area and threshold the numbers of those that are matched and which of them count. ``objects`` (P, A).
    """

    category: int
    picture: Whole
    inside: npt.NDArray[np.bool_]
    matched: Mapping[tuple[int, int], tuple[Whole, npt.NDArray[np.bool_]]]
    objects: Floats


@dataclass(frozen=True, eq=False)
class Figures:
    """Of each draw: ``means`` (B, A) mAP50-95 by area, ``map50`` (B,), ``by_category`` (B,) mAP50-95 of each; NaN where
    a draw has no object. ``holding`` (A,): in how many pictures objects of an area are; ``category_holding``: those of
    each category.
    """

    means: Floats
    map50: Floats
    by_category: Mapping[int, Floats]
    holding: Whole
    category_holding: Mapping[int, int]


def draws(pictures: int, count: int = DRAWS) -> Floats:
    """How often each picture counts in each draw (B, P): the same numbers wherever and whenever."""
    generator = np.random.RandomState(SEED)  # not default_rng: numpy promises that these numbers stay the same
    chosen = generator.randint(0, pictures, (count, pictures))
    found: Floats = np.stack([np.bincount(row, minlength=pictures) for row in chosen]).astype(np.float64)
    return found


def rankings(cells: Sequence[Cell], pictures: Sequence[int]) -> list[Ranking]:
    """By category, of cells matched at ``IOUS`` for ``AREAS``; ``pictures``: all that were looked at."""
    places = {picture: place for place, picture in enumerate(sorted(pictures))}
    by_category: dict[int, list[Cell]] = defaultdict(list)
    for cell in cells:
        if cell.picture in places:
            by_category[cell.category].append(cell)
    return [_ranking(category, by_category[category], places) for category in sorted(by_category)]


def _ranking(category: int, cells: Sequence[Cell], places: Mapping[int, int]) -> Ranking:
    order = np.argsort(-np.concatenate([cell.scores for cell in cells]), kind="stable")
    picture = np.repeat([places[cell.picture] for cell in cells], [len(cell.scores) for cell in cells])[order]
    boxes = np.concatenate([cell.boxes for cell in cells])[order]
    sizes = boxes[:, 2] * boxes[:, 3]
    inside = (sizes >= AREAS[:, :1]) & (sizes <= AREAS[:, 1:])
    matched = np.concatenate([cell.matched for cell in cells], axis=2)[..., order]
    counted = ~np.concatenate([cell.ignored for cell in cells], axis=2)[..., order]
    numbers = {place: np.flatnonzero(matched[place]) for place in np.ndindex(len(AREAS), len(IOUS))}
    found = {place: (mine, counted[place][mine]) for place, mine in numbers.items()}
    objects = np.zeros((len(places), len(AREAS)))
    np.add.at(objects, [places[cell.picture] for cell in cells], [cell.objects for cell in cells])
    return Ranking(category, picture.astype(np.int64), inside, found, objects)


def resample(ranked: Sequence[Ranking], weights: Floats) -> Figures:
    """The figures of each draw."""
    precision = np.full((len(ranked), len(weights), len(AREAS), len(IOUS)), np.nan)
    for number, ranking in enumerate(ranked):
        for part in _portions(len(weights), len(ranking.picture)):
            precision[number, part] = _precision(ranking, weights[part])
    by_category = {one.category: precision[number, :, 0].mean(axis=1) for number, one in enumerate(ranked)}
    here = np.stack([one.objects > 0 for one in ranked]) if ranked else np.zeros((0, 0, len(AREAS)), np.bool_)
    category_holding = {one.category: int(mine[:, 0].sum()) for one, mine in zip(ranked, here)}
    means, map50 = _mean(precision.mean(axis=3)), _mean(precision[:, :, 0, 0])
    return Figures(means, map50, by_category, here.any(axis=0).sum(axis=0), category_holding)


def _portions(count: int, width: int) -> Iterator[slice]:
    step = max(1, MOST_NUMBERS // max(1, width))
    return (slice(start, start + step) for start in range(0, count, step))


def _mean(values: Floats) -> Floats:
    """Over the first axis, of those that are known."""
    known = ~np.isnan(values)
    count = known.sum(axis=0)
    sums = np.where(known, values, 0.0).sum(axis=0)
    result: Floats = np.where(count > 0, sums / np.maximum(count, 1), np.nan)
    return result


def _precision(ranking: Ranking, weights: Floats) -> Floats:
    """Average precision [draw, area, threshold] of one category."""
    objects = weights @ ranking.objects
    result = np.where(objects > 0, 0.0, np.nan)[:, :, None].repeat(len(IOUS), axis=2)
    mine = weights[:, ranking.picture]
    for area in range(len(AREAS)):
        if not ranking.objects[:, area].any():
            continue
        inside = ranking.inside[area]
        before = np.cumsum(mine * inside, axis=1)
        for threshold in range(len(IOUS)):
            matched, counted = ranking.matched[area, threshold]
            if counted.any():
                taken = mine[:, matched]
                right = np.cumsum(taken * counted, axis=1)[:, counted]
                wrong = before[:, matched[counted]] - np.cumsum(taken * inside[matched], axis=1)[:, counted]
                found = _average(right, wrong, objects[:, area, None])
                result[:, area, threshold] += found  # NaN stays NaN
    return result


def _average(right: Floats, wrong: Floats, objects: Floats) -> Floats:
    """Mean precision over the 101 recalls: each belongs to the first right detection that reaches it."""
    precision = right / (right + wrong + np.spacing(1))
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    reached = np.searchsorted(RECALLS, right / np.maximum(objects, 1.0), side="right")
    result: Floats = (envelope * np.diff(reached, axis=1, prepend=0)).sum(axis=1) / len(RECALLS)
    return result


@dataclass(frozen=True)
class Interval:
    """Where a figure lies with 95 % confidence, around what was measured."""

    value: float
    low: float
    high: float

    @property
    def half(self) -> float:
        """How far chance moves it to either side."""
        return (self.high - self.low) / 2

    def negated(self) -> Interval:
        """Of a gain the loss."""
        return Interval(-self.value, -self.high, -self.low)

    def of_many(self, tested: int) -> Interval:
        """So wide that of ``tested`` such intervals together 95 % leave out no truth (Bonferroni)."""
        half = self.half * NormalDist().inv_cdf(1 - 0.025 / max(1, tested)) / SURE
        return Interval(self.value, self.value - half, self.value + half)

    def document(self) -> dict[str, float]:
        """For JSON."""
        return {"value": self.value, "low": self.low, "high": self.high}

    def words(self) -> str:
        """``-0.0023 (-0.0061 to +0.0015)``, of a difference."""
        return f"{self.value:+.4f} ({self.low:+.4f} to {self.high:+.4f})"


def interval_of(value: float | None, drawn: Floats) -> Interval | None:
    """Around ``value``, as wide as the draws spread; None where most draws have no figure."""
    known = drawn[~np.isnan(drawn)]
    if value is None or 2 * len(known) <= len(drawn):
        return None
    half = SURE * float(known.std())
    return Interval(value, value - half, value + half)


def pictures_needed(pictures: int, half: float, wanted: float) -> int | None:
    """How many such pictures would tell a difference with ``wanted`` to either side, in two digits; None where they are
    more than anybody has.
    """
    times = half / wanted if wanted > 0 else math.inf
    needed = max(1.0, pictures * times * times) if half > 0 else 1.0
    if needed > MOST_NEEDED:
        return None
    digit = 10 ** max(0, len(str(int(needed))) - 2)
    return int(-(-needed // digit) * digit)
