"""Our matching against pycocotools' COCOeval, which defines the figures."""

from __future__ import annotations

import contextlib
import io
import json

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

pytestmark = pytest.mark.eval

CATEGORIES = (3, 5, 90)


def random_truth(rng, folder):
    """A COCO object: few pictures, boxes on a coarse grid so that overlaps are equal, all sizes, some crowds."""
    from mlu_export.measurement.annotation_file import read_annotations
    from mlu_export.measurement.annotations import indexed

    images = [{"id": int(number), "file_name": f"{number}.png"} for number in rng.permutation(4) + 1]
    annotations = []
    for number in range(int(rng.integers(1, 25))):
        x, y, width, height = (int(value) for value in rng.integers(1, 6, 4) * rng.choice([8, 24, 60]))
        one = {"id": number, "image_id": int(rng.integers(1, 5)), "category_id": int(rng.choice(CATEGORIES[:2]))}
        annotations.append({**one, "bbox": [x, y, width, height], "iscrowd": int(rng.random() < 0.2)})
    categories = [{"id": number, "name": str(number)} for number in reversed(CATEGORIES)]
    path = folder / "truth.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    content = read_annotations(path)
    return indexed(content.images, content.categories, content.annotations)


def random_found(rng, coco):
    """Detections near the objects and elsewhere, with few different scores."""
    from mlu_export.measurement.matching import Found

    found = []
    for picture in (1, 2, 3, 4):
        count = int(rng.integers(0, 40))
        near = [one["bbox"] for one in coco.imgToAnns.get(picture, ())]
        boxes = (rng.integers(1, 6, (count, 4)) * rng.choice([8, 24, 60], (count, 1))).astype(np.float64)
        for number in range(count if near else 0):
            if rng.random() < 0.7:
                boxes[number] = near[int(rng.integers(len(near)))] + rng.choice([0, 0, 1, 4], 4)
        scores = (rng.integers(1, 12, count) / 12).astype(np.float32).astype(np.float64)
        found.append(Found(picture, rng.choice(CATEGORIES, count), boxes, scores))
    return found


def rows_of(found):
    return [
        {"image_id": one.picture, "category_id": int(category), "bbox": box.tolist(), "score": float(score)}
        for one in found
        for category, box, score in zip(one.categories, one.boxes, one.scores)
    ]


def evaluated(coco, rows, **parameters):
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        run = COCOeval(coco, coco.loadRes(rows), "bbox")
        for name, value in parameters.items():
            setattr(run.params, name, value)
        run.evaluate()
        run.accumulate()
    return run


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_precisions_are_those_of_pycocotools_to_the_last_bit(tmp_path_factory, seed):
    """Of every threshold, recall, category and size, with crowds, equal scores and equal overlaps."""
    from mlu_export.measurement.matching import match, precisions

    rng = np.random.default_rng(seed)
    coco = random_truth(rng, tmp_path_factory.mktemp("truth"))
    found = random_found(rng, coco)
    rows = rows_of(found)
    if not rows:
        return
    run = evaluated(coco, rows)
    precision, order = precisions(coco, match(coco, found))
    assert order == list(run.params.catIds)
    assert precision.tobytes() == np.ascontiguousarray(run.eval["precision"][..., -1]).tobytes()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([1, 5, 100]))
def test_matches_are_those_of_pycocotools(tmp_path_factory, seed, most):
    """Which detections are matched and which do not count, where only so many of a category do."""
    from mlu_export.measurement.matching import AREAS, IOUS, match

    rng = np.random.default_rng(seed)
    coco = random_truth(rng, tmp_path_factory.mktemp("truth"))
    found = random_found(rng, coco)
    rows = rows_of(found)
    if not rows:
        return
    run = evaluated(coco, rows, maxDets=[most])
    theirs = {(one["category_id"], one["image_id"], tuple(one["aRng"])): one for one in run.evalImgs if one is not None}
    cells = match(coco, found, IOUS, AREAS, most)
    assert len(cells) * len(AREAS) == len(theirs)
    for cell in cells:
        for number, area in enumerate(AREAS.tolist()):
            one = theirs[cell.category, cell.picture, tuple(area)]
            assert cell.scores.tolist() == list(one["dtScores"])
            assert cell.objects[number] == np.count_nonzero(np.asarray(one["gtIgnore"]) == 0)
            assert np.array_equal(cell.matched[number], np.asarray(one["dtMatches"]) > 0)
            assert np.array_equal(cell.ignored[number], np.asarray(one["dtIgnore"], bool))
