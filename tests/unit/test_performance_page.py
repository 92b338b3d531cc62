"""docs/performance.md as it is written from results: missed goals are said, and what was not measured is left out."""

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def page(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from contest import page as module

    yield module
    for name in [name for name in sys.modules if name == "contest" or name.startswith("contest.")]:
        del sys.modules[name]


def raced(engine: str, threads: int, median_ms: float, processor: str = "all") -> dict:
    one = {"engine": engine, "table": "", "threads": threads, "processor": processor, "version": "", "samples": 9}
    return {**one, "median_ms": median_ms, "least_ms": median_ms - 1, "cpu_least_ms": median_ms - 1}


def results(ours_ms: float) -> dict:
    """Of yolov5s on a processor with VNNI, whose measured limit is 100 GMAC/s."""
    step = {"kind": "conv", "name": "0", "input": [1, 8, 8, 3], "output": [1, 8, 8, 16], "least_ns": 10**7}
    profile = {"kernels": "avx512vnni", "runs": 3, "steps": [{**step, "multiplications": 10**9}]}
    races = [raced("ours", 1, ours_ms), raced("ours", 2, ours_ms / 2), raced("openvino int8", 1, 32.0)]
    about = {
        "processor": "p", "instructions": "AVX-512 VNNI", "cpus": 2, "memory_gb": 8, "system": "6", "python": "3",
        "compiler": "cc", "revision": "r", "versions": {}, "processors": [{"name": "all", "title": "AVX-512 VNNI"}],
    }  # fmt: skip
    network = {"weights": "random", "races": races, "profile": {"all": profile}, "heads": {}}
    limits = {"limits": {"vpdpbusd 512": {"value": 100.0, "unit": "GMAC/s"}}, "products": []}
    return {
        "about": about,
        "network yolov5s": {"date": "2026-01-01", "load": 1.0, "values": network},
        "limits": {"date": "2026-01-01", "load": 1.0, "values": limits},
    }


def test_a_goal_is_met_or_missed_by_what_was_measured(page, tmp_path):
    """1.6 times the fastest peer, twice with two threads, and 65 % of the limit that was measured in the same run."""
    page.write(results(20.0), tmp_path / "performance.md")
    text = (tmp_path / "performance.md").read_text()
    assert "| AVX-512 VNNI: yolov5s, one thread | the fastest peer (openvino int8) | 1.6x | 1.60x | met |" in text
    assert "| AVX-512 VNNI: yolov5s, two threads | one thread | 1.8x | 2.00x | met |" in text
    assert "limit of vpdpbusd, 100 GMAC/s | 65% | 50% | **missed** |" in text
    page.write(results(21.0), tmp_path / "performance.md")
    assert "| 1.6x | 1.52x | **missed** |" in (tmp_path / "performance.md").read_text()


def test_what_was_not_measured_has_no_section(page, tmp_path):
    """A short run leaves a page of what it measured, with its plots."""
    page.write(results(20.0), tmp_path / "performance.md")
    text = (tmp_path / "performance.md").read_text()
    assert "fixed latency" not in text
    assert "## Accuracy" not in text
    assert (tmp_path / "performance-all-1.svg").read_text().startswith("<svg")
