"""F1 over confidence and the confusion matrix, against plain loops and cases made by hand."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from tests.deploy.measurement.test_matching import CATEGORIES, random_found, random_truth

pytestmark = pytest.mark.eval

MOST = 30


def iou(one, two):
    """Of boxes x, y, width, height."""
    width = min(one[0] + one[2], two[0] + two[2]) - max(one[0], two[0])
    height = min(one[1] + one[3], two[1] + two[3]) - max(one[1], two[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / (one[2] * one[3] + two[2] * two[3] - width * height)


def covered(box, crowd):
    """The part of a box that a crowd covers."""
    width = min(box[0] + box[2], crowd[0] + crowd[2]) - max(box[0], crowd[0])
    height = min(box[1] + box[3], crowd[1] + crowd[3]) - max(box[1], crowd[1])
    return max(0, width) * max(0, height) / (box[2] * box[3])


def plain_match(coco, found, least):
    """(right, wrong, missed) of pictures and categories: lists of objects and (score, category, box)."""
    right, wrong, missed = [], [], []
    for one in found:
        objects = coco.imgToAnns.get(one.picture, [])
        for category in CATEGORIES:
            mine = [
                (score, category, box)
                for number, score, box in zip(one.categories.tolist(), one.scores.tolist(), one.boxes.tolist())
                if number == category and score >= least
            ]
            mine = sorted(mine, key=lambda each: -each[0])[:MOST]
            theirs = [each for each in objects if each["category_id"] == category and not each["iscrowd"]]
            crowds = [each for each in objects if each["category_id"] == category and each["iscrowd"]]
            left = list(theirs)
            for detection in mine:
                fits = [each for each in left if iou(detection[2], each["bbox"]) >= 0.5]
                if fits:
                    best = max(iou(detection[2], each["bbox"]) for each in fits)
                    taken = [each for each in fits if iou(detection[2], each["bbox"]) == best][-1]
                    left.remove(taken)
                    right.append((one.picture, detection, taken))
                elif not any(covered(detection[2], crowd["bbox"]) >= 0.5 for crowd in crowds):
                    wrong.append((one.picture, detection))
            missed += [(one.picture, each) for each in left]
    return right, wrong, missed


def plain_f1(coco, found, least):
    right, wrong, missed = (len(part) for part in plain_match(coco, found, least))
    return 2 * right / (2 * right + wrong + missed) if right + wrong + missed else 0.0


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_f1_is_what_matching_at_each_threshold_gives(seed, tmp_path_factory):
    """At all points of the curve; the best threshold is the highest of those at which no other is better."""
    from mlu_export.measurement.f1 import THRESHOLDS, f1_of
    from mlu_export.measurement.matching import AREAS, match

    rng = np.random.default_rng(seed)
    coco = random_truth(rng, tmp_path_factory.mktemp("truth"))
    found = random_found(rng, coco)
    curve = f1_of(match(coco, found, np.array([0.5]), AREAS[:1], MOST))
    for threshold, value in list(zip(THRESHOLDS, curve.values))[::7]:
        assert value == pytest.approx(plain_f1(coco, found, float(np.float32(threshold))))
    scores = sorted({score for one in found for score in one.scores.tolist()}, reverse=True)
    values = [plain_f1(coco, found, score) for score in scores]
    assert curve.best == pytest.approx(max(values, default=0.0))
    if curve.best:
        assert curve.at == scores[int(np.argmax(np.round(values, 12)))]
    else:
        assert curve.at is None


def plain_confusion(coco, found, least):
    """{(object's category or None, detected category or None): how often}."""
    right, wrong, missed = plain_match(coco, found, least)
    counts = Counter((taken["category_id"], detection[1]) for _, detection, taken in right)
    pairs = [
        (-iou(detection[2], each["bbox"]), -detection[0], first, second)
        for first, (picture, detection) in enumerate(wrong)
        for second, (other, each) in enumerate(missed)
        if picture == other and iou(detection[2], each["bbox"]) >= 0.5
    ]
    used, gone = set(), set()
    for _, _, first, second in sorted(pairs):
        if first not in used and second not in gone:
            used.add(first)
            gone.add(second)
            counts[missed[second][1]["category_id"], wrong[first][1][1]] += 1
    counts.update((None, detection[1]) for place, (_, detection) in enumerate(wrong) if place not in used)
    counts.update((each["category_id"], None) for place, (_, each) in enumerate(missed) if place not in gone)
    return counts


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_confusion_matrix_adds_up_to_what_is_counted_elsewhere(seed, tmp_path_factory):
    """Its diagonal are the found, its rows the objects, its columns the detections of each class."""
    from mlu_export.measurement.accuracy import _count
    from mlu_export.measurement.confusion import confusion_of
    from mlu_export.measurement.matching import AREAS, match

    rng = np.random.default_rng(seed)
    coco = random_truth(rng, tmp_path_factory.mktemp("truth"))
    found = random_found(rng, coco)
    cells = match(coco, found, np.array([0.5]), AREAS[:1], MOST)
    matrix = confusion_of(coco, cells, {3: "cat"})
    assert matrix.labels == ("cat", "5", "90")
    by_category, _ = _count(coco, cells)
    for place, category in enumerate(sorted(CATEGORIES)):
        counts = by_category[category]
        assert matrix.counts[place, place] == counts.found
        assert matrix.counts[place].sum() == counts.found + counts.missed
        assert matrix.counts[:, place].sum() == counts.found + counts.wrong
    assert matrix.counts[-1, -1] == 0
    names = {3: "cat", 5: "5", 90: "90", None: None}
    plain = {(names[row], names[column]): count for (row, column), count in plain_confusion(coco, found, 0.0).items()}
    assert {(one["object"], one["detected"]): one["count"] for one in matrix.document()} == plain
    others = sorted(
        count for (row, column), count in plain.items() if row != column and row is not None and column is not None
    )
    assert [count for _, _, count in matrix.confused(9)] == others[::-1]


def truth_of(folder, objects):
    """A COCO object of one picture: (category, x, y, width, height)."""
    from mlu_export.measurement.annotation_file import read_annotations
    from mlu_export.measurement.annotations import indexed

    annotations = [
        {"id": number, "image_id": 1, "category_id": category, "bbox": list(box)}
        for number, (category, *box) in enumerate(objects)
    ]
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}, {"id": 3, "name": "cow"}]
    path = folder / "truth.json"
    images = [{"id": 1, "file_name": "a.png"}]
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    content = read_annotations(path)
    return indexed(content.images, content.categories, content.annotations)


def found_of(*detections):
    """(category, confidence, x, y, width, height)."""
    from mlu_export.measurement.matching import Found

    return [
        Found(
            1,
            np.array([one[0] for one in detections], np.int64),
            np.array([one[2:] for one in detections], np.float64).reshape(-1, 4),
            np.array([one[1] for one in detections], np.float64),
        )
    ]


def confused(coco, found):
    from mlu_export.measurement.confusion import confusion_of
    from mlu_export.measurement.matching import AREAS, match

    cells = match(coco, found, np.array([0.5]), AREAS[:1])
    return {(one["object"], one["detected"]): one["count"] for one in confusion_of(coco, cells, {}).document()}


def test_a_cat_called_dog_is_one_confusion(tmp_path):
    """Neither missed nor wrong beside it; a dog elsewhere is taken for nothing, where nothing is a cow is seen."""
    coco = truth_of(tmp_path, [(1, 0, 0, 10, 10), (2, 50, 50, 10, 10)])
    found = found_of((2, 0.9, 0, 0, 10, 9), (3, 0.8, 80, 80, 5, 5))
    assert confused(coco, found) == {("cat", "dog"): 1, ("dog", None): 1, (None, "cow"): 1}


def test_what_was_found_is_no_confusion_whatever_lies_over_it(tmp_path):
    """The right class comes first, also with less confidence and overlap; the other one is wrong and nothing's."""
    coco = truth_of(tmp_path, [(1, 0, 0, 10, 10)])
    found = found_of((1, 0.3, 0, 0, 10, 8), (2, 0.9, 0, 0, 10, 10))
    assert confused(coco, found) == {("cat", "cat"): 1, (None, "dog"): 1}


def test_the_nearest_pair_is_confused_first(tmp_path):
    """One detection over two objects is one confusion, with the object that it overlaps more."""
    coco = truth_of(tmp_path, [(1, 0, 0, 10, 10), (3, 0, 0, 10, 9)])
    assert confused(coco, found_of((2, 0.9, 0, 0, 10, 9))) == {("cow", "dog"): 1, ("cat", None): 1}
    again = found_of((2, 0.8, 0, 0, 10, 9), (2, 0.9, 0, 0, 10, 9))
    assert confused(coco, again) == {("cow", "dog"): 1, ("cat", "dog"): 1}


def test_an_overlap_of_less_than_half_is_none(tmp_path):
    """IoU .5 itself is one."""
    coco = truth_of(tmp_path, [(1, 0, 0, 10, 10)])
    assert confused(coco, found_of((2, 0.9, 0, 0, 10, 5))) == {("cat", "dog"): 1}
    assert confused(coco, found_of((2, 0.9, 0, 0, 10, 4.9))) == {("cat", None): 1, (None, "dog"): 1}


def test_f1_by_hand(tmp_path):
    """Two objects; detections right at .9, wrong at .6, right at .5: 2/3, 1/2, 4/5."""
    from mlu_export.measurement.f1 import f1_of
    from mlu_export.measurement.matching import AREAS, match

    coco = truth_of(tmp_path, [(1, 0, 0, 10, 10), (1, 50, 50, 10, 10)])
    found = found_of((1, 0.9, 0, 0, 10, 10), (1, 0.6, 80, 0, 9, 9), (1, 0.5, 50, 50, 10, 10))
    curve = f1_of(match(coco, found, np.array([0.5]), AREAS[:1]))
    assert [curve.values[place] for place in (95, 90, 70, 55, 50, 0)] == pytest.approx([0, 2 / 3, 2 / 3, 0.5, 0.8, 0.8])
    assert (curve.best, curve.at) == (pytest.approx(0.8), 0.5)
    nothing = f1_of(match(coco, found_of(), np.array([0.5]), AREAS[:1]))
    assert (nothing.best, nothing.at, nothing.values.any()) == (0.0, None, False)
    same = found_of((1, 0.75, 0, 0, 10, 10), (1, 0.25, 80, 0, 9, 9), (1, 0.25, 50, 50, 10, 10), (1, 0.25, 0, 80, 9, 9))
    curve = f1_of(match(coco, same, np.array([0.5]), AREAS[:1]))
    assert (curve.best, curve.at) == (pytest.approx(2 / 3), 0.75)  # 2/3 below as well: the highest one counts
