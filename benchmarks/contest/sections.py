"""The sections of docs/performance.md that are not of a single network; each from what was measured, or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import plots

if TYPE_CHECKING:
    from pathlib import Path


def limits(told: dict[str, Any] | None) -> list[str]:
    """Of bench_limits."""
    if not told:
        return []
    lines = ["## What one core can do", "", "Measured in the same run (`native/bench/bench_limits.c`).", ""]
    rows = [[name, f"{one['value']:.1f} {one['unit']}"] for name, one in told["limits"].items()]
    lines += [*table(["instructions alone", ""], rows), ""]
    tables = dict.fromkeys(one["table"] for one in told["products"])
    shapes = dict.fromkeys(one["shape"] for one in told["products"])
    found = {(one["table"], one["shape"]): one["gmacs"] for one in told["products"]}
    rows = [[s, *(f"{found[t, s]:.0f}" if (t, s) in found else "-" for t in tables)] for s in shapes]
    return [*lines, *table(["products of bytes, GMAC/s", *tables], rows), ""] if rows else lines


def neighbour(told: dict[str, Any] | None) -> list[str]:
    """What a busy neighbour costs."""
    if not told:
        return []
    rows = [
        [
            row["engine"],
            f"{row['median_ms']:.1f}",
            f"{row['beside_ms']:.1f}",
            f"{row['beside_ms'] / row['median_ms']:.2f}x",
        ]
        for row in told["rows"]
        if row.get("median_ms") and row.get("beside_ms")
    ]
    title = f"{told['model']}, two threads, a process that keeps one of two CPUs busy"
    return [
        "## A busy neighbour",
        "",
        title + ", ms median.",
        "",
        *table(["", "alone", "beside it", "slower"], rows),
        "",
    ]


def around(told: Any) -> list[str]:
    """Pre- and postprocessing."""
    if not told:
        return []
    lines = [
        "## Before and behind the network",
        "",
        "One thread, ms median / least; all to the same bytes or boxes.",
        "",
    ]
    for group in told:
        own = next((row for row in group["rows"] if row["name"].startswith("ours")), group["rows"][0])
        rows = [
            [
                row["name"],
                f"{row['median_ms']:.3f} / {row['least_ms']:.3f}",
                f"{row['median_ms'] / own['median_ms']:.1f}x",
                row.get("same", ""),
            ]
            for row in group["rows"]
        ]
        lines += [f"### {group['title']}", "", *table(["", "ms", "ours is faster by", ""], rows), ""]
    return lines


def daemon(told: dict[str, Any] | None, costs: dict[str, Any] | None) -> list[str]:
    """The pipeline and what it costs."""
    lines = []
    if told:
        rows = [
            [
                str(row["sources"]),
                f"{row['saturated']['fps']:.1f} ({row['saturated']['fps'] / row['limit_fps']:.1%})",
                f"{row['saturated']['p50_ms']:.1f} / {row['saturated']['p99_ms']:.1f}",
                f"{row['loaded']['p50_ms']:.1f} / {row['loaded']['p99_ms']:.1f}",
                f"{row['loaded']['cpu_ms']:.2f}",
            ]
            for row in told["rows"]
        ]
        limit = told["rows"][0]["limit_fps"]
        lines += [
            "## The daemon on a device of fixed latency",
            "",
            f"Four cores, {told['latency_ms']:g} ms each ({limit:g} frames/s at most), live sources of 1920x1080; ages",
            "are from capture to message less the device's time, ms median / 99th percentile (benchmarks/pipeline.py).",
            f"A plain loop, one picture after the other as in the vendor's sample: {told['loop_fps']:.1f} frames/s.",
            "",
            *table(
                ["sources", "frames/s", "age, saturated", "age, 80 % load", "CPU beside the device, ms a frame"], rows
            ),
            "",
        ]
    if costs:
        said = f"{costs['model']} on the simulator with one live source: {costs['rss_mib']:.0f} MiB resident at most, "
        lines += [said + f"the first detections {costs['first_message_s']:.2f} s after the start.", ""]
    return lines


def accuracy(results: dict[str, Any]) -> list[str]:
    """mAP by engine and network."""
    found = {name.split(" ", 1)[1]: one["values"] for name, one in results.items() if name.startswith("accuracy ")}
    if not found:
        return []
    engines = dict.fromkeys(row["engine"] for rows in found.values() for row in rows)
    by = {(name, row["engine"]): row for name, rows in found.items() for row in rows}
    rows = []
    for engine in engines:
        cells = [by.get((name, engine)) for name in found]
        rows.append([engine, *(f"{one['map50_95']:.4f} / {one['map50']:.4f}" if one else "-" for one in cells)])
    pictures = next(iter(found.values()))[0]["images"]
    said = f"mAP50-95 / mAP50 on {pictures} labelled pictures, as this processor is; all behind the same decoding, all"
    return [
        "## Accuracy",
        "",
        said,
        "calibrated on the same few pictures by the simplest observer: accuracy beside speed, not the best there is.",
        "",
        *table(["", *found], rows),
        "",
    ]


def curves(told: dict[str, Any] | None, path: Path) -> list[str]:
    """Tables and plots of the curves."""
    if not told:
        return []
    lines = ["## Curves", "", f"Pictures a second of {told['network']}, as this processor is.", ""]
    for number, (title, series) in enumerate((name, one) for name, one in told.items() if name != "network"):
        plot = path.with_name(f"performance-curve-{number}.svg")
        plots.lines(plot, f"{told['network']}: pictures a second", title, series)
        points = sorted({at for values in series.values() for at, _ in values})
        rows = []
        for engine, values in series.items():
            by = dict(values)
            rows.append([engine, *(f"{by[at]:.1f}" if at in by else "-" for at in points)])
        lines += [
            f"### {title}",
            "",
            *table(["", *(f"{at:g}" for at in points)], rows),
            "",
            f"![{title}]({plot.name})",
            "",
        ]
    return lines


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """A table in Markdown."""
    return [
        f"| {' | '.join(head)} |",
        f"|{'---|' * len(head)}",
        *(f"| {' | '.join(str(cell) for cell in row)} |" for row in rows),
    ]
