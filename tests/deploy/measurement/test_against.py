"""What is lost against float: boxes by hand, intervals, and what the gate makes of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.deploy.measurement.test_evaluate_modes import found, truth_of

from mlu_agent.model.bundle import Thresholds
from mlu_export.measurement.accuracy import Results
from mlu_export.measurement.against import Boxes, against_float, own_intervals
from mlu_export.measurement.comparison import comparison_text, surely_lost
from mlu_export.measurement.gate import Reference, Verdict, judge
from mlu_export.measurement.resampling import Interval

pytestmark = pytest.mark.eval

CAT, DOG = 0, 1
FLOAT = (
    (0, 0, 40, 40, 0.9, CAT),  # an object, and kept
    (100, 0, 300, 200, 0.8, DOG),  # an object, and lost
    (400, 0, 410, 10, 0.7, CAT),  # nothing, and lost
)
OTHER = (
    (1, 0, 41, 40, 0.5, CAT),
    (100, 0, 300, 200, 0.3, CAT),  # the same box of another class: the dog is lost, a cat is added
    (500, 0, 550, 50, 0.9, DOG),  # an object that float missed
    (600, 0, 610, 10, 0.2, DOG),  # not reported
)


@pytest.fixture
def results(tmp_path):
    """Float and int8 on two pictures, the second without anything."""
    objects = [(1, 5, 0, 0, 40, 40), (1, 7, 100, 0, 200, 200), (1, 7, 500, 0, 50, 50), (2, 5, 0, 0, 9, 9)]
    truth = truth_of(tmp_path, objects)
    made = []
    for mode, rows in (("float", FLOAT), ("offline", OTHER)):
        collected = Results(truth, ("cat", "dog"), Thresholds(confidence=0.25))
        collected.add(1, found(*sorted(rows, key=lambda row: -row[4])))
        collected.add(2, found())
        made.append(collected.summarize("simulator", mode))
    return made


def test_boxes_lost_and_added_are_counted_by_class_and_size(results):
    """A box has a partner of its class with an IoU of .5, or it is lost or added; right by the annotations."""
    one = against_float(results)["offline"]
    assert one.boxes == Boxes(kept=1, lost=2, lost_right=1, added=2, added_right=1)
    assert one.class_boxes == {"cat": Boxes(1, 1, 0, 1, 0), "dog": Boxes(0, 1, 1, 1, 1)}
    assert one.size_boxes == {
        "small": Boxes(0, 1, 0, 0, 0),
        "medium": Boxes(1, 0, 0, 1, 1),
        "large": Boxes(0, 1, 1, 1, 0),
    }
    assert one.rates["recall"].value == 0.0  # two of four objects, by both
    text = comparison_text(results, {"offline": one})
    assert "  2 of 3 boxes of float are lost (1 of them right), 2 are added (1 right)" in text.splitlines()
    assert "by size: small 1 of 1 lost, 0 added; medium 0 of 1 lost, 1 added; large 1 of 1 lost, 1 added" in text


def test_a_network_against_itself_loses_nothing_for_sure(results):
    """Both get the same pictures in each draw, so what is equal differs by nothing, however few the pictures."""
    exact = results[0]
    one = against_float([exact, results[0].__class__(**{**vars(exact), "mode": "offline"})])["offline"]
    assert (one.map50_95, one.map50) == (Interval(0.0, 0.0, 0.0), Interval(0.0, 0.0, 0.0))
    assert (one.boxes.lost, one.boxes.added) == (0, 0)
    assert surely_lost(one) == []
    assert own_intervals(exact)["map50_95"].half > 0


def test_what_was_not_measured_beside_float_is_not_compared(results):
    """Without float, and on other pictures."""
    assert against_float(results[1:]) == {}
    fewer = {**results[1].picture_counts}
    fewer.popitem()
    other = results[1].__class__(**{**vars(results[1]), "picture_counts": fewer})
    assert against_float([results[0], other]) == {}


@pytest.mark.parametrize(
    "low, value, high, passed, sure",
    [
        (-0.001, 0.001, 0.002, True, True),
        (-0.001, 0.001, 0.003, True, False),
        (-0.001, 0.003, 0.007, False, False),
        (0.0021, 0.003, 0.0039, False, True),
    ],
)
def test_the_gate_goes_by_the_interval_and_says_where_it_cannot_tell(low, value, high, passed, sure):
    """Where what is allowed lies within the interval the figure decides, and the pictures needed are told."""
    verdict = Verdict("offline", Reference("float", 128, 0.3), 0.3 - value, 0.002, Interval(value, low, high))
    assert (verdict.passed, verdict.is_sure) == (passed, sure)
    assert (" tell a loss of 0.002 apart only with +-" in verdict.sentence()) is not sure
    assert verdict.document()["pictures_needed"] == verdict.needed


def test_the_sentence_of_a_set_that_is_too_small():
    """How wide chance is, and some number of pictures that would be enough: it falls with their root."""
    verdict = Verdict("offline", Reference("float", 128, 0.3), 0.2974, 0.002, Interval(0.0026, -0.0024, 0.0076))
    assert verdict.sentence() == (
        "offline loses 0.0026 +-0.0050 mAP50-95 against float (0.2974 against 0.3000), more than --gate 0.002 allows, "
        "by the figure alone: 128 pictures tell a loss of 0.002 apart only with +-0.0050: some 800 are needed"
    )


def test_a_gain_is_called_one():
    """Not a loss below 0."""
    verdict = Verdict("offline", Reference("float", 128, 0.3), 0.333, 0.005, Interval(-0.033, -0.05, -0.016))
    assert verdict.sentence() == (
        "offline gains 0.0330 +-0.0170 mAP50-95 against float (0.3330 against 0.3000), within what --gate 0.005 allows"
    )


def test_a_gate_that_no_set_of_pictures_can_tell_says_so():
    """`--gate 1e-300` is a number above 0 as well."""
    verdict = Verdict("offline", Reference("float", 128, 0.3), 0.3, 1e-300, Interval(0.0, -0.005, 0.005))
    assert verdict.sentence().endswith(
        "by the figure alone: 128 pictures tell a loss of 1e-300 apart only with +-0.0050: no set has as many as are "
        "needed"
    )
    assert verdict.document()["pictures_needed"] is None


def test_a_baseline_has_no_interval(results):
    """It knows one figure: the gate goes by that, and says no more."""
    against = against_float(results)
    verdicts = judge(results, Reference("the baseline x", 2, 0.9), against, 0.1)
    assert [(one.reference.name, one.loss is None) for one in verdicts] == [("float", False), ("the baseline x", True)]
    sentence = verdicts[1].sentence()
    assert "more than --gate 0.1 allows, by the figure alone: there is no interval against the baseline x" in sentence


@pytest.mark.parametrize("pictures", [1, 9])
def test_a_gate_is_never_sure_of_fewer_pictures_than_ten(pictures):
    """One picture is the same in each draw: its interval has no width, and says nothing of others."""
    verdict = Verdict("offline", Reference("float", pictures, 0.3), 0.3, 0.002, Interval(0.0, 0.0, 0.0))
    assert (verdict.passed, verdict.is_sure) == (True, False)
    assert verdict.sentence().endswith(
        f"by the figure alone: {pictures} pictures are too few for an interval that holds: 10 are the least"
    )


def _lost_dogs(tmp_path, pictures):
    """Twelve pictures with a cat in each, which both find, and a dog in some, which int8 never finds."""
    objects = [(number, 5, 0, 0, 40, 40) for number in range(1, 13)]
    objects += [(number, 7, 100, 0, 200, 200) for number in range(1, pictures + 1)]
    truth = truth_of(tmp_path, objects, pictures=12)
    results = []
    for mode in ("float", "offline"):
        collected = Results(truth, ("cat", "dog"), Thresholds(confidence=0.25))
        for number in range(1, 13):
            dog = [(100, 0, 300, 200, 0.8, DOG)] if number <= pictures and mode == "float" else []
            collected.add(number, found((0, 0, 40, 40, 0.9, CAT), *dog))
        results.append(collected.summarize("simulator", mode))
    return results


@pytest.mark.parametrize("pictures", [1, 9])
def test_a_class_of_few_pictures_has_no_interval_and_loses_nothing_for_sure(tmp_path, pictures):
    """All that is lost lies in one picture, or in nine: no draw tells how another set would be."""
    results = _lost_dogs(tmp_path, pictures)
    one = against_float(results)["offline"]
    assert (list(one.per_class), surely_lost(one)) == (["cat"], [])
    assert (one.per_size["medium"], one.per_size["large"]) == (Interval(0.0, 0.0, 0.0), None)
    assert one.document()["per_class"]["dog"]["map50_95"] is None
    text = comparison_text(results, {"offline": one})
    assert "beyond chance" not in text
    assert "offline against float, with 95 % intervals of 12 pictures:" in text.splitlines()


def test_a_class_of_ten_pictures_has_one(tmp_path):
    """As many are enough; what is told as lost says of how many classes it is."""
    results = _lost_dogs(tmp_path, 10)
    one = against_float(results)["offline"]
    assert (list(one.per_class), surely_lost(one)) == (["cat", "dog"], ["dog"])
    assert "classes that lose beyond chance, of 2 with objects in 10 pictures or more (intervals widened" in (
        comparison_text(results, {"offline": one})
    )


def test_classes_that_lose_are_told_by_intervals_for_as_many_as_were_tested(results):
    """Of eighty, each with 95 %, some lose by chance alone: the widened intervals take the quantile of .05 / 80."""
    lost = Interval(-0.05, -0.09, -0.01)
    one = replace(against_float(results)["offline"], per_class={"fork": lost})
    assert surely_lost(one) == ["fork"]
    assert lost.of_many(80).high == pytest.approx(-0.05 + 0.04 * 3.4205 / 1.96, abs=1e-4)
    assert surely_lost(replace(one, per_class={f"class {number}": lost for number in range(80)})) == []
