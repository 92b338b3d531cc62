"""``mlu-export bench``: how fast a model file runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from mlu_agent.model.bundle import load_bundle

from ..measurement.bench import PARTS, WARM_UP, WARM_UP_SECONDS, Timing, bench
from ..report.timing import timing_page
from ..support.circumstances import circumstances
from ..support.files import write_all
from .arguments import Integer
from .checkpoint import declare_checkpoint, model_file
from .report_file import check_report

if TYPE_CHECKING:
    import argparse

SLOWEST = 10  # operators of an online run that the text names
DEFAULT_COUNT = 100


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    declare_checkpoint(parser)
    parser.add_argument("--cfg", type=Path, metavar="FILE", help="the Darknet description of a checkpoint")
    parser.add_argument("--images", type=Path, metavar="DIR", help="folder of pictures (default: made-up noise)")
    parser.add_argument(
        "--count",
        type=Integer(1, 1_000_000),
        default=DEFAULT_COUNT,
        metavar="N",
        help=f"pictures per pass (default {DEFAULT_COUNT}); fewer files are taken again and again",
    )
    parser.add_argument(
        "--warm-up",
        type=Integer(0, 1_000_000),
        metavar="N",
        help=f"invocations before the first that counts (default {WARM_UP}, or as many as take "
        f"{WARM_UP_SECONDS:g} seconds; 1 with --online)",
    )
    parser.add_argument(
        "--batch", type=Integer(1, 1024), metavar="N", help="compile a checkpoint for it; refuse a model of another"
    )
    parser.add_argument(
        "--online", action="store_true", help="run operator by operator on the simulator, and time each one"
    )
    parser.add_argument(
        "--runtime", default="auto", help="auto, device, simulator or the path of a library (default auto)"
    )
    parser.add_argument(
        "--report", type=Path, metavar="FILE.html", help="write how latencies spread and where time goes, in one file"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Measures and prints."""
    check_report(arguments)
    with model_file(arguments) as model:
        timing = bench(
            model, arguments.images, arguments.count, arguments.batch, arguments.runtime, arguments.online,
            arguments.warm_up,
        )  # fmt: skip
        made = circumstances(arguments.words, {"the model": load_bundle(model).sha256})
    if arguments.report is not None:  # before anything is printed: who reads that may go
        write_all(arguments.report.parent, {arguments.report.name: timing_page(timing, made)})
    print(json.dumps(timing.document()) if arguments.json else timing_text(timing))
    return 0


def timing_text(timing: Timing) -> str:
    """For a person; the lines that begin with the guide's words are for scripts that look for them."""
    what = f"{timing.model} {timing.mode} on {timing.runtime}: {timing.images} pictures ({timing.pictures})"
    lines = [f"{what}, batch {timing.batch}, cores {timing.cores}, warm-up {timing.warm_up}"]
    if timing.runtime == "simulator":
        lines.append("the simulator's speed tells nothing about a device's")
    if timing.notes:
        lines.append(f"of this simulator: {timing.notes}")
    return "\n".join([*lines, "", *_guide(timing), "", *_ours(timing), *_layers(timing)])


def _guide(timing: Timing) -> list[str]:
    online, offline = timing.guide_online(), timing.guide_offline()
    lines = [
        "as the guide's test.py computes them, one batch after the other:",
        "  fps = image_number / total_e2e; ms = batch_size / (image_number / total_hardware) * 1000",
        f"Throughput(fps): {online['throughput_fps']:.3f}",
        f"Latency(ms): {online['latency_ms']:.3f}",
    ]
    if offline is not None:
        lines += [
            "",
            "as the guide's offline program computes them:",
            "  fps = batch * count / (last copy out - first copy in) with all cores busy;",
            "  ms = mean of copy in + compute + copy out; hardware = mean between the notifiers",
            f"Throughput(fps): {offline['throughput_fps']:.3f}",
            f"Latency(ms): {offline['latency_ms']:.3f}",
            f"HardwareLatency(ms): {offline['hardware_latency_ms']:.3f}{_estimate(timing)}",
        ]
    return lines


def _ours(timing: Timing) -> list[str]:
    ours = timing.ours()
    latency, parts = ours["latency_ms"], ours["parts_ms"]
    spread = "" if latency["deviation"] is None else f" ± {latency['deviation']:.2f}"
    tail = f"p90 {_or_few(latency['p90'])}, p99 {_or_few(latency['p99'])}"
    lines = [
        f"ours, from pixels to boxes, {latency['count']} invocations one after the other:",
        f"  latency of a picture: median {latency['median']:.2f} ms, {tail}",
        f"  mean {latency['mean']:.2f}{spread} ms, least {latency['least']:.2f} ms, most {latency['most']:.2f} ms",
        "  of this " + ", ".join(f"{part.replace('_', ' ')} {parts[part]:.2f}" for part in PARTS[:-1]) + " ms",
        f"  the device itself worked for {parts['device']:.2f} ms{_estimate(timing)}",
    ]
    if ours["pictures_per_second"] is not None:
        lines.append(f"  pictures per second with all cores busy: {ours['pictures_per_second']:.2f}")
    return lines


def _estimate(timing: Timing) -> str:
    """Behind a device time: what it is to be called where it was not measured."""
    return f" ({timing.device_kind})" if timing.device_kind else ""


def _or_few(value: float | None) -> str:
    return "- (too few)" if value is None else f"{value:.2f} ms"


def _layers(timing: Timing) -> list[str]:
    if not timing.layers:
        return []
    slowest = sorted(timing.layers, key=lambda layer: -layer.device)[:SLOWEST]
    total = sum(layer.device for layer in timing.layers)
    rows = [f"  {layer.name:24.24} {layer.device:9.3f} ms {layer.device / total * 100:5.1f}%" for layer in slowest]
    return ["", f"slowest of {len(timing.layers)} operators, mean on the device{_estimate(timing)}:", *rows]
