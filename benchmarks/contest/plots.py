"""Plots as SVG files that a browser and a code forge show without anything else."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

WIDTH, ROW, LEFT = 760, 26, 250


def _head(width: int, height: int) -> str:
    size = f'width="{width}" height="{height}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="13">'


def bars(path: Path, title: str, series: list[tuple[str, float]]) -> None:
    """Horizontal bars of how many times as fast as the fastest peer; a line where both are equal."""
    if not series:
        return
    most = max(1.2, *(value for _, value in series))
    scale = (WIDTH - LEFT - 70) / most
    height = 40 + ROW * len(series)
    one = LEFT + scale
    parts = [
        _head(WIDTH, height),
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="10" y="20" font-weight="bold">{escape(title)}: times as fast as the fastest peer</text>',
    ]
    for number, (name, value) in enumerate(series):
        y = 34 + number * ROW
        colour = "#2a7" if value >= 1 else "#c55"
        parts.append(f'<text x="{LEFT - 8}" y="{y + 14}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<rect x="{LEFT}" y="{y}" width="{value * scale:.1f}" height="{ROW - 8}" fill="{colour}"/>')
        parts.append(f'<text x="{LEFT + value * scale + 6:.1f}" y="{y + 14}">{value:.2f}</text>')
    parts.append(f'<line x1="{one:.1f}" x2="{one:.1f}" y1="28" y2="{height - 6}" stroke="#333" stroke-dasharray="4"/>')
    path.write_text("\n".join([*parts, "</svg>"]) + "\n", encoding="utf-8")


def lines(path: Path, title: str, across: str, series: dict[str, list[tuple[float, float]]]) -> None:
    """Curves over a quantity, from zero."""
    points = [point for values in series.values() for point in values]
    if not points:
        return
    width, height, left, top = WIDTH, 320, 60, 40
    most_x, most_y = max(x for x, _ in points), max(y for _, y in points)
    colours = ("#2a7", "#47a", "#c73", "#a4a", "#777", "#b33")

    def place(x: float, y: float) -> str:
        return f"{left + x / most_x * (width - left - 190):.1f},{height - 40 - y / most_y * (height - top - 50):.1f}"

    parts = [
        _head(width, height),
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<text x="10" y="20" font-weight="bold">{escape(title)}</text>',
        f'<polyline points="{place(0, most_y)} {place(0, 0)} {place(most_x, 0)}" fill="none" stroke="#333"/>',
        f'<text x="{left}" y="{height - 8}">0</text>',
        f'<text x="{width - 330}" y="{height - 8}">{most_x:g} {escape(across)}</text>',
        f'<text x="6" y="{top + 16}">{most_y:.3g}</text>',
    ]
    for number, (name, values) in enumerate(series.items()):
        colour = colours[number % len(colours)]
        drawn = " ".join(place(x, y) for x, y in sorted(values))
        parts.append(f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{width - 180}" y="{top + 16 + number * 20}" fill="{colour}">{escape(name)}</text>')
    path.write_text("\n".join([*parts, "</svg>"]) + "\n", encoding="utf-8")
