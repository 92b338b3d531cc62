"""What is aimed at, and whether it was reached in this run; what was not is said with where the time goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

ANY = "the fastest peer"
# Processors: "best" is each with products of bytes in one instruction, AVX2 the one without.
PEERS = {
    "best": {
        "yolov5n": [(ANY, 2.0)], "yolov5s": [(ANY, 1.6)], "yolov3": [(ANY, 1.1)], "yolov3-tiny": [(ANY, 1.1)],
        "yolov5s-relu": [(ANY, 1.1)], "yolo-fastest": [(ANY, 1.1)],
    },
    "avx2": {
        "yolov5s": [
            ("onnxruntime exact", 2.0), ("openvino int8", 2.0), ("onnxruntime 7 bits", 1.6), ("onnxruntime float", 2.5),
            ("openvino float", 3.0),
        ],
        "yolov3": [("onnxruntime 7 bits", 1.8)],
        "yolov5n": [("onnxruntime 7 bits", 1.7)],
    },
}  # fmt: skip
LIMITS = {"yolov5s": 0.65, "yolov3": 0.75}  # of the machine's products of bytes, one thread


@dataclass(frozen=True)
class Verdict:
    """One row."""

    what: str
    against: str
    wanted: str
    reached: str
    met: bool


def lines(results: dict[str, Any]) -> list[str]:
    """The table of goals."""
    verdicts = [*_peers(results), *_threads(results), *_share(results), *_neighbour(results), *_daemon(results)]
    verdicts += _postprocessing(results)
    if not verdicts:
        return []
    rows = [
        f"| {one.what} | {one.against} | {one.wanted} | {one.reached} | {'met' if one.met else '**missed**'} |"
        for one in verdicts
    ]
    missed = sum(not one.met for one in verdicts)
    said = f"{len(verdicts) - missed} of {len(verdicts)} are met. The profiles at the end show why not."
    return ["## Goals", "", said, "", "| what | against | at least | reached | |", "|---|---|---|---|---|", *rows, ""]


def _networks(results: dict[str, Any]) -> dict[str, Any]:
    return {name.split(" ", 1)[1]: value["values"] for name, value in results.items() if name.startswith("network ")}


def _medians(network: dict[str, Any], processor: str, threads: int) -> dict[str, float]:
    return {
        race["engine"]: race["median_ms"]
        for race in network["races"]
        if race["processor"] == processor and race["threads"] == threads and "median_ms" in race
    }


def _thread_counts(network: dict[str, Any]) -> list[int]:
    return sorted({race["threads"] for race in network["races"]})


def _peers(results: dict[str, Any]) -> list[Verdict]:
    verdicts = []
    for processor in results["about"]["processors"]:
        goals = PEERS["avx2" if processor["title"] == "AVX2" else "best"]
        for name, network in _networks(results).items():
            for against, wanted in goals.get(name, []):
                for threads in _thread_counts(network):
                    raced = _medians(network, processor["name"], threads)
                    verdicts += _peer(raced, f"{processor['title']}: {name}, {_count(threads)}", against, wanted)
    return verdicts


def _peer(raced: dict[str, float], what: str, against: str, wanted: float) -> list[Verdict]:
    ours = raced.get("ours")
    peers = {engine: value for engine, value in raced.items() if engine != "ours"}
    if ours is None or not peers or (against != ANY and against not in peers):
        return []
    engine = min(peers, key=lambda one: peers[one]) if against == ANY else against
    ratio = peers[engine] / ours
    named = f"{against} ({engine})" if against == ANY else against
    return [Verdict(what, named, f"{wanted:.1f}x", f"{ratio:.2f}x", ratio >= wanted)]


def _count(threads: int) -> str:
    return "one thread" if threads == 1 else f"{threads} threads"


def _threads(results: dict[str, Any]) -> list[Verdict]:
    verdicts = []
    for processor in results["about"]["processors"]:
        for name, network in _networks(results).items():
            one = _medians(network, processor["name"], 1).get("ours")
            two = _medians(network, processor["name"], 2).get("ours")
            if one and two:
                what = f"{processor['title']}: {name}, two threads"
                verdicts.append(Verdict(what, "one thread", "1.8x", f"{one / two:.2f}x", one / two >= 1.8))
    return verdicts


def byte_limit(results: dict[str, Any]) -> float | None:
    """GMAC/s of the widest vpdpbusd, or None where it was not measured."""
    told = results.get("limits", {}).get("values", {}).get("limits", {})
    found = [
        one["value"]
        for name, one in told.items()
        if "vpdpbusd" in name and ("512" in name or "zmm" in name) and "GMAC" in one["unit"]
    ]
    return max(found, default=None)


def _share(results: dict[str, Any]) -> list[Verdict]:
    limit = byte_limit(results)
    verdicts = []
    for processor in results["about"]["processors"]:
        for name, wanted in LIMITS.items():
            network = _networks(results).get(name)
            ours = _medians(network, processor["name"], 1).get("ours") if network else None
            if limit is None or ours is None or processor["title"] == "AVX2" or network is None:
                continue
            products = sum(step["multiplications"] for step in network["profile"][processor["name"]]["steps"])
            share = products / (ours * 1e6) / limit
            what = f"{processor['title']}: {name}, one thread"
            against = f"the measured limit of vpdpbusd, {limit:.0f} GMAC/s"
            verdicts.append(Verdict(what, against, f"{wanted:.0%}", f"{share:.0%}", share >= wanted))
    return verdicts


def _neighbour(results: dict[str, Any]) -> list[Verdict]:
    told = results.get("neighbour", {}).get("values")
    row = next((one for one in told["rows"] if one["engine"] == "ours"), None) if told else None
    if not row or not row.get("beside_ms"):
        return []
    ratio = row["beside_ms"] / row["median_ms"]
    what = f"{told['model']} beside a busy neighbour on one of two cores"
    return [Verdict(what, "itself", "at most 1.8x slower", f"{ratio:.2f}x", ratio <= 1.8)]


def _values(results: dict[str, Any], part: str) -> Any:
    return results.get(part, {}).get("values")


def _at_most(what: str, value: float, most: float, unit: str) -> Verdict:
    return Verdict(what, "", f"at most {most:g} {unit}", f"{value:.2f} {unit}", value <= most)


def _daemon(results: dict[str, Any]) -> list[Verdict]:
    verdicts = []
    told, costs, calibration = (_values(results, part) for part in ("fixed latency", "costs", "calibration"))
    for row in told["rows"] if told else []:
        share = row["saturated"]["fps"] / row["limit_fps"]
        what = f"fixed latency, {row['sources']} sources"
        verdicts.append(Verdict(what, "the device's limit", "99 %", f"{share:.1%}", share >= 0.99))
        if row["sources"] == 4:
            verdicts.append(_at_most(f"{what}, 80 % load: p99 besides the device", row["loaded"]["p99_ms"], 5, "ms"))
        verdicts.append(_at_most(f"{what}: CPU beside the network, a frame", row["loaded"]["cpu_ms"], 2, "ms"))
    if costs:
        verdicts.append(_at_most(f"RSS of the daemon with {costs['model']}", costs["rss_mib"], 120, "MiB"))
    if calibration:
        verdicts.append(_at_most(f"calibration of {calibration['model']}", calibration["seconds"], 60, "s"))
    return verdicts


def _postprocessing(results: dict[str, Any]) -> list[Verdict]:
    verdicts = []
    for group in _values(results, "around") or []:
        rows = {row["name"]: row["median_ms"] for row in group["rows"]}
        own = min((value for name, value in rows.items() if name.startswith("ours")), default=None)
        name, peer = min(
            ((name, value) for name, value in rows.items() if not name.startswith("ours")), key=lambda one: one[1]
        )
        if own is not None and "289 objects" in group["title"]:
            verdicts.append(Verdict(group["title"], name, "12x", f"{peer / own:.1f}x", peer / own >= 12))
    return verdicts
