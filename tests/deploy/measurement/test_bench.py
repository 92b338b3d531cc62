"""``mlu-export bench``: the guide's formulas, and ours."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mlu_export.commands.bench import timing_text
from mlu_export.measurement import bench as measured
from mlu_export.measurement.bench import Busy, Parts, Timing


def timing(count=4, batch=2, runtime="device", busy=True):
    """Invocations of 10, 20, 30 … ms whose network takes half of that."""
    parts = tuple(Parts(1.0 * n, 2.0 * n, 5.0 * n, 1.0 * n, 1.0 * n, 4.0 * n) for n in range(1, count + 1))
    return Timing("net", "offline", runtime, batch, 4, 10, "3 of val", parts, Busy(0.5, 0.4) if busy else None)


def test_the_guides_formulas():
    """test.py: image_number / total_e2e and batch_size / (image_number / total_hardware) * 1000; the offline program:
    batch * count over the window of copies, mean copy in + compute + copy out, mean device time.
    """
    one = timing()  # 8 pictures; 100 ms end to end, 50 ms of network
    assert one.guide_online() == pytest.approx({"throughput_fps": 80.0, "latency_ms": 12.5})
    assert one.guide_offline() == pytest.approx(
        {"throughput_fps": 20.0, "latency_ms": 20.0, "hardware_latency_ms": 10.0}
    )


def test_our_statistics_are_not_made_of_too_few():
    """Percentiles only where there are invocations enough for them; the spread and the count are given."""
    few = timing().ours()["latency_ms"]
    assert (few["count"], few["p90"], few["p99"]) == (4, None, None)
    assert (few["median"], few["mean"], few["least"], few["most"]) == pytest.approx((25, 25, 10, 40))
    assert few["deviation"] == pytest.approx(np.std([10, 20, 30, 40], ddof=1))
    many = timing(100).ours()["latency_ms"]
    assert (many["p90"], many["p99"]) == pytest.approx((901, 990.1))
    assert timing(1).ours()["latency_ms"]["deviation"] is None
    assert timing().ours()["pictures_per_second"] == 16.0


def test_the_text_says_which_formula_is_which():
    """The guide's lines are the guide's to the letter; the simulator's speed is said to tell nothing."""
    text = timing_text(timing(runtime="simulator"))
    lines = text.splitlines()
    assert [line for line in lines if line.startswith(("Throughput", "Latency", "HardwareLatency"))] == [
        "Throughput(fps): 80.000",
        "Latency(ms): 12.500",
        "Throughput(fps): 20.000",
        "Latency(ms): 20.000",
        "HardwareLatency(ms): 10.000",
    ]
    assert "tells nothing" in text
    assert "tells nothing" not in timing_text(timing())
    assert timing_text(timing(busy=False)).count("Throughput(fps)") == 1


def test_a_model_is_measured_through_the_engine(tiny, tiny_model, export, simulator_path):
    """Real invocations on the simulator: counts, parts that add up, pictures of a folder taken again and again."""
    code, out, err = export(
        "bench", tiny_model, "--images", tiny / "pictures", "--count", 12, "--runtime", simulator_path, "--json"
    )
    assert code == 0, err
    result = json.loads(out)
    assert (result["images"], result["batch"], result["mode"], result["cores"]) == (12, 1, "offline", 4)
    assert result["pictures"] == "3 of pictures/"
    assert result["says_nothing_of_a_device"] is True
    ours = result["ours"]
    parts = ours["parts_ms"]
    assert sum(value for part, value in parts.items() if part != "device") == pytest.approx(ours["latency_ms"]["mean"])
    assert parts["device"] > 0
    assert ours["latency_ms"]["count"] == 12
    assert result["guide_offline"]["hardware_latency_ms"] == pytest.approx(parts["device"])
    assert result["guide_online"]["latency_ms"] == pytest.approx(parts["compute"])
    assert ours["pictures_per_second"] > 0


def test_layer_by_layer_every_operator_is_timed(tiny_model, export):
    """--online, without pictures: made-up ones."""
    from mlu_export.formats.container_reader import load_network

    code, out, err = export("bench", tiny_model, "--online", "--count", 2, "--json")
    assert code == 0, err
    result = json.loads(out)
    assert [layer["name"] for layer in result["layers"]] == [one.name for one in load_network(tiny_model).operators]
    assert all(layer["device_ms"] > 0 for layer in result["layers"])
    assert result["guide_offline"] is None
    assert result["pictures"] == "made up: noise"
    assert "slowest of" in export("bench", tiny_model, "--online", "--count", 1)[1]


def test_batches_are_the_files(tiny, tiny_recipe, export):
    """A batch of two: images are whole batches; another --batch is refused."""
    code, _, err = export(
        "build", "--cfg", tiny / "tiny.cfg", "--weights", tiny / "tiny.weights", "--recipe", tiny_recipe,
        "--batch", 2, "--output", tiny / "b",
    )  # fmt: skip
    assert code == 0, err
    model = tiny / "b" / "tiny.cambricon"
    code, out, _ = export("bench", model, "--count", 3, "--batch", 2, "--json")
    assert code == 0
    assert (json.loads(out)["images"], json.loads(out)["batch"]) == (4, 2)
    code, out, err = export("bench", model, "--batch", 4)
    assert (code, out) == (2, "")
    assert "compiled for 2" in err


def test_the_warm_up_has_as_many_invocations_as_are_asked_for_and_ends_by_itself(tiny_model, export, monkeypatch):
    """10 unless told otherwise; where these take too long, fewer; the output says how many there were."""

    def warm(*options):
        code, out, err = export("bench", tiny_model, "--count", 1, "--json", *options)
        assert code == 0, err
        return json.loads(out)["warm_up"]

    assert (warm("--warm-up", 12), warm("--warm-up", 0), warm("--online"), warm("--online", "--warm-up", 2)) == (
        12, 0, 1, 2,
    )  # fmt: skip
    monkeypatch.setattr(measured, "WARM_UP_SECONDS", 1e9)
    assert warm() == 10
    monkeypatch.setattr(measured, "WARM_UP_SECONDS", 0.0)
    assert (warm(), warm("--warm-up", 3)) == (1, 3)


@pytest.mark.parametrize(
    "options", [["--count", "0"], ["--warm-up", "-1"], ["--images", "/nonexistent"], ["--runtime", "cuda"]]
)
def test_wrong_options_are_one_sentence(tiny_model, export, options):
    """No figure is printed, and no traceback."""
    code, out, err = export("bench", tiny_model, *options)
    assert (code, out) == (2, "")
    assert "Traceback" not in err
