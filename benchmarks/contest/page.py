"""docs/performance.md from the results: every figure of it comes from there, also those that are missed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import goals, plots, sections
from .sections import table

if TYPE_CHECKING:
    from pathlib import Path

TOP_STEPS = 8


def write(results: dict[str, Any], path: Path) -> None:
    """The page, and the plots beside it."""
    text = "\n".join(_lines(results, path)) + "\n"
    temporary = path.with_suffix(".new")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def networks_of(results: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What was measured of each network, by its name."""
    return {name.split(" ", 1)[1]: value["values"] for name, value in results.items() if name.startswith("network ")}


def values_of(results: dict[str, Any], part: str) -> Any:
    """What was measured in a part, None if it was not."""
    return results[part]["values"] if part in results else None


def _lines(results: dict[str, Any], path: Path) -> list[str]:
    about, networks = results["about"], networks_of(results)
    dates = sorted({value["date"] for value in results.values() if "date" in value}) or ["never"]
    machine = (
        f"{about['processor']}, {about['cpus']} CPUs ({about['instructions']}), {about['memory_gb']} GB, Linux "
        f"{about['system']}; {about['compiler']}; Python {about['python']}; measured {dates[-1]}, revision "
        f"{about['revision']}; load {_load(results)}."
    )
    lines = [
        "# How fast, and beside whom",
        "",
        "Written by `make bench`; nothing here is typed by hand. Figures are of the simulator and of the Python around",
        "it on one host: a device's speed cannot be told from them. All contenders of a table ran in one interleaved",
        "run: each a process that stays loaded, asked in turn for one inference of one picture, so that noise hits all",
        "alike. Milliseconds, median / least.",
        "",
        machine + "  ",
        ", ".join(f"{name} {version}" for name, version in about["versions"].items()) + ".",
        "",
    ]
    if networks:
        lines += goals.lines(results)
        for processor in about["processors"]:
            lines += _processor(processor, networks, path)
        lines += _exactness(about["processors"], networks)
    lines += sections.limits(values_of(results, "limits"))
    lines += sections.neighbour(values_of(results, "neighbour"))
    lines += sections.around(values_of(results, "around"))
    lines += sections.daemon(values_of(results, "fixed latency"), values_of(results, "costs"))
    lines += sections.accuracy(results)
    lines += sections.curves(values_of(results, "curves"), path)
    if networks:
        lines += _profiles(about["processors"], networks)
    return [*lines, *_method()]


def _processor(processor: dict[str, str], networks: dict[str, Any], path: Path) -> list[str]:
    lines = [f"## {processor['title']}", ""]
    if processor["name"] != "all":
        lines += [
            f"The same machine; every engine is shown a processor without what is newer than {processor['title']}",
            "(CPUID is answered so: `benchmarks/contest/cpu_mask.c`), and takes the code that it has for such a one.",
            "",
        ]
    by_threads = sorted({race["threads"] for one in networks.values() for race in one["races"]})
    for threads in by_threads:
        rows = _rows(networks, processor["name"], threads)
        if not rows:
            continue
        lines += [f"### {threads} thread{'s' * (threads > 1)}", ""]
        lines += table(["", *networks], rows)
        plot = path.with_name(f"performance-{processor['name']}-{threads}.svg")
        plots.bars(
            plot, f"{processor['title']}, {threads} thread{'s' * (threads > 1)}", _series(networks, processor, threads)
        )
        lines += ["", f"![speed beside the fastest peer]({plot.name})", ""]
    versions = {
        race["version"]
        for one in networks.values()
        for race in one["races"]
        if race["processor"] == processor["name"] and race["engine"].startswith("openvino int8")
    }
    if versions:
        lines += [f"OpenVINO's own word on which kernels ran its int8 convolutions: {'; '.join(sorted(versions))}.", ""]
    return lines


def races(network: dict[str, Any], processor: str, threads: int) -> dict[str, dict[str, Any]]:
    """The contenders of one race by engine, without those that failed."""
    return {
        race["engine"]: race
        for race in network["races"]
        if race["processor"] == processor and race["threads"] == threads and "median_ms" in race
    }


def fastest_peer(raced: dict[str, dict[str, Any]]) -> dict[str, Any] | None:
    """The one with the least median."""
    peers = [race for engine, race in raced.items() if engine != "ours"]
    return min(peers, key=lambda race: race["median_ms"], default=None)


def _rows(networks: dict[str, Any], processor: str, threads: int) -> list[list[str]]:
    columns = [races(network, processor, threads) for network in networks.values()]
    engines = dict.fromkeys(engine for column in columns for engine in column)
    rows = []
    for engine in engines:
        cells = [
            f"{column[engine]['median_ms']:.1f} / {column[engine]['least_ms']:.1f}" if engine in column else "-"
            for column in columns
        ]
        rows.append([f"**{engine}**" if engine == "ours" else engine, *cells])
    if not rows:
        return []
    ratios, names = [], []
    for column in columns:
        peer = fastest_peer(column)
        ratios.append(
            f"**{peer['median_ms'] / column['ours']['median_ms']:.2f}x**" if peer and "ours" in column else "-"
        )
        names.append(peer["engine"] if peer else "-")
    return [*rows, ["the fastest peer is", *names], ["**ours beside it**", *ratios]]


def _series(networks: dict[str, Any], processor: dict[str, str], threads: int) -> list[tuple[str, float]]:
    series = []
    for name, network in networks.items():
        raced = races(network, processor["name"], threads)
        peer = fastest_peer(raced)
        if peer and "ours" in raced:
            series.append((f"{name} ({peer['engine']})", peer["median_ms"] / raced["ours"]["median_ms"]))
    return series


def _exactness(processors: list[dict[str, str]], networks: dict[str, Any]) -> list[str]:
    lines = [
        "## Exactness",
        "",
        "Ours is defined to the bit (native/ARITHMETIC.md): its outputs on every processor are compared with those of",
        "the plain reference, value by value. Of the peers' quantized networks the least cosine of the heads is told:",
        "with the float32 network, and with the same file on the first processor, where products do not saturate.",
        "",
    ]
    rows = []
    for name, network in networks.items():
        for engine, told in network.get("heads", {}).items():
            cells = []
            for processor in processors:
                one = told.get(processor["name"])
                if one is None:
                    cells.append("-")
                elif engine == "ours":
                    cells.append(f"{one['float']:.4f}, {one.get('different', 0)} values differ")
                else:
                    cells.append(f"{one['float']:.4f}, {one.get('itself', 1.0):.4f}")
            rows.append([f"{name} ({network['weights']} weights)", engine, *cells])
    return [*lines, *table(["network", "engine", *(one["title"] for one in processors)], rows), ""]


def _profiles(processors: list[dict[str, str]], networks: dict[str, Any]) -> list[str]:
    lines = [
        "## Where our time goes",
        "",
        "One thread, the steps that take longest, least time of each (`benchmarks/layers.py`).",
        "",
    ]
    for processor in processors:
        for name, network in networks.items():
            told = network["profile"].get(processor["name"])
            if not told:
                continue
            lines += [f"### {name}, table {told['kernels']}", "", *_profile(told), ""]
    return lines


def _profile(told: dict[str, Any]) -> list[str]:
    steps = told["steps"]
    whole = sum(step["least_ns"] for step in steps) or 1
    products = sum(step["multiplications"] for step in steps)
    by_kind: dict[str, float] = {}
    for step in steps:
        kind = step.get("algorithm") or step["kind"]
        by_kind[kind] = by_kind.get(kind, 0) + step["least_ns"]
    kinds = ", ".join(f"{k} {v / whole:.0%}" for k, v in sorted(by_kind.items(), key=lambda item: -item[1])[:6])
    rows = [
        [
            f"{step.get('algorithm') or step['kind']} {step['name']}",
            " -> ".join("x".join(map(str, step[side][1:])) for side in ("input", "output")),
            f"{step['least_ns'] / 1e6:.3f}",
            f"{step['least_ns'] / whole:.1%}",
            f"{step['multiplications'] / (step['least_ns'] or 1):.0f}",
            f"{step['limit_permille'] / 10:.0f} %" if "limit_permille" in step else "",
        ]
        for step in sorted(steps, key=lambda step: -step["least_ns"])[:TOP_STEPS]
    ]
    total = f"{whole / 1e6:.2f} ms, {products / whole:.0f} GMAC/s over all {len(steps)} steps: {kinds}."
    return [total, "", *table(["step", "shape", "ms", "share", "GMAC/s", "of the limit"], rows)]


def _method() -> list[str]:
    return [
        "## How to repeat it",
        "",
        "`make bench` (options: `make bench BENCH='--models yolov5n --rounds 5'`), where nothing else runs. The peers",
        "live in an environment of their own, `.venv-bench`, with the versions of `benchmarks/requirements.txt`.",
        "ONNX Runtime's int8 network is QDQ with unsigned activations and signed weights per channel (7 bits: its",
        "`reduce_range`; exact: `session.x64quantprecision`), OpenVINO's is NNCF's mixed preset, ncnn's has a scale",
        "per channel; all are calibrated on the same pictures. OpenVINO runs with its latency hint.",
    ]


def _load(results: dict[str, Any]) -> str:
    """The highest load average that a part of the run ended with: beside it the number of threads it ran itself."""
    loads = [value["load"] for value in results.values() if "load" in value]
    return f"{max(loads):.1f}" if loads else "unknown"
