"""Choosing the rule of calibration by pictures that it was not calibrated with."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from mlu_export.calibration.calibrate import observe_groups, observe_layers
from mlu_export.calibration.choose import RULES, best_rule, choose, choose_judges, finish
from mlu_export.calibration.split import deal
from mlu_export.formats.pictures import float_input
from mlu_export.shards.team import Team
from mlu_export.values.pixels import Preprocessing

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def spec(model):
    return float_input(model.graph, Preprocessing())


def test_groups_add_up_to_what_all_pictures_show(model, spec, paths):
    """Each group has seen its own pictures; all together are what one pass sees, to the last count."""
    from mlu_export.calibration.choose import _of_others

    groups = observe_groups(model.graph, spec, paths, deal(paths), Team(1))
    whole = observe_layers(model.graph, spec, paths, Team(1))
    for name, layer in _of_others(groups, -1).items():
        assert (layer.low, layer.high) == (whole[name].low, whole[name].high)
        assert layer.counts.tolist() == whole[name].counts.tolist()
    own = [path for path, group in zip(paths, deal(paths)) if group != 2]
    for name, layer in observe_layers(model.graph, spec, own, Team(1)).items():
        assert layer.counts.tolist() == _of_others(groups, 2)[name].counts.tolist()


def test_the_ranges_are_those_of_the_rule_on_all_pictures_in_any_team(model, spec, paths, capsys):
    """The words name the rule and the split, so does a line on stderr; the number of workers changes nothing."""
    ranges, chosen, told = choose(model, spec, paths, 8, True, Team(1))
    note = capsys.readouterr().err.splitlines(keepends=True)[-1]
    rule = next(rule for rule in RULES if told.startswith(f"{rule.told}, chosen of 5 rules; "))
    assert told.endswith("; 9 pictures calibrate, 3 judge, in 4 turns")
    assert f"9 pictures calibrate, 3 judge, in 4 turns: {rule.told}" in note
    bits = dict.fromkeys(ranges, 8)
    assert chosen == rule
    assert ranges == finish(observe_layers(model.graph, spec, paths, Team(1)), rule, bits)
    with Team(2) as team:
        assert choose(model, spec, paths, 8, True, team) == (ranges, rule, told)
    assert capsys.readouterr().err.endswith(note)


def test_few_pictures_get_the_usual_rule(model, spec, paths, tmp_path, capsys):
    """Where none can be spared to judge, however many copies there are of those; that is said."""
    copies = [shutil.copy(path, tmp_path / f"{number}.png") for number, path in enumerate(paths[:3] * 3)]
    assert choose(model, spec, copies, 8, True, Team(1))[1:] == (RULES[0], "mse")
    assert "9 pictures are too few to judge rules by (8 that differ are needed): mse" in capsys.readouterr().err
    ranges, *rest = choose(model, spec, paths[:7], 8, True, Team(1))
    assert rest == [RULES[0], "mse"]
    assert "7 pictures are too few to judge rules by (8 that differ are needed): mse" in capsys.readouterr().err
    assert ranges == finish(observe_layers(model.graph, spec, paths[:7], Team(1)), RULES[0], dict.fromkeys(ranges, 8))


def test_another_rule_is_taken_where_it_gains_more_than_chance():
    """What is a little nearer on some pictures and further on others is not; of two that gain the nearer one."""
    rng = np.random.default_rng(1)
    usual = rng.uniform(1, 2, 32)
    noise = rng.normal(0, 0.3, 32)
    assert best_rule(np.stack([usual, usual - 0.01 + noise], 1)) == 0
    assert best_rule(np.stack([usual, usual - 0.4 + noise], 1)) == 1
    assert best_rule(np.stack([usual, usual - 0.4, usual - 0.5 + noise, usual + 1], 1)) == 2
    assert best_rule(np.stack([usual, usual], 1)) == 0
    assert best_rule(np.array([[2.0, 1.0]])) == 0


def test_a_gain_that_chance_gives_once_in_twenty_times_is_not_taken():
    """Two standard deviations of one of four others are no proof."""
    gains = np.array([1.0, -1.0] * 16)
    error = gains.std(ddof=1) / np.sqrt(32)
    for factor, chosen in ((2.1, 0), (2.4, 1)):
        assert best_rule(np.stack([np.full(32, 9.0), 9.0 - gains - factor * error], 1)) == chosen


def test_pictures_that_judge_are_bounded_by_their_pixels():
    """32 of 640 x 640, 128 at most, as many of each group; all where there are few."""
    dealt = [number % 4 for number in range(1000)]
    for side, most in ((640, 32), (320, 128), (64, 128), (1280, 8), (9000, 4)):
        judges = choose_judges(dealt, side * side)
        assert 0.7 * most <= len(judges) <= most
        assert len({sum(dealt[number] == group for number in judges) for group in range(4)}) == 1
    assert choose_judges([0, 1, 2, 3] * 3, 640 * 640) == list(range(12))


def test_layers_of_16_bits_take_all_that_was_seen(model, spec, paths):
    """Whatever the rule: they have steps to spare."""
    layers = observe_layers(model.graph, spec, paths[:3], Team(1))
    bits = dict.fromkeys(layers, 8)
    first = next(iter(bits))
    bits[first] = 16
    found = finish(layers, RULES[0], bits)
    assert (found[first].low, found[first].high) == (layers[first].low, layers[first].high)
