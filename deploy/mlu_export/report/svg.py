"""Drawings as inline SVG: lines, bars and histograms. Sizes are in CSS pixels; colours come from the page's style."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .html import Html, colour, text

if TYPE_CHECKING:
    from collections.abc import Sequence

LONGEST_LABEL = 34
LETTER = 6.6  # mean width of a letter of 12 pixels


@dataclass(frozen=True)
class Axis:
    """A range of values with a name, ``low`` < ``high``; of ``whole`` numbers only those get a tick."""

    name: str
    low: float
    high: float
    whole: bool = False

    def place(self, value: float, start: float, end: float) -> float:
        """Where a value lies between two pixels; beyond the range at its edge."""
        part = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.0
        return start + (end - start) * min(1.0, max(0.0, part))

    def ticks(self, most: int = 6) -> list[float]:
        """Round values within the range."""
        span = self.high - self.low
        if not (math.isfinite(span) and span > 0):
            return [self.low]
        raw = span / most
        power = 10.0 ** math.floor(math.log10(raw))
        step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * (1 - 1e-9))
        step = max(1.0, step) if self.whole else step
        first = math.ceil(self.low / step - 1e-9)
        return [index * step for index in range(first, math.floor(self.high / step + 1e-9) + 1)]


@dataclass(frozen=True)
class Series:
    """Points of a line, left to right."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


def _svg(width: float, height: float, about: str, body: Sequence[str]) -> Html:
    return Html(
        f'<svg viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" role="img" '
        f'aria-label="{text(about)}">' + "".join(body) + "</svg>"
    )


def _text(x: float, y: float, value: object, anchor: str = "start", kind: str = "") -> str:
    style = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{style}>{text(value)}</text>'


def _upright(x: float, y: float, value: object, anchor: str, kind: str) -> str:
    place = f'transform="translate({x:.1f} {y:.1f}) rotate(-90)" text-anchor="{anchor}"'
    return f'<text {place} class="{kind}">{text(value)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def _bar(x: float, y: float, width: float, height: float, series: int, title: str) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(0.0, width):.1f}" height="{max(0.0, height):.1f}" '
        f'style="fill:{colour(series)}"><title>{text(title)}</title></rect>'
    )


def figure_text(value: float) -> str:
    """A tick's or a bar's value, short."""
    if value and (abs(value) >= 1e5 or abs(value) < 1e-3):
        return f"{value:.1e}"
    return f"{value:.4g}"


class _Plot:
    """The frame of a drawing with two axes; ``left`` … ``bottom`` are the corners of its inside."""

    def __init__(self, x: Axis, y: Axis, width: float, height: float) -> None:
        self.x, self.y, self.width, self.height = x, y, width, height
        widest = max(len(figure_text(tick)) for tick in y.ticks(5))
        self.left, self.right = 24.0 + LETTER * widest, width - 12.0
        self.top, self.bottom = 10.0, height - 38.0

    def at(self, x: float, y: float) -> tuple[float, float]:
        return self.x.place(x, self.left, self.right), self.y.place(y, self.bottom, self.top)

    def frame(self) -> list[str]:
        parts = []
        for tick in self.y.ticks(5):
            _, y = self.at(self.x.low, tick)
            parts += [
                _line(self.left, y, self.right, y, "rule"),
                _text(self.left - 6, y + 4, figure_text(tick), "end", "tick"),
            ]
        for tick in self.x.ticks(max(2, int((self.right - self.left) // 60))):
            x, _ = self.at(tick, self.y.low)
            parts.append(_text(x, self.bottom + 15, figure_text(tick), "middle", "tick"))
        parts.append(_line(self.left, self.bottom, self.right, self.bottom, "axis"))
        middle = (self.top + self.bottom) / 2
        parts.append(_text((self.left + self.right) / 2, self.height - 6, self.x.name, "middle", "tick"))
        parts.append(_upright(11, middle, self.y.name, "middle", "tick"))
        return parts


def lines(
    series: Sequence[Series],
    x: Axis,
    y: Axis,
    width: float = 480,
    height: float = 300,
    marks: Sequence[tuple[str, float]] = (),
) -> Html:
    """Lines in one frame, in the colours of ``html.legend``, with named dashed lines at ``marks``."""
    plot = _Plot(x, y, width, height)
    parts = plot.frame() + _marks(plot, marks)
    for index, one in enumerate(series):
        points = " ".join("{:.1f},{:.1f}".format(*plot.at(a, b)) for a, b in zip(one.x, one.y))
        if points:
            path = "M" + points.replace(" ", "L")
            parts.append(f'<path d="{path}" style="stroke:{colour(index)}"><title>{text(one.name)}</title></path>')
    about = f"{y.name} over {x.name}: " + ", ".join(one.name for one in series)
    return _svg(width, height, about, parts)


def bars(
    rows: Sequence[tuple[str, Sequence[float | None]]],
    axis: Axis,
    names: Sequence[str],
    colours: Sequence[int] = (0, 1, 2, 3),
    width: float = 1000,
) -> Html:
    """Horizontal bars: rows of (label, a value per series; None for none), series ``names`` in ``colours``. The value
    of the last series is written beside its row.
    """
    thick = 13.0 if len(names) == 1 else 7.0
    step = thick * len(names) + 6
    left = 12 + LETTER * max((min(LONGEST_LABEL, len(label)) for label, _ in rows), default=0)
    right, top = width - 56.0, 20.0
    bottom = top + step * len(rows)
    parts = []
    for tick in axis.ticks(8):
        x = axis.place(tick, left, right)
        parts += [_line(x, top - 4, x, bottom, "rule"), _text(x, top - 8, figure_text(tick), "middle", "tick")]
    zero = axis.place(max(axis.low, min(0.0, axis.high)), left, right)
    for number, (label, values) in enumerate(rows):
        y = top + number * step + 3
        middle = y + thick * len(names) / 2 + 4
        parts.append(_text(left - 8, middle, _short(label), "end"))
        ends = [zero]
        for place, (name, series, value) in enumerate(zip(names, colours, values)):
            if value is not None:
                x = axis.place(value, left, right)
                title = f"{label}, {name}: {figure_text(value)}"
                parts.append(_bar(min(x, zero), y + place * thick, abs(x - zero), thick - 1, series, title))
                ends.append(x)
        if values[-1] is not None:
            parts.append(_text(max(ends) + 5, middle, f"{values[-1]:.3g}", "start", "tick"))
    parts.append(_line(zero, top - 4, zero, bottom, "axis"))
    return _svg(width, bottom + 6, f"{axis.name} of {len(rows)}", parts)


def _short(label: str) -> str:
    return label if len(label) <= LONGEST_LABEL else label[: LONGEST_LABEL - 1] + "…"


def histogram(
    edges: Sequence[float], counts: Sequence[float], x: Axis, y_name: str, marks: Sequence[tuple[str, float]] = (),
    width: float = 320, height: float = 190, series: int = 0,
) -> Html:  # fmt: skip
    """Counts between ``edges`` (one more than counts), with named dashed lines at ``marks``."""
    plot = _Plot(x, Axis(y_name, 0.0, max([*counts, 1e-12]) * 1.06, whole=True), width, height)
    parts = plot.frame()
    for index, count in enumerate(counts):
        if count > 0:
            x1, y1 = plot.at(edges[index], count)
            x2, _ = plot.at(edges[index + 1], count)
            title = f"{figure_text(edges[index])} to {figure_text(edges[index + 1])}: {figure_text(count)}"
            parts.append(_bar(x1, y1, max(0.8, x2 - x1 - 0.6), plot.bottom - y1, series, title))
    parts += _marks(plot, marks)
    return _svg(width, height, f"{y_name} over {x.name}", parts)


def _marks(plot: _Plot, marks: Sequence[tuple[str, float]]) -> list[str]:
    """Dashed lines from top to bottom, their names one below the other, beside the line where nothing crosses them."""
    parts = []
    places = [plot.at(value, plot.y.low)[0] for _, value in marks]
    for number, ((name, _), at) in enumerate(zip(marks, places)):
        parts.append(_line(at, plot.top, at, plot.bottom, "mark"))
        wide = LETTER * len(name)
        crossed = any(at < other < at + wide for other in places) and at - wide > plot.left
        side = ("end", -4) if crossed or at > (plot.left + plot.right) / 2 else ("start", 4)
        parts.append(_text(at + side[1], plot.top + 9 + 13 * number, name, side[0], "tick"))
    return parts


def matrix(labels: Sequence[str], counts: Sequence[Sequence[int]], rows: str, columns: str, nothing: str) -> Html:
    """Counts of ``labels`` and, last, ``nothing`` in rows and columns, each as dark as its part of the row; figures are
    written where cells are large enough, and told by the pointer everywhere."""
    names = [*labels, nothing]
    side = next((size for most, size in ((12, 38.0), (24, 24.0), (40, 16.0)) if len(names) <= most), 11.0)
    longest = LETTER * max(min(LONGEST_LABEL, len(name)) for name in names)
    left, top = 34 + longest, 30 + longest
    kind = "small" if side < 14 else ""
    middle = side * len(names) / 2
    parts = [_text(left + middle, 14, columns, "middle", "tick"), _upright(12, top + middle, rows, "middle", "tick")]
    for number, name in enumerate(names):
        at = number * side + side / 2 + 4
        parts.append(_text(left - 6, top + at, _short(name), "end", kind))
        parts.append(_upright(left + at, top - 6, _short(name), "start", kind))
    for row, (name, values) in enumerate(zip(names, counts)):
        total = sum(values)
        for column, count in enumerate(values):
            title = f"{rows} {name}, {columns} {names[column]}: {count} of {total}"
            x, y = left + column * side, top + row * side
            parts.append(_matrix_cell(x, y, side, count, count / total if total else 0.0, row == column, title))
    return _svg(left + side * len(names) + 12, top + side * len(names) + 8, f"{columns} over {rows}", parts)


def _matrix_cell(x: float, y: float, side: float, count: int, part: float, right: bool, title: str) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" width="{side - 1:.1f}" height="{side - 1:.1f}"'
    if not count:
        return f'<rect {place} style="fill:var(--grid)"/>'
    fill = f"fill:{colour(2 if right else 1)};fill-opacity:{0.15 + 0.85 * part:.2f}"
    square = f'<rect {place} style="{fill}"><title>{text(title)}</title></rect>'
    if LETTER * len(str(count)) > side:
        return square
    ink = "var(--paper)" if part > 0.55 else "var(--ink)"
    place = f'x="{x + side / 2 - 0.5:.1f}" y="{y + side / 2 + 4:.1f}" text-anchor="middle" pointer-events="none"'
    return f'{square}<text {place} style="fill:{ink};font-size:11px">{count}</text>'


def stack(parts: Sequence[tuple[str, float]], unit: str, width: float = 1000) -> Html:
    """One bar of parts that add up, in the colours of ``html.legend``; values stand above the wide ones."""
    total = sum(value for _, value in parts) or 1.0
    x, drawn = 0.0, []
    for index, (name, value) in enumerate(parts):
        wide = width * value / total
        words = f"{value:.3g} {unit}"
        drawn.append(_bar(x, 18, max(0.0, wide - 1), 26, index, f"{name}: {words}"))
        if wide > LETTER * len(words):
            drawn.append(_text(x + 1, 12, words, "start", "tick"))
        x += wide
    return _svg(width, 48, "parts: " + ", ".join(f"{name} {value:.3g} {unit}" for name, value in parts), drawn)
