"""The search for the fewest int16 layers under a bound on lost accuracy."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, strategies as st

from mlu_export.calibration.noise import fewest

pytestmark = [pytest.mark.torch, pytest.mark.eval]


@pytest.fixture
def common(tiny, tiny_annotations):
    """Arguments of quantize for the small network, of the search for its accuracy, and where the files go."""
    return (
        "quantize", "--arch", "darknet", "--weights", tiny / "tiny.weights", "--cfg", tiny / "tiny.cfg", "--labels",
        tiny / "names.txt", "--calibration", tiny / "pictures", "--observer", "minmax", "--output", tiny / "out",
        "--images", tiny / "pictures", "--annotations", tiny_annotations,
    )  # fmt: skip


def figures(tiny, tiny_annotations, export, *more):
    """What ``eval`` says of the model built from the recipe that the search wrote."""
    build = ("build", "--weights", tiny / "tiny.weights", "--cfg", tiny / "tiny.cfg")
    code, _, err = export(*build, "--recipe", tiny / "out" / "darknet.recipe.toml", "--output", tiny / "built")
    assert code == 0, err
    model = tiny / "built" / "darknet.cambricon"
    code, out, err = export(
        "eval", model, "--images", tiny / "pictures", "--annotations", tiny_annotations, "--json", *more
    )
    assert code == 0, err
    return json.loads(out)["map50_95"]


@given(st.integers(0, 200), st.integers(0, 250))
def test_the_least_number_is_found_with_few_trials(most, needed):
    """By doubling and bisection; all, where even they are not enough."""
    tried = []

    def is_enough(count):
        tried.append(count)
        return count >= needed

    assert fewest(most, is_enough) == min(most, needed)
    assert len(tried) <= 2 * (min(most, needed) + 1).bit_length() + 1


def test_the_recipe_keeps_what_was_promised(tiny, tiny_annotations, common, export):
    """What is built from the recipe has the accuracy that the search measured, within the loss that was allowed."""
    code, out, err = export(*common, "--propose-map", "1", "--json")
    assert code == 0, err
    easy = json.loads(out)["proposal"]
    assert easy["layers"] == []
    assert easy["after"] == easy["before"]
    weights = ("--float", tiny / "tiny.weights", "--cfg", tiny / "tiny.cfg")
    assert figures(tiny, tiny_annotations, export, *weights) == easy["exact"]
    assert figures(tiny, tiny_annotations, export) == easy["before"]

    lost = easy["exact"] - easy["before"]
    assert lost > 0.01  # or the next search has nothing to do
    code, out, err = export(*common, "--propose-map", f"{lost / 2:.6f}", "--json", "--workers", "2")
    assert code == 0, err
    found = json.loads(out)["proposal"]
    assert (found["exact"], found["before"]) == (easy["exact"], easy["before"])
    assert found["after"] >= found["exact"] - found["loss"]
    assert 0 < len(found["layers"]) < 6
    assert figures(tiny, tiny_annotations, export) == found["after"]
    assert err.count("layers in int16: mAP50-95") >= 3  # every trial is told

    text = export(*common, "--propose-map", f"{lost / 2:.6f}")[1]
    assert " ".join(f"--keep-int16 {name}" for name in found["layers"]) in text


def test_a_target_out_of_reach_is_told_and_nothing_is_written(tiny, common, export):
    """With ranges that are a tenth of what was seen, no number of bits helps: the best that was reached is said."""
    code, _, err = export(*common, "--propose-map", "0.000001", "--data-scale", "0.1")
    assert code == 2
    assert "even with all 5 layers in int16 mAP50-95 is" in err
    assert "the best that was reached is" in err
    assert not (tiny / "out").exists()


def test_the_search_says_what_it_needs(tiny, tiny_annotations, common, export):
    """One sentence each, before any calibration."""
    code, _, err = export(*common)
    assert (code, "--images and --annotations are for --propose-map" in err) == (2, True)
    code, _, err = export(*common, "--propose-map", "0.1", "--propose", "30")
    assert (code, "give one of them" in err) == (2, True)
    without = common[: common.index("--images")]
    code, _, err = export(*without, "--propose-map", "0.1")
    assert (code, "give --images DIR and --annotations FILE" in err) == (2, True)
    place = common.index("--calibration")
    code, _, err = export(*common[:place], *common[place + 2 :], "--propose-map", "0.1")
    assert (code, "give --calibration DIR" in err) == (2, True)
    assert not (tiny / "out").exists()
