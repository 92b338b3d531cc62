"""``--keep-int16 auto``: layers come to 16 bits by what they do to the outputs, as far as the budget goes."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mlu_agent.errors import UserError
from mlu_agent.model.bundle import InputSpec
from mlu_export.calibration import widen as widening
from mlu_export.calibration.calibrate import observe_layers
from mlu_export.calibration.mixed import auto_share, keep_layers, without_auto
from mlu_export.calibration.widen import Precisions, parts, shares, take, widen
from mlu_export.formats.pictures import float_input
from mlu_export.formats.recipe import read_recipe
from mlu_export.shards.team import Team
from mlu_export.values.pixels import Preprocessing
from mlu_export.values.ranges import Range

OPTION = "--keep-int16"


def test_a_word_says_how_many_multiplications_may_be_spent():
    """A tenth without a number; names of layers beside it stay names."""
    assert auto_share(("auto", "5_conv"), OPTION) == 0.1
    assert auto_share(("auto:2.5",), OPTION) == 0.025
    assert auto_share(("5_conv", "automatic"), OPTION) is auto_share(None, OPTION) is None
    assert without_auto(("5_conv", "auto:3", "automatic", "auto")) == ("5_conv", "automatic")


@pytest.mark.parametrize("text", ["auto:", "auto:0", "auto:-1", "auto:101", "auto:nan", "auto:x"])
def test_a_budget_is_a_percentage(text):
    """What is none is refused in a sentence that shows one."""
    with pytest.raises(UserError, match="above 0 and up to 100, as auto:5"):
        auto_share((text,), OPTION)
    with pytest.raises(UserError, match="give one of them"):
        auto_share(("auto", text), OPTION)


def test_the_set_that_gains_most_within_the_budget_is_taken():
    """In their order; what gains nothing is not, and a large one may oust what gains more for its cost."""
    gains = {"a": 0.3, "b": 0.2, "c": 0.0, "d": 0.05}
    costs = {"a": 0.3, "b": 0.1, "c": 0.001, "d": 0.04}
    assert take(gains, costs, 0.03) == []
    assert take(gains, costs, 0.05) == ["d"]
    assert take(gains, costs, 0.1) == ["b"]
    assert take(gains, costs, 0.141) == ["b", "d"]
    assert take(gains, costs, 0.341) == ["a", "d"]
    assert take(gains, costs, 1.0) == ["a", "b", "d"]
    assert len(take({"one": 1.0, "two": 1.0}, {"one": 0.05004, "two": 0.05004}, 0.1)) == 1
    assert take({"small": 0.1, "large": 0.3}, {"small": 0.01, "large": 0.1}, 0.1) == ["large"]


def test_pictures_are_bounded_by_number_and_by_pixels():
    """32, evenly spread, and twelve times 640x640 pixels; of a larger input one."""

    def some(count: int, side: int) -> list[Path]:
        return widening._some([Path(str(number)) for number in range(count)], InputSpec(height=side, width=side))

    assert [path.name for path in some(64, 32)] == [str(number) for number in range(0, 64, 2)]
    assert [len(some(count, 32)) for count in (5, 32, 33)] == [5, 32, 17]
    assert [len(some(24, side)) for side in (640, 1280, 4096)] == [12, 3, 1]


def test_a_part_may_not_be_chance():
    """Every picture has the same say; what is below its standard deviation or half a percent is nothing."""
    distances = np.array([[1.0, 0.5, 0.9, 0.004], [100.0, 40.0, -1.0, 0.4]])
    assert parts(distances).tolist() == [pytest.approx(0.45), 0.0, 0.0]
    assert parts(np.array([[0.0, 0.0]])).tolist() == [0.0]


@pytest.fixture(scope="module")
def network(model, paths):
    """One layer's range is a hundred times too wide: its input is as good as lost in 8 bits."""
    spec = float_input(model.graph, Preprocessing())
    seen = {
        name: layer.finish("minmax", 8) for name, layer in observe_layers(model.graph, spec, paths, Team(1)).items()
    }
    bad = model.graph.quantized()[1].name
    ranges = {**seen, bad: Range(seen[bad].low * 100, seen[bad].high * 100)}
    return Precisions(model, ranges, seen, 8, per_channel=True), spec, bad


@pytest.mark.torch
def test_the_layer_that_does_the_damage_is_found(network, paths):
    """It is told with its cost and with the distance before and after, on pictures that did not choose."""
    precisions, spec, bad = network
    cost = shares(precisions.model)[bad]
    found = widen(precisions, spec, paths, cost + 1e-9, Team(1))
    assert found.layers == (bad,)
    assert (
        f"int16 in 1 layer with {cost * 100:.1f} % of the multiplications ({bad}), distance to float on 3 "
        in found.told
    )
    before, after = (float(text) for text in re.search(r"(\S+) -> (\S+)$", found.told).groups())
    assert after < before / 10


@pytest.mark.torch
def test_nothing_is_kept_that_brings_nothing(network, paths, monkeypatch):
    """Where no layer fits, where pictures are too few, and where the others gain nothing by it."""
    precisions, spec, _ = network
    assert widen(precisions, spec, paths, 1e-9, Team(1)).told == "no layer in int16: none is that small"
    few = widen(precisions, spec, paths[:7], 1.0, Team(1))
    assert (few.layers, few.told) == ((), "no layer in int16: 7 pictures are too few to judge by")
    monkeypatch.setattr(widening, "LEAST_GAIN", 1.01)
    assert widen(precisions, spec, paths, 1.0, Team(1)).told.startswith("no layer in int16: distance to float on 3 ")


@pytest.mark.torch
def test_a_rule_of_its_own_stays(network, paths):
    """What the user keeps in float, or in 16 bits, is neither chosen nor changed."""
    precisions, spec, bad = network
    rest = {name: seen for name, seen in precisions.seen.items() if name != bad}
    graph = keep_layers(precisions.model.graph, (), [bad])
    kept = Precisions(replace(precisions.model, graph=graph), rest, rest, 8, per_channel=True)
    assert bad not in widen(kept, spec, paths, 1.0, Team(1)).layers


@pytest.mark.torch
def test_build_keeps_what_it_chose_and_its_recipe_remembers(tiny, paths, export):
    """The recipe names the layers and how they were found, and rebuilds the same bytes; --learn goes with it."""
    common = ("--arch", "darknet", "--weights", tiny / "tiny.weights", "--cfg", tiny / "tiny.cfg", "--name", "net")
    calibrated = ("--labels", tiny / "names.txt", "--calibration", paths[0].parent, "--observer", "percentile")
    asked = ("--percentile", "60", "--keep-int16", "auto:60", "--learn", "4")
    code, _, err = export("build", *common, *calibrated, *asked, "--output", tiny / "a")
    assert code == 0, err
    recipe = read_recipe(tiny / "a" / "net.recipe.toml")
    assert recipe.settings.keep_int16
    note = f"({', '.join(recipe.settings.keep_int16)}), distance to float on 3 pictures that no layer was chosen by: "
    assert note in recipe.calibration
    assert note in err
    assert export("build", *common, "--recipe", tiny / "a" / "net.recipe.toml", "--output", tiny / "b")[0] == 0
    for path in (tiny / "b").iterdir():
        assert path.read_bytes() == (tiny / "a" / path.name).read_bytes()


@pytest.mark.parametrize(
    "more, why",
    [
        (("--recipe", "r.toml"), "leave --recipe out"),
        (("--calibration", "pictures", "--bits", "16"), "every layer has 16 bits"),
    ],
)
def test_what_auto_does_not_go_with_is_refused(tiny, export, more, why):
    """One sentence, before anything is read."""
    code, _, err = export("build", "--weights", tiny / "gone", "--keep-int16", "auto", "--output", tiny / "o", *more)
    assert (code, (tiny / "o").exists()) == (2, False)
    assert why in err
