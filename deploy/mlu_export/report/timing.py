"""The report of ``bench``: the guide's figures, ours, and how latencies spread."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from . import html, svg

if TYPE_CHECKING:
    from ..measurement.bench import Timing
    from ..support.circumstances import Circumstances
    from .html import Html

MOST_BINS = 40
SLOWEST = 40
PART_NAMES = {
    "preprocess": "preprocessing",
    "copy_in": "copy in",
    "compute": "network",
    "copy_out": "copy out",
    "postprocess": "postprocessing",
}


def timing_page(timing: Timing, made: Circumstances | None = None) -> bytes:
    """The whole report."""
    ours = timing.ours()
    latency = ours["latency_ms"]
    rate = ours["pictures_per_second"]
    parts = [
        html.cards(
            [
                ("median latency, pixels to boxes", f"{latency['median']:.2f} ms"),
                ("the device's own time", f"{timing.mean('device'):.2f} ms"),
                ("pictures per second, all cores busy", "-" if rate is None else f"{rate:.2f}"),
                ("cores", str(timing.cores)),
            ]
        ),
        _guide(timing),
        _latencies(timing),
        _parts(timing),
    ]
    if timing.layers:
        parts.append(_layers(timing))
    where = (
        f"{timing.mode} on {timing.runtime}: {timing.images} pictures ({timing.pictures}), batch {timing.batch}, "
        f"warm-up {timing.warm_up}"
    )
    if timing.runtime == "simulator":
        where += ". The simulator's speed tells nothing about a device's."
    if timing.notes:
        where += f" Of this simulator: {timing.notes}."
    return html.page(f"Speed of {timing.model}", where, parts, made)


def _guide(timing: Timing) -> Html:
    online, offline = timing.guide_online(), timing.guide_offline()
    rows = [
        ["test.py", "Throughput(fps)", "image_number / total_e2e", f"{online['throughput_fps']:.3f}"],
        ["", "Latency(ms)", "batch_size / (image_number / total_hardware) * 1000", f"{online['latency_ms']:.3f}"],
    ]
    if offline is not None:
        rows += [
            [
                "offline program",
                "Throughput(fps)",
                "batch * count / (last copy out - first copy in), all cores busy",
                f"{offline['throughput_fps']:.3f}",
            ],
            ["", "Latency(ms)", "mean of copy in + compute + copy out", f"{offline['latency_ms']:.3f}"],
            [
                "",
                "HardwareLatency(ms)",
                "mean between the notifiers" + (f" ({timing.device_kind})" if timing.device_kind else ""),
                f"{offline['hardware_latency_ms']:.3f}",
            ],
        ]
    return html.section(
        "By the formulas of the vendor's guide",
        html.table(["program", "prints", "formula", "figure"], rows, names=3),
        about="To be set beside what the guide's programs print; the two programs do not mean the same by one word.",
    )


def _latencies(timing: Timing) -> Html:
    values = timing.latencies()
    latency = timing.ours()["latency_ms"]
    low, high = float(values.min()), float(values.max())
    spare = max((high - low) * 0.04, high * 1e-3, 1e-6)
    axis = svg.Axis("milliseconds", max(0.0, low - spare), high + spare)
    bins = int(np.clip(np.sqrt(len(values)) * 2, 5, MOST_BINS))
    counts, edges = np.histogram(values, bins=bins, range=(axis.low, axis.high))
    marks = [(name, latency[name]) for name in ("median", "p90", "p99") if latency[name] is not None]
    drawing = svg.histogram(edges.tolist(), counts.tolist(), axis, "invocations", marks, 1000, 260)
    figures = [(name, _milliseconds(latency[key])) for name, key in _STATISTICS]
    return html.section(
        f"Latency of {latency['count']} invocations, one after the other",
        html.figure("", drawing),
        html.pairs(figures),
        about="From decoded pixels to boxes; all pictures of a batch wait for as long.",
    )


_STATISTICS = (
    ("median", "median"),
    ("90 of 100 are below", "p90"),
    ("99 of 100 are below", "p99"),
    ("mean", "mean"),
    ("standard deviation", "deviation"),
    ("least", "least"),
    ("most", "most"),
)


def _milliseconds(value: float | None) -> str:
    return "- (too few invocations to say)" if value is None else f"{value:.3f} ms"


def _parts(timing: Timing) -> Html:
    parts = [(name, timing.mean(key)) for key, name in PART_NAMES.items()]
    if not timing.mean("copy_in") + timing.mean("copy_out"):
        parts = [part for part in parts if not part[0].startswith("copy")]
    colours = range(len(parts))
    return html.section(
        "Where the time goes",
        html.legend([f"{name} {value:.3f} ms" for name, value in parts], list(colours)),
        html.figure("", svg.stack(parts, "ms")),
        about=f"Means; of the network's time the device itself worked for {timing.mean('device'):.3f} ms"
        + (f" ({timing.device_kind})." if timing.device_kind else "."),
    )


def _layers(timing: Timing) -> Html:
    slowest = sorted(timing.layers, key=lambda layer: -layer.device)[:SLOWEST]
    top = slowest[0].device or 1.0
    rows = [(layer.name, [layer.device]) for layer in slowest]
    return html.section(
        f"The slowest {len(slowest)} of {len(timing.layers)} operators",
        html.figure(
            f"mean milliseconds on the device {timing.device_kind}".strip(),
            svg.bars(rows, svg.Axis("ms", 0, top * 1.02), ["device"]),
        ),
    )
